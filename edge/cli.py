"""The command `spreekkamer`: what it is told goes to a process at once, or else to the command line's own library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from edge import processes
from edge.errors import EXIT_CONFIG, EXIT_REFUSED, BadConfig, SpreekkamerError

# As units and the demo start them. Everything else, mistakes among it, is for typer, whose loading would be a fifth of the
# time in which a panel is ready (0.05 of 0.25 s).
_AT_ONCE: Final = {
    "guard": processes.guard,
    "record": processes.record,
    "keep": processes.keep,
    "show": processes.show,
}


def main() -> None:
    """Run a command: 0 done, 1 refused or failed, 2 wrong usage, 78 bad configuration."""
    try:
        match sys.argv[1:]:
            case [name, "--config", path] if name in _AT_ONCE:
                _AT_ONCE[name](Path(path))
            case ["guard", "--config", path, "--keyboard"]:
                processes.guard(Path(path), keyboard=True)
            case _:
                from edge.commands import app

                app(standalone_mode=True)
    except BadConfig as err:
        for problem in err.problems:
            print(problem, file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    except SpreekkamerError as err:
        print(err, file=sys.stderr)
        raise SystemExit(EXIT_REFUSED) from None
