"""Where packets come from: cameras, microphones, recorded rooms, and the repair of their time stamps."""
