"""`python -m edge` is `spreekkamer`."""

from edge.cli import main

main()
