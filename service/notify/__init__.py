"""Who is told what happens in the room: by webhook and MQTT, without footage and without names."""
