"""What the tests of whole processes share with the bench: the processes themselves, and reading what they leave."""
