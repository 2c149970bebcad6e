"""What a machine says of itself, as folders and files that a test makes."""
