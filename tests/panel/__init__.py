"""Tests of the panel: the button, the alarm, and what is wanted of the recorder."""
