"""The process that calls for help: button, switches, lamps and alarm relay; it depends on nobody."""
