"""Tests of the page and its API: what they show, and that nothing can be touched through them."""
