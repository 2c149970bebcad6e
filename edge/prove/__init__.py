"""Evidence of a running room, gathered by reading: the kernel's word on each process, systemd's, the processes' own."""
