"""Is this machine fit for the room? What must hold before it listens, each with what was found and how to mend it."""
