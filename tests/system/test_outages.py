"""The vault stands still or is dead for ten seconds in a clip, or the power is cut: no frame is lost, no clip outlives its hour."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.clock import SECOND
from tests.support import evidence
from tests.support.evidence import FRAME_NS, ROOM, decoding_errors, seconds
from tests.support.processes import CLOCK, COMMANDS, Four, Room, eventually, memory_folder, ran, until

AWAY_S = 10
LIFE_S = 20  # long enough to list and open a clip in on a busy machine


def frozen(four: Four) -> Callable[[], None]:
    four.freeze("vault")
    return lambda: four.thaw("vault")


def dead(four: Four) -> Callable[[], None]:
    four.keep_down("vault")
    four.kill("vault")
    return lambda: four.let_up("vault")


Outages = dict[str, Future[Path]]


@pytest.fixture(scope="module")
def outages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    """All together, because each waits ten seconds: the folder of the clip that each had."""
    scenarios: dict[str, Callable[[Path], Path]] = {
        "frozen": lambda to: clip_without_vault(frozen, to),
        "dead": lambda to: clip_without_vault(dead, to),
        "kept": lambda to: vault_after_a_power_cut(to, is_run_wiped=False),
        "wiped": lambda to: vault_after_a_power_cut(to, is_run_wiped=True),
        "purge": purge_after_a_power_cut,
    }
    with ThreadPoolExecutor() as threads:
        yield {name: threads.submit(run, tmp_path_factory.mktemp(name)) for name, run in scenarios.items()}


def clip_without_vault(leave: Callable[[Four], Callable[[], None]], to: Path) -> Path:
    """The folder of a clip during which the vault was away."""
    with memory_folder() as folder:
        room = Room(to / "D", folder / "run", ROOM, ring_s=3)
        with Four(room) as four:
            four.wait_ring(1.2)
            incident = four.press()

            def is_safe() -> str | None:
                recorder = room.recorder()
                clip = recorder.clip if recorder else None
                return clip.clip if clip is not None and clip.segments_safe >= 2 else None

            number = eventually(is_safe, what="the first segments")
            come_back = leave(four)
            away_until_ns = CLOCK.boot_ns() + AWAY_S * SECOND
            until(lambda: CLOCK.boot_ns() >= away_until_ns, every_s=0.1)
            waiting = room.recorder()
            assert waiting is not None
            assert waiting.clip is not None
            assert waiting.clip.waiting_bytes > 0
            assert waiting.clip.segments - waiting.clip.segments_safe >= AWAY_S - 2, "segments wait in RAM"
            come_back()
            four.reset()
            four.wait_safe(incident.id)
            return room.clips / number


@pytest.mark.parametrize("way", ["frozen", "dead"])
def test_a_vault_that_is_away_for_ten_seconds_costs_no_frame(outages: Outages, way: str, tmp_path: Path) -> None:
    folder = outages[way].result()
    clip = evidence.opened_file(folder, folder.parents[2] / "keys" / "officer.key", tmp_path)
    found = evidence.numbers(clip)
    assert evidence.breaks(found) == []
    assert len(found) * FRAME_NS > (AWAY_S + 1) * SECOND
    assert decoding_errors(clip) == ""
    manifest = evidence.record(folder, "manifest.json")
    assert manifest["state"] == "complete"
    assert manifest["facts"]["picture_gaps_ms"] == []
    assert manifest["facts"]["sound_gaps_ms"] == []
    assert manifest["facts"]["frames_dropped"] == 0


# --- a power cut: all four dead at once, and what was in RAM with them


@pytest.mark.parametrize("run_folder", ["kept", "wiped"])
def test_after_a_power_cut_the_clip_is_listed_as_interrupted_opens_and_goes_at_its_hour(
    outages: Outages, run_folder: str
) -> None:
    gone = outages[run_folder].result()
    assert evidence.told(gone.parents[1], "clip-deleted", gone.name) == ["gone"]


def test_after_a_power_cut_purge_alone_deletes_the_clip_at_its_hour_and_not_before(outages: Outages) -> None:
    gone = outages["purge"].result()
    assert list((gone.parents[1] / "trash").iterdir()) == []
    assert evidence.told(gone.parents[1], "clip-deleted", gone.name) == ["gone"]


def vault_after_a_power_cut(to: Path, *, is_run_wiped: bool) -> Path:
    """The folder that the clip had."""
    with memory_folder() as folder:
        room = Room(to / "D", folder / "run", ROOM, ring_s=3, retention_s=LIFE_S)
        with Four(room) as four:
            clip, pressed_ns = cut_off(four)
            if is_run_wiped:
                shutil.rmtree(room.config.paths.run)
            four.let_up("vault")
            until(lambda: room.vault() is not None, what="the vault")
            listed = [
                json.loads(line) for line in ran("clips", "list", "--config", room.config_file).stdout.splitlines()
            ]
            assert [(row["id"], row["state"]) for row in listed] == [(clip, "interrupted")]
            assert evidence.decoding_errors(evidence.opened_file(room.clips / clip, room.place.key, to)) == ""
            until(lambda: not (room.clips / clip).exists(), what="the deletion")
            assert LIFE_S <= seconds(CLOCK.boot_ns() - pressed_ns) < LIFE_S + 10
        return room.clips / clip


def purge_after_a_power_cut(to: Path) -> Path:
    """The folder that the clip had."""
    with memory_folder() as folder:
        room = Room(to / "D", folder / "run", ROOM, ring_s=3, retention_s=LIFE_S)
        with Four(room) as four:
            clip, pressed_ns = cut_off(four)
            early = ran("purge", "--config", room.config_file)
            assert (early.returncode, early.stdout, early.stderr) == (0, "0 deleted\n", "")
            assert evidence.opened(room.clips / clip, room.place.key)
            until(lambda: CLOCK.boot_ns() >= pressed_ns + LIFE_S * SECOND, every_s=0.1)
            late = ran("purge", "--config", room.config_file)
            assert (late.returncode, late.stdout, late.stderr) == (0, "1 deleted\n", "")
            assert evidence.folders(room.config.paths.store) == []
        return room.clips / clip


def cut_off(four: Four) -> tuple[str, int]:
    """A press, and all four dead in the middle of its clip: the clip, and when the press was."""
    four.wait_ring(1.2)
    incident = four.press()

    def safe() -> str | None:
        recorder = four.room.recorder()
        clip = recorder.clip if recorder else None
        return clip.clip if clip is not None and clip.segments_safe >= 2 else None

    clip = eventually(safe, what="segments")
    four.keep_down(*COMMANDS)
    four.kill(*COMMANDS)
    until(lambda: not any(four.is_alive(name) for name in COMMANDS), what="their death")
    return clip, incident.pressed_ns
