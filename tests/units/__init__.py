"""The systemd units: what each says, what systemd makes of it, and what the processes tell systemd."""
