"""Tests: sentences about what the room can count on."""
