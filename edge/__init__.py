"""What runs in the room (panel, recorder, vault), the officer's desk, and their shared vocabulary."""

from typing import Final

__version__: Final = "0.1.0"
