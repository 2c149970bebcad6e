"""A machine to look around in: its console on this terminal, log in as root. What is done in it is gone afterwards."""

import sys

from tests.vm.image import CannotBuild, image
from tests.vm.machine import new_machine

try:
    with new_machine(image()) as machine:
        machine.shell()
except CannotBuild as err:
    sys.exit(f"virtual machine: {err}")
