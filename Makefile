# Every target does its own set-up; a second run starts at once. On a fresh Debian machine nothing but make and git is needed.
# Variables: ARGS (passed to demo, pytest and bench as they are), PYTHON (interpreter for .venv, 3.11 to 3.13).

ARGS =
PYTHON ?=
export PYTHON
BIN = .venv/bin

.PHONY: help demo test long test-vm bench lint lock catalogs fixtures drawings clean setup
.NOTPARALLEL:

help:
	@echo "make demo      the whole product on a recorded room: Enter = press, q = quit  (ARGS='--dir D --script ...')"
	@echo "make test      everything that must pass before a change lands"
	@echo "make long      the same tests at full counts"
	@echo "make test-vm   the product in a virtual machine with real devices and units (tests/vm)"
	@echo "make bench     speed and memory against stock tools; writes BENCHMARKS.md"
	@echo "make lint      ruff, mypy --strict and the import contracts only"
	@echo "make lock      requirements/*.lock from pyproject.toml  (ARGS=--upgrade: newest versions)"
	@echo "make catalogs  the page's English anew, after a change of its Dutch"
	@echo "make fixtures  tests/fixtures/room.mp4 anew"
	@echo "make drawings  the drawings in DESIGN.md anew, from the code's tables"
	@echo "make clean     removes .venv and caches"

demo: setup
	@exec $(BIN)/spreekkamer demo $(ARGS)

test: lint
	$(BIN)/python -m pytest -m "not long and not vm" $(ARGS)

long: lint
	SPREEKKAMER_LONG=1 $(BIN)/python -m pytest -m "not vm" $(ARGS)

# Emulated, a scenario takes up to 20 minutes: no reason to show where each thread is.
test-vm: setup
	@scripts/system-packages --vm
	$(BIN)/python -m pytest -o faulthandler_timeout=3600 -m vm tests/vm $(ARGS)

bench: setup
	$(BIN)/python -m tests.bench $(ARGS)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-cache

lock:
	scripts/lock $(ARGS)

catalogs: setup
	scripts/catalogs

fixtures: setup
	$(BIN)/python -m tests.fixtures.make_room

drawings: setup
	$(BIN)/python -m tests.unit.drawings

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find edge service tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The recorder writes no file, not even a compiled module: it would compile itself at each start.
setup:
	@scripts/system-packages
	@scripts/venv
	@$(BIN)/python -m compileall -q edge service
