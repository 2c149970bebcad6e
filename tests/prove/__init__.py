"""The evidence pack: that what it says is true, and that it can say no."""
