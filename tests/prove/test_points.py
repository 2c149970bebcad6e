"""From what was read to what it shows: good, spoiled in each way, and not seen. A made-up room that is in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from edge.machine.finding import fine, wrong
from edge.machine.sandbox import PROMISED, UNITS, Unit
from edge.prove import words
from edge.prove.kernel import Memory, Open, Process, Rights
from edge.prove.points import Evidence, Seen, points
from edge.prove.running import NAMES, Running
from edge.status import LedgerStatus, RecorderState, RecorderStatus, RingStatus, VaultStatus
from tests.machine.support import room

MIB: Final = 1 << 20
PROCESS: Final = Process(
    pid=7,
    memory=Memory(locked=300 * MIB, swapped=0, ring=40 * MIB, ring_loose=0),
    rights=Rights(uid=990, capabilities=0, has_no_new_privileges=True, is_filtered=True, core_limit="0"),
    is_dumpable=False,
    write_bytes=0,
    open=Open(kinds={"socket": 3}, writable=(), devices=(), paths=()),
    sockets={"unix": 3},
    own_spaces=("mnt", "net"),
    writable_disks=(),
)
RING: Final = RingStatus(
    seconds=29.0,
    promised_seconds=30.0,
    bytes=39 * MIB,
    cap_bytes=96 * MIB,
    is_locked=True,
    is_wiped=False,
    oldest_seconds=30.2,
)
HEAD: Final = "ab" * 32


def recorder(**changed: Any) -> RecorderStatus:
    ring = replace(RING, **changed.pop("ring", {}))
    facts: dict[str, Any] = {
        "as_of_ns": 0, "started_ns": 0, "state": RecorderState.LISTENING, "ring": ring, "sources": (), "clip": None,
        "write_bytes": 0, "panel_age_ms": 1, "is_vault_reached": True, "faults": (), "warnings": (), **changed,
    }  # fmt: skip
    return RecorderStatus(**facts)


def vault(anchored_at: str | None = "2026-11-01T00:00:00Z", entries: int = 9) -> VaultStatus:
    facts: dict[str, Any] = dict.fromkeys(VaultStatus.__dataclass_fields__)
    return VaultStatus(**{**facts, "ledger": LedgerStatus(head=HEAD, entries=entries, anchored_at=anchored_at)})


def evidence(**changed: Any) -> Evidence:
    store = replace(
        PROCESS, writable_disks=("/var/lib/spreekkamer",), open=replace(open_(), paths=("/var/lib/spreekkamer/lock",))
    )
    units = [
        Unit(process=name, name=unit, shown={"LoadState": "loaded", **PROMISED[name]}) for name, unit in UNITS.items()
    ]
    running = {name: store if name == "vault" else PROCESS for name in NAMES}
    facts: dict[str, Any] = {
        "config": room(),
        "running": [Running(name=name, process=process, answers=True) for name, process in running.items()],
        "recorder": recorder(),
        "vault": vault(),
        "units": units,
        "findings": [fine("swap", "none"), fine("zram-writeback", "none"), fine("core-dumps", "a file")],
        **changed,
    }
    return Evidence(**facts)


def open_(**changed: Any) -> Open:
    assert PROCESS.open is not None
    return replace(PROCESS.open, **changed)


def spoiled(name: str, *, answers: bool = True, **changed: Any) -> Evidence:
    """One process is not as it should be in one respect."""
    whole = evidence()
    return replace(
        whole,
        running=[
            replace(one, process=replace(one.process, **changed), answers=answers) if one.name == name and one.process else one
            for one in whole.running
        ],
    )  # fmt: skip


def rights(**changed: Any) -> Rights:
    assert PROCESS.rights is not None
    return replace(PROCESS.rights, **changed)


def memory(**changed: Any) -> Memory:
    assert PROCESS.memory is not None
    return replace(PROCESS.memory, **changed)


def not_shown(evidence: Evidence) -> dict[tuple[str, str], Seen]:
    return {(point.process, point.code): point.seen for point in points(evidence) if point.seen is not Seen.SHOWN}


def test_a_room_in_order_shows_every_point() -> None:
    assert not_shown(evidence()) == {}
    assert len(points(evidence())) >= 45


SPOILED: Final[dict[str, tuple[Callable[[], Evidence], set[tuple[str, str]]]]] = {
    "a process that does not answer": (lambda: spoiled("vault", answers=False), {("vault", "running")}),
    "a process of root": (lambda: spoiled("panel", rights=rights(uid=0)), {("panel", "account")}),
    "a capability": (lambda: spoiled("vault", rights=rights(capabilities=1)), {("vault", "capabilities")}),
    "new privileges": (
        lambda: spoiled("service", rights=rights(has_no_new_privileges=False)), {("service", "no-new-privileges")}),
    "no filter": (lambda: spoiled("recorder", rights=rights(is_filtered=False)), {("recorder", "filter")}),
    "core dumps": (lambda: spoiled("recorder", rights=rights(core_limit="unlimited")), {("recorder", "core")}),
    "a disk for the recorder": (lambda: spoiled("recorder", writable_disks=("/",)), {("recorder", "disks")}),
    "the store for the page": (
        lambda: spoiled("service", writable_disks=("/var/lib/spreekkamer",)), {("service", "disks")}),
    "another disk for the vault": (
        lambda: spoiled("vault", writable_disks=("/var/lib/spreekkamer", "/home")), {("vault", "disks")}),
    "the machine's network": (lambda: spoiled("recorder", own_spaces=("mnt",)), {("recorder", "network")}),
    "a socket to elsewhere": (lambda: spoiled("vault", sockets={"tcp": 1, "unix": 2}), {("vault", "network")}),
    "a socket that nobody knows": (lambda: spoiled("panel", sockets={"unknown": 1}), {("panel", "network")}),
    "the store open in the recorder": (
        lambda: spoiled("recorder", open=open_(paths=("/var/lib/spreekkamer/ledger.jsonl",))),
        {("recorder", "away-from-store")}),
    "a camera open in the vault": (
        lambda: spoiled("vault", open=open_(devices=("/dev/video0",))), {("vault", "away-from-devices")}),
    "a microphone open in the panel": (
        lambda: spoiled("panel", open=open_(devices=("/dev/gpiochip0", "/dev/snd/pcmC1D0c"))),
        {("panel", "away-from-devices")}),
    "a ring that is not locked": (lambda: spoiled("recorder", memory=memory(ring_loose=MIB)), {("recorder", "locked")}),
    "a ring that is not the ring": (lambda: spoiled("recorder", memory=memory(ring=MIB)), {("recorder", "locked")}),
    "less locked than the ring": (lambda: spoiled("recorder", memory=memory(locked=MIB)), {("recorder", "locked")}),
    "a part in swap": (lambda: spoiled("recorder", memory=memory(swapped=4096)), {("recorder", "swapped")}),
    "a recorder that is dumpable": (lambda: spoiled("recorder", is_dumpable=True), {("recorder", "dumpable")}),
    "a file open for writing": (
        lambda: spoiled("recorder", open=open_(writable=("/tmp/x",))), {("recorder", "no-file")}),
    "bytes written": (lambda: evidence(recorder=recorder(write_bytes=1)), {("recorder", "written")}),
    "older than promised": (lambda: evidence(recorder=recorder(ring={"oldest_seconds": 30.6})), {("recorder", "ring")}),
    "more than the cap": (
        lambda: evidence(recorder=recorder(ring={"cap_bytes": 38 * MIB})), {("recorder", "ring")}),
    "swap": (
        lambda: evidence(findings=[wrong("swap", "on", "off"), fine("core-dumps", "")]), {("", "swap")}),
    "write-back": (
        lambda: evidence(findings=[fine("swap", ""), wrong("zram-writeback", "on", "off"), fine("core-dumps", "")]),
        {("", "swap")}),
    "a crash handler": (
        lambda: evidence(findings=[fine("swap", ""), wrong("core-dumps", "on", "off")]), {("", "core-pattern")}),
    "a finding that refuses": (
        lambda: evidence(findings=[*evidence().findings, wrong("camera", "gone", "plug", refuses=True)]), {("", "check")}),
    "no systemd": (lambda: evidence(units=None), {("", "sandbox")}),
    "a unit that is weaker": (
        lambda: evidence(units=[Unit(process="vault", name="v", shown={"LoadState": "loaded"})]), {("", "sandbox")}),
    "a unit that is not there": (
        lambda: evidence(units=[Unit(process="vault", name="v", shown={"LoadState": "not-found"})]), {("", "sandbox")}),
    "an empty ledger": (lambda: evidence(vault=vault(entries=0)), {("", "ledger")}),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_each_thing_that_is_not_in_order_fails_its_point_and_no_other(name: str) -> None:
    make, expected = SPOILED[name]
    assert not_shown(make()) == dict.fromkeys(expected, Seen.FAILED)


UNSEEN: Final[dict[str, tuple[Callable[[], Evidence], set[str]]]] = {
    "memory": (lambda: spoiled("recorder", memory=None), {"locked", "swapped"}),
    "rights": (
        lambda: spoiled("recorder", rights=None), {"account", "capabilities", "no-new-privileges", "filter", "core"}),
    "dumpable": (lambda: spoiled("recorder", is_dumpable=None), {"dumpable"}),
    "bytes": (lambda: spoiled("recorder", write_bytes=None), {"written"}),
    "files": (lambda: spoiled("recorder", open=None), {"no-file", "away-from-store"}),
    "sockets": (lambda: spoiled("recorder", sockets=None), {"network"}),
    "namespaces": (lambda: spoiled("recorder", own_spaces=None), {"network"}),
    "mounts": (lambda: spoiled("recorder", writable_disks=None), {"disks"}),
    "a network camera": (
        lambda: evidence(config=room(camera={"source": "rtsp://192.0.2.1/1"})), {"network"}),
    "no head noted outside": (lambda: evidence(vault=vault(anchored_at=None)), {"anchored"}),
    "a check that did not look": (lambda: evidence(findings=[]), {"swap", "core-pattern"}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSEEN)
def test_what_could_not_be_read_is_not_seen_and_never_fine(name: str) -> None:
    make, codes = UNSEEN[name]
    found = not_shown(make())
    assert {code for _, code in found} == codes
    assert set(found.values()) == {Seen.UNSEEN}


def test_of_a_process_that_does_not_run_nothing_is_shown() -> None:
    dead = [Running(name=name, process=None, answers=False) for name in NAMES]
    found = not_shown(evidence(running=dead, recorder=None, vault=None))
    assert {key: seen for key, seen in found.items() if seen is Seen.FAILED} == {
        (name, "running"): Seen.FAILED for name in NAMES
    }
    assert {(point.process, point.code) for point in points(evidence()) if point.process} <= set(found)


def test_a_ring_that_promises_nothing_holds_only_what_is_on_its_way_to_a_clip() -> None:
    on_its_way = recorder(ring={"promised_seconds": 0.0, "oldest_seconds": 10.0})
    assert not_shown(evidence(recorder=on_its_way)) == {}
    kept = recorder(ring={"promised_seconds": 0.0, "oldest_seconds": 11.0})
    assert not_shown(evidence(recorder=kept)) == {("recorder", "ring"): Seen.FAILED}


def test_what_is_read_once_is_not_counted_against_a_recorder_that_had_no_camera_open() -> None:
    assert not_shown(spoiled("recorder", write_bytes=188_000)) == {}


# --- the text


PROOF: Final[dict[str, Any]] = {
    "made_at": "2026-11-22T10:15:02Z", "is_clock_trusted": True, "is_made_by_root": True, "room": "Kamer 2", "building": "",
    "camera": "v4l2", "microphone": "off", "versions": {"spreekkamer": "1", "python": "3", "kernel": "6"},
    "programs": {"sha256": HEAD, "files": 9},
}  # fmt: skip


@pytest.mark.parametrize("seen", Seen)
def test_every_point_has_words_however_it_came_out(seen: Seen) -> None:
    judged = [replace(point, seen=seen) for point in points(evidence())]
    text = words.text(PROOF, judged)
    assert "{" not in text
    assert text.count("    - ") == len(judged)


def test_what_is_not_in_order_stands_first_and_what_was_not_seen_before_what_was() -> None:
    judged = points(spoiled("recorder", is_dumpable=True, write_bytes=None))
    text = words.text(PROOF, judged)
    headings = [line for line in text.splitlines() if line.isupper() or line.startswith("NIET")]
    assert [heading.split(" (")[0] for heading in headings][:3] == ["NIET IN ORDE", "NIET GEZIEN", "GEZIEN EN IN ORDE"]
    assert f"{len(judged)} punten: {len(judged) - 2} gezien en in orde, 1 niet in orde, 1 niet gezien." in text


def test_a_pack_that_was_not_made_by_root_says_so() -> None:
    assert "zonder de rechten van de beheerder" in words.text({**PROOF, "is_made_by_root": False}, [])
    assert "zonder de rechten" not in words.text(PROOF, [])


def test_sizes_are_for_people() -> None:
    [line] = [line for line in words.text(PROOF, points(evidence())).splitlines() if "vastgezet" in line]
    assert "vastgezet 300,0 MiB; het ringgeheugen is 40,0 MiB, daarvan los 0 bytes" in line
