"""What nobody should send and no disk should hold: refused in one line or repaired and told, and the other clips still go.

After each damage to the store the vault is started twice: what stops one start must not stop every start.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.cli import main
from edge.clock import SECOND
from edge.errors import EXIT_REFUSED, NoSuchClip
from edge.messages import Verb, decode
from edge.vault import client, passes, records
from edge.vault.keeper import Keeper
from edge.vault.purge import purge
from edge.vault.records import BirthRecord, HoldRecord
from tests.vault.support import (
    CLIP,
    HOUR,
    Recorder,
    SimClock,
    ask,
    assert_ledger,
    birth,
    close,
    config,
    is_kept,
    make_clip,
    open_keeper,
    quick_folder,
    segment,
)

OTHER = "20261118T085320Z-abcd"
DAY = 24 * HOUR
NOT_IDS = {
    "a way out": "../../etc/passwd",
    "a way out behind a number": f"{CLIP}/../../{OTHER}",
    "nothing": "",
    "a dot": ".",
    "NUL": f"{CLIP}\0",
    "a line": f"{CLIP}\n",
    "10 kB": "2" * 10_000,
    "10 kB of numbers": CLIP * 500,
    "capitals": CLIP.upper(),
    "wide digits": CLIP.replace("2", "\uff12"),
    "a Cyrillic letter": CLIP.replace("k", "\u043a"),
    "an Arabic digit": CLIP.replace("3", "\u0663"),
    "a hidden character": CLIP.replace("-", "\u200b-"),
    "another hyphen": CLIP.replace("-", "\u2010"),
    "text from right to left": f"\u202e{CLIP}",
    "half a character": f"{CLIP}\udc80",
}


@pytest.fixture
def root() -> Iterator[Path]:
    with quick_folder() as path:
        yield path


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


def folder(root: Path, clip: str = CLIP) -> Path:
    return root / "store" / "clips" / clip


def ledger(root: Path) -> Path:
    return root / "store" / "ledger.jsonl"


def everything(root: Path) -> dict[str, bytes]:
    """All that the store and its surroundings hold, but for what SQLite and the counter keep for themselves."""
    files = [path for path in root.rglob("*") if path.is_file() and "catalog" not in path.name]
    return {str(path): path.read_bytes() for path in files}


def two_clips(root: Path, clock: SimClock) -> Keeper:
    keeper = open_keeper(root, clock)
    make_clip(keeper, clock)
    make_clip(keeper, clock, clip=OTHER)
    passes.pass_through(keeper)
    return keeper


def starts_twice(root: Path, clock: SimClock) -> Keeper:
    for _ in range(2):
        keeper = open_keeper(root, clock)
        passes.pass_through(keeper)
        keeper.stop()
    keeper = open_keeper(root, clock)
    passes.pass_through(keeper)
    return keeper


def faults(keeper: Keeper) -> set[str]:
    return {fault.code for fault in keeper.status().faults}


def deletions(root: Path, clip: str) -> int:
    return ledger(root).read_bytes().count(f'"action":"clip-deleted","object":"{clip}"'.encode())


@pytest.mark.parametrize("name", NOT_IDS)
def test_what_is_not_a_clips_number_becomes_no_path_anywhere(root: Path, clock: SimClock, name: str) -> None:
    keeper, clip = two_clips(root, clock), NOT_IDS[name]
    before = everything(root)
    recorder = Recorder(keeper)
    for message, payload in (
        (birth(clock, clip=clip), b""),
        (segment(0, clip=clip), b"x"),
        (close(1, clip=clip), b""),
    ):
        answer = recorder.tell(message, payload)
        assert answer.is_final
        assert_one_line(answer.error)
    for verb, reason in ((Verb.FETCH, ""), (Verb.HOLD, "police-report"), (Verb.RELEASE, ""), (Verb.OUTCOME, "threat")):
        assert_one_line(ask(keeper, verb, clip=clip, reason=reason, days=1).error)
    assert_one_line(ask(keeper, Verb.DELETE, clip=clip, reason="objection").error)
    with pytest.raises(NoSuchClip, match="is not a clip's number"):
        client.fetch(config(root).paths, clip, root / "copy")
    assert everything(root) == before


def assert_one_line(error: str) -> None:
    assert error
    assert len(error) < 200
    assert error.isprintable(), error


@pytest.mark.parametrize("name", [name for name in NOT_IDS if name not in ("NUL", "half a character")])
def test_the_command_refuses_what_is_not_a_clips_number_in_one_line(
    root: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = root / "spreekkamer.toml"
    file.write_text(
        '[room]\nname = "Kamer 1"\n[panel]\npanic = { pin = 17 }\nalarm = { pin = 5 }\n'
        f'[paths]\nstore = "{root}/store"\nrun = "{root}/run"\n'
    )
    command = ["spreekkamer", "clips", "fetch", "--config", str(file), "--to", str(root / "copy"), "--", NOT_IDS[name]]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == EXIT_REFUSED
    told = capsys.readouterr()
    assert told.out == ""
    assert_one_line(told.err.removesuffix("\n"))
    assert list(root.iterdir()) == [file]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"days": 0}, "--days"),
        ({"days": -1}, "--days"),
        ({"days": -(10**30)}, "--days"),
        ({"days": 29}, "28 days"),
        ({"days": 10**30}, "28 days"),
        ({"reason": ""}, "--reason must be one of"),
        ({"reason": "benefit-file"}, "--reason must be one of"),
        ({"reason": "Police-Report"}, "--reason must be one of"),
        ({"reason": "x" * 10_000}, "--reason must be one of"),
        ({"actor": ""}, "--actor"),
        ({"actor": "o\u0444ficer"}, "--actor"),
        ({"actor": "officer\nroot"}, "--actor"),
        ({"actor": "officer\0"}, "--actor"),
        ({"actor": "x" * 10_000}, "--actor"),
    ],
)
def test_a_hold_that_must_not_be_changes_nothing(
    root: Path, clock: SimClock, fields: dict[str, object], said: str
) -> None:
    keeper = two_clips(root, clock)
    before = everything(root)
    asked: dict[str, object] = {"reason": "police-report", "days": 5, "actor": "officer", **fields}
    error = ask(keeper, Verb.HOLD, **asked).error  # type: ignore[arg-type]
    assert said in error
    assert_one_line(error)
    assert everything(root) == before


def forged(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))


def longer(root: Path) -> None:
    forged(folder(root) / "birth.json", b'"retention_s":259200', b'"retention_s":999999')


def unsigned(root: Path) -> None:
    (folder(root) / "birth.json.sig").unlink()


def wrongly_signed(root: Path) -> None:
    (folder(root) / "birth.json.sig").write_bytes(random.Random(1).randbytes(64))


def signed_by_too_much(root: Path) -> None:
    (folder(root) / "birth.json.sig").write_bytes(bytes(1_000_000))


def half_written(root: Path) -> None:
    file = folder(root) / "birth.json"
    file.write_bytes(file.read_bytes()[:100])


def empty(root: Path) -> None:
    (folder(root) / "birth.json").write_bytes(b"")


def of_another_clip(root: Path) -> None:
    for name in ("birth.json", "birth.json.sig"):
        shutil.copy(folder(root, OTHER) / name, folder(root) / name)


def a_folder(root: Path) -> None:
    (folder(root) / "birth.json").unlink()
    (folder(root) / "birth.json").mkdir()


def nested(root: Path) -> None:
    (folder(root) / "birth.json").write_bytes(b"[" * 100_000)


def huge(root: Path) -> None:
    (folder(root) / "birth.json").write_bytes(b'{"kind":"birth","powered_on_ns":' + b"9" * 100_000 + b"}")


@pytest.mark.parametrize(
    "damage",
    [
        longer,
        unsigned,
        wrongly_signed,
        signed_by_too_much,
        half_written,
        empty,
        of_another_clip,
        a_folder,
        nested,
        huge,
    ],
)
@pytest.mark.parametrize("by", ["vault", "purge"])
def test_a_birth_that_cannot_be_believed_counts_from_its_sighting(
    root: Path, clock: SimClock, damage: Callable[[Path], None], by: str
) -> None:
    two_clips(root, clock).stop()
    damage(root)
    (root / "store" / "catalog.sqlite").unlink()
    clock.advance(10 * HOUR)
    keeper = starts_twice(root, clock)
    assert "clip-damaged" in faults(keeper)
    for hours, sound_is_kept, damaged_is_kept in ((61, True, True), (2, False, True), (9, False, False)):
        clock.advance(hours * HOUR)
        if by == "purge":
            purge(config(root), clock=clock)
        else:
            passes.tick(keeper)
        assert is_kept(root, OTHER) == sound_is_kept
        assert is_kept(root) == damaged_is_kept
    assert_ledger(root)
    assert (deletions(root, CLIP), deletions(root, OTHER)) == (1, 1)


def held(root: Path, clock: SimClock, *, days: int, clip: str = CLIP) -> Keeper:
    keeper = two_clips(root, clock)
    assert ask(keeper, Verb.HOLD, clip=clip, reason="police-report", days=days).error == ""
    return keeper


def copy_record(source: Path, target: Path) -> None:
    for suffix in ("", ".sig"):
        shutil.copy(Path(f"{source}{suffix}"), Path(f"{target}{suffix}"))


def test_a_hold_of_another_clip_does_not_count(root: Path, clock: SimClock) -> None:
    held(root, clock, days=20, clip=OTHER)
    copy_record(folder(root, OTHER) / "hold-1.json", folder(root) / "hold-1.json")
    clock.advance(3 * DAY)
    starts_twice(root, clock)
    assert not is_kept(root)
    assert is_kept(root, OTHER)


@pytest.mark.parametrize("number", [2, 3, 9999])
def test_a_hold_copied_under_a_later_number_does_not_undo_its_release(root: Path, clock: SimClock, number: int) -> None:
    keeper = held(root, clock, days=20)
    assert ask(keeper, Verb.RELEASE).error == ""
    copy_record(folder(root) / "hold-1.json", folder(root) / f"hold-{number + 1}.json")
    clock.advance(3 * DAY)
    starts_twice(root, clock)
    assert not is_kept(root)


def test_a_release_copied_over_a_later_hold_does_not_end_it(root: Path, clock: SimClock) -> None:
    keeper = held(root, clock, days=20)
    assert ask(keeper, Verb.RELEASE).error == ""
    assert ask(keeper, Verb.HOLD, reason="access-request", days=10).error == ""
    copy_record(folder(root) / "hold-2.json", folder(root) / "hold-4.json")
    clock.advance(9 * DAY)
    starts_twice(root, clock)
    assert is_kept(root)
    clock.advance(DAY)
    starts_twice(root, clock)
    assert not is_kept(root)


def test_a_hold_that_this_device_signed_beyond_the_cap_ends_at_28_days(root: Path, clock: SimClock) -> None:
    """No code path signs one; a leaked key could."""
    keeper = held(root, clock, days=20)
    file = folder(root) / "hold-1.json"
    hold = decode(HoldRecord, file.read_bytes())
    raw = file.read_bytes().replace(str(hold.until_age_ns).encode(), str(400 * DAY).encode())
    file.write_bytes(raw)
    Path(f"{file}.sig").write_bytes(keeper.key.sign(raw))
    clock.advance(28 * DAY - SECOND)
    starts_twice(root, clock)
    assert is_kept(root)
    clock.advance(SECOND)
    starts_twice(root, clock)
    assert not is_kept(root)


def test_a_birth_signed_with_no_end_still_ends_at_28_days(root: Path, clock: SimClock) -> None:
    keeper = two_clips(root, clock)
    file = folder(root) / "birth.json"
    raw = file.read_bytes().replace(b'"retention_s":259200', b'"retention_s":99999999999')
    assert decode(BirthRecord, raw).retention_s == 99_999_999_999
    file.write_bytes(raw)
    Path(f"{file}.sig").write_bytes(keeper.key.sign(raw))
    clock.advance(28 * DAY)
    starts_twice(root, clock)
    assert not is_kept(root)


CATALOGS: dict[str, bytes] = {
    "empty": b"",
    "random": random.Random(3).randbytes(40_000),
    "a header alone": b"SQLite format 3\0" + bytes(84),
    "a header and noise": b"SQLite format 3\0" + random.Random(4).randbytes(8_000),
    "text": b"this is not a database\n" * 100,
}


@pytest.mark.parametrize("name", CATALOGS)
def test_a_catalog_that_is_none_is_made_again_and_nothing_waits_for_it(root: Path, clock: SimClock, name: str) -> None:
    before = two_clips(root, clock)
    shown = before.status().clips
    before.stop()
    (root / "store" / "catalog.sqlite").write_bytes(CATALOGS[name])
    (root / "store" / "catalog.sqlite-wal").write_bytes(CATALOGS[name])
    keeper = starts_twice(root, clock)
    assert keeper.status().clips == shown
    assert "catalog" not in faults(keeper)
    clock.advance(72 * HOUR)
    assert len(purge(config(root), clock=clock).deleted) == 2
    assert_ledger(root)


ENTRY = '{"seq":%d,"prev":"%s","boot_id":"boot-1","action":"%s","object":"x","detail":%s}\n'
LEDGER_ENDS: dict[str, bytes] = {
    "half a line": b'{"seq":99,"prev":"',
    "NULs, as ext4 leaves them": bytes(4096),
    "NULs and a newline": bytes(4095) + b"\n",
    "NULs and half a line": bytes(100) + b'{"seq"',
    "1 MB of junk": random.Random(5).randbytes(1_000_000).replace(b"\n", b"") + b"\n",
    "1 MB of junk without an end": random.Random(6).randbytes(1_000_000).replace(b"\n", b""),
    "an empty line": b"\n",
    "a list": b"[1,2,3]\n",
    "deep nesting": b"[" * 15_000 + b"\n",
    "an entry with nothing in it": (ENTRY % (99, "0" * 64, "panel", "[]")).encode(),
    "an entry with other things in it": (ENTRY % (99, "0" * 64, "panel", '{"run":[],"number":"x"}')).encode(),
    "an entry of another clip": (ENTRY % (99, "0" * 64, "clip-delete", "null")).encode(),
    "an entry without an end to its number": (ENTRY % (10**400, "0" * 64, "panel", "{}")).encode(),
    "a number that is a claim": b'{"seq":true,"prev":"x","action":"clip-deleted","object":null}\n',
}


@pytest.mark.parametrize("name", LEDGER_ENDS)
@pytest.mark.parametrize("by", ["vault", "purge"])
def test_a_damaged_end_of_the_ledger_is_told_in_it_and_stops_no_deletion(
    root: Path, clock: SimClock, name: str, by: str
) -> None:
    two_clips(root, clock).stop()
    sound = ledger(root).read_bytes()
    ledger(root).write_bytes(sound + LEDGER_ENDS[name])
    keeper = starts_twice(root, clock)
    clock.advance(72 * HOUR)
    if by == "vault":
        passes.tick(keeper)
    else:
        assert len(purge(config(root), clock=clock).deleted) == 2
    assert (deletions(root, CLIP), deletions(root, OTHER)) == (1, 1)
    assert not is_kept(root)
    book = ledger(root).read_bytes()
    assert book.startswith(sound)
    if not LEDGER_ENDS[name].endswith(b"\n"):
        repaired = json.loads(book[len(sound) :].splitlines()[0])
        assert (repaired["action"], repaired["detail"]["bytes"]) == ("ledger-repaired", len(LEDGER_ENDS[name]))
        assert_ledger(root)


@pytest.mark.parametrize("is_rebooted", [False, True])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", bytes(200), b'{"powered_on_ns":-5,"boot_id":"x","boot_ns":0}']
)
def test_a_counter_that_cannot_be_read_lengthens_no_life_beyond_the_newest_birth(
    root: Path, clock: SimClock, content: bytes, is_rebooted: bool
) -> None:
    clock.trusted = False
    open_keeper(root, clock).stop()
    clock.advance(300 * DAY)  # what a counter that starts anew at zero would add to every life
    two_clips(root, clock).stop()
    (root / "store" / "powered-on.json").write_bytes(content)
    if is_rebooted:
        clock.reboot()
    keeper = starts_twice(root, clock)
    clock.advance(72 * HOUR)
    passes.tick(keeper)
    assert not is_kept(root)
    assert not is_kept(root, OTHER)


def test_records_of_every_kind_end_where_they_belong(root: Path, clock: SimClock) -> None:
    """A birth under a hold's name, a hold under the birth's: signed by this device, of this clip, and not of this kind."""
    held(root, clock, days=20).stop()
    names = [records.BIRTH, "hold-1.json"]
    kept = {name: [(folder(root) / f"{name}{suffix}").read_bytes() for suffix in ("", ".sig")] for name in names}
    for name, other in zip(names, reversed(names), strict=True):
        for suffix, content in zip(("", ".sig"), kept[other], strict=True):
            (folder(root) / f"{name}{suffix}").write_bytes(content)
    keeper = starts_twice(root, clock)
    assert "clip-damaged" in faults(keeper)
    clock.advance(72 * HOUR)
    passes.tick(keeper)
    assert not is_kept(root)
