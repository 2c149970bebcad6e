"""What judges a store after a power cut sees each promise that was broken: tried on a store of processes that were killed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import Refused
from tests.support import evidence
from tests.support.processes import Four, memory_folder, until
from tests.support.processes import Room as Processes
from tests.vm.test_powercuts import Promised, judged


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Promised]:
    """A store with a clip that is complete and one that was cut off, the key, and what was promised of them."""
    folder = tmp_path_factory.mktemp("judging")
    with memory_folder() as run:
        room = Processes(folder, run, evidence.ROOM, ring_s=5)
        with Four(room) as four:
            incident = four.press()
            four.reset()
            four.wait_safe(incident.id)
            whole = room.recorder()
            four.press()
            until(lambda: len(evidence.folders(room.config.paths.store)) == 2, what="another clip")
            until(lambda: (now := room.recorder()) is not None and now.clip is not None and now.clip.segments_safe > 1)
            four.keep_down("recorder", "vault")
            four.kill("recorder", "vault")
    store = room.config.paths.store
    assert whole is not None
    assert whole.clip is not None
    hashes = {
        f"{clip.name}/{segment.name}": hashlib.sha256(segment.read_bytes()).hexdigest()
        for clip in evidence.folders(store)
        for segment in evidence.segments(clip)
    }
    head = hashlib.sha256((store / "ledger.jsonl").read_bytes().splitlines()[-1]).hexdigest()
    return store, room.place.key, Promised(hashes=hashes, complete={whole.clip.clip}, heads=[head])


def test_a_sound_store_is_judged_by_the_states_of_its_clips(kept: tuple[Path, Path, Promised]) -> None:
    store, _, promised = kept
    (whole,) = promised.complete
    assert judged(*kept) == {
        folder.name: "complete" if folder.name == whole else "interrupted" for folder in evidence.folders(store)
    }


def _shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


# Given the clip that is complete: the other may have been pressed in the same second, and stand before it.
BROKEN: dict[str, Callable[[Path], None]] = {
    "an acknowledged clip is gone": shutil.rmtree,
    "is not as it was": lambda clip: _shorter(evidence.segments(clip)[0]),
    "has no manifest|is interrupted": lambda clip: (clip / "manifest.json").unlink(),
    "was not finished": lambda clip: (clip.parents[1] / "trash" / "20261122T101502Z-k3f9").mkdir(parents=True),
    "is not in this one": lambda clip: _shorter(clip.parents[1] / "ledger.jsonl"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_each_broken_promise_is_seen(kept: tuple[Path, Path, Promised], tmp_path: Path, problem: str) -> None:
    store, key, promised = kept
    copy = tmp_path / "store"
    shutil.copytree(store, copy, ignore=shutil.ignore_patterns("*.reserve"))
    (whole,) = promised.complete
    BROKEN[problem](copy / "clips" / whole)
    with pytest.raises((AssertionError, Refused), match=problem):
        judged(copy, key, promised)
