from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.commands import app
from edge.desk import verify_clip, verify_shapes
from edge.errors import Refused
from tests.desk.copies import CUT, DARK, OTHER, REST, Device
from tests.vault.support import CLIP

LONG = os.environ.get("SPREEKKAMER_LONG") == "1"


def told(found: verify_clip.ClipFound) -> dict[str, str]:
    return dict(found.facts)


def wrong(found: verify_clip.ClipFound) -> set[str]:
    return {problem.file for problem in found.problems}


def hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def edit(file: Path, old: bytes, new: bytes) -> None:
    raw = file.read_bytes()
    assert old in raw
    file.write_bytes(raw.replace(old, new))


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def swap_signed(one: Path, other: Path) -> None:
    swap(one, other)
    swap(one.with_name(f"{one.name}.sig"), other.with_name(f"{other.name}.sig"))


class Hand:
    """What tamperers have at hand: the copy, another clip of the device, the same clip of another device."""

    def __init__(self, copy: Path, device: Device, stranger: Device) -> None:
        self.copy = copy
        self.device = device
        self.other = device.store / "clips" / OTHER
        self.stranger = stranger
        self.strange = stranger.store / "clips" / CLIP

    def file(self, name: str) -> Path:
        return self.copy / name

    def take(self, name: str, source: Path, to: str = "") -> None:
        shutil.copy(source / name, self.copy / (to or name))

    def take_signed(self, name: str, source: Path, to: str = "") -> None:
        self.take(name, source, to)
        self.take(f"{name}.sig", source, f"{to}.sig" if to else "")

    def sign(self, name: str, by: Device, **fields: Any) -> None:
        """Change a record's fields and sign it."""
        record = {**json.loads(self.file(name).read_bytes()), **fields}
        raw = json.dumps(record).encode()
        self.file(name).write_bytes(raw)
        self.file(f"{name}.sig").write_bytes(by.key.sign(raw))

    def sign_all(self, by: Device) -> None:
        for file in self.copy.glob("*.json"):
            self.sign(file.name, by)

    def remove(self, *names: str) -> None:
        for name in names:
            self.file(name).unlink()

    def link_away(self, name: str) -> None:
        away = self.copy.parent / "away"
        self.file(name).rename(away)
        self.file(name).symlink_to(away)


def edit_segment_and_its_hash(it: Hand) -> None:
    before = hash_of(it.file("0003.age"))
    it.file("0003.age").write_bytes(bytes(120))
    edit(it.file("manifest.json"), before.encode(), hash_of(it.file("0003.age")).encode())


# What is done to the copy, which files are named, and what is said of the first.
Tampering = tuple[Callable[[Hand], object], set[str], str]
TAMPERINGS: Final[dict[str, Tampering]] = {
    "a segment missing": (lambda it: it.remove("0001.age"), {"0001.age"}, "missing: a segment of 300 bytes"),
    "the last segment missing": (lambda it: it.remove("0003.age"), {"0003.age"}, "missing"),
    "all segments missing": (
        lambda it: it.remove(*(f"000{number}.age" for number in range(4))),
        {f"000{number}.age" for number in range(4)},
        "missing",
    ),
    "two segments swapped": (
        lambda it: swap(it.file("0001.age"), it.file("0002.age")),
        {"0001.age", "0002.age"},
        "exchanged: holds what belongs in 0002.age",
    ),
    "a segment twice": (lambda it: it.take("0001.age", it.copy, "0002.age"), {"0002.age"}, "belongs in 0001.age"),
    "a segment renamed": (
        lambda it: it.file("0003.age").rename(it.file("0004.age")),
        {"0003.age", "0004.age"},
        "missing",
    ),
    "a segment cut short": (lambda it: os.truncate(it.file("0000.age"), 699), {"0000.age"}, "cut short: 699 bytes"),
    "a segment emptied": (lambda it: os.truncate(it.file("0000.age"), 0), {"0000.age"}, "cut short: 0 bytes, not 700"),
    "a segment longer": (lambda it: os.truncate(it.file("0000.age"), 701), {"0000.age"}, "too long: 701 bytes"),
    "a segment edited": (
        lambda it: it.file("0003.age").write_bytes(bytes(120)),
        {"0003.age"},
        "changed or foreign",
    ),
    "a segment of another clip": (lambda it: it.take("0002.age", it.other), {"0002.age"}, "changed or foreign"),
    "a segment put in at the end": (
        lambda it: it.take("0000.age", it.other, "0004.age"),
        {"0004.age"},
        "not in the manifest, put in",
    ),
    "a segment through a link": (lambda it: it.link_away("0001.age"), {"0001.age"}, "not a plain file"),
    "the birth edited": (
        lambda it: edit(it.file("birth.json"), b'"retention_s":259200', b'"retention_s":259201'),
        {"birth.json"},
        "not the birth that the manifest",
    ),
    "the birth missing": (lambda it: it.remove("birth.json"), {"birth.json", "birth.json.sig"}, "missing"),
    "the birth's signature missing": (lambda it: it.remove("birth.json.sig"), {"birth.json"}, "birth.json.sig is miss"),
    "the birth of another clip": (
        lambda it: it.take_signed("birth.json", it.other),
        {"birth.json"},
        f"of clip {OTHER}",
    ),
    "the birth of another device": (
        lambda it: it.take_signed("birth.json", it.strange),
        {"birth.json"},
        "not signed by the device",
    ),
    "the manifest edited": (
        lambda it: edit(it.file("manifest.json"), b'"frames_dropped":0', b'"frames_dropped":9'),
        {"manifest.json"},
        "not signed by the device",
    ),
    "a hash in the manifest edited for an edited segment": (
        edit_segment_and_its_hash,
        {"manifest.json"},
        "the chain breaks at 0003.age",
    ),
    "the manifest missing": (lambda it: it.remove("manifest.json"), {"manifest.json", "manifest.json.sig"}, "missing"),
    "the manifest's signature missing": (
        lambda it: it.remove("manifest.json.sig"),
        {"manifest.json"},
        "not signed: manifest.json.sig is missing",
    ),
    "the manifest emptied": (lambda it: os.truncate(it.file("manifest.json"), 0), {"manifest.json"}, "no JSON object"),
    "the manifest of another clip": (
        lambda it: it.take_signed("manifest.json", it.other),
        {"manifest.json"},
        f"of clip {OTHER}",
    ),
    "the manifest of another device": (
        lambda it: it.take_signed("manifest.json", it.strange),
        {"manifest.json"},
        "not signed by the device",
    ),
    "a signature of another record": (
        lambda it: it.take("birth.json.sig", it.copy, "manifest.json.sig"),
        {"manifest.json"},
        "not signed by the device",
    ),
    "a signature cut short": (
        lambda it: os.truncate(it.file("birth.json.sig"), 63),
        {"birth.json"},
        "not signed by the device",
    ),
    "a manifest in the place of the birth": (
        lambda it: it.take_signed("manifest.json", it.copy, "birth.json"),
        {"birth.json"},
        'its kind is "manifest"',
    ),
    "the public key of another device": (
        lambda it: it.take("device.pub.pem", it.stranger.store),
        {"device.pub.pem"},
        "signed none of birth.json, manifest.json",
    ),
    "the public key missing": (lambda it: it.remove("device.pub.pem"), {"device.pub.pem"}, "missing"),
    "the public key emptied": (lambda it: os.truncate(it.file("device.pub.pem"), 0), {"device.pub.pem"}, "not an Ed25"),
    "the public key written otherwise": (
        lambda it: edit(it.file("device.pub.pem"), b"\n", b"\r\n"),
        {"device.pub.pem"},
        "not as the device writes it",
    ),
    "a hold edited": (
        lambda it: edit(it.file("hold-3.json"), b'"until_age_ns":1', b'"until_age_ns":2'),
        {"hold-3.json"},
        "not signed by the device",
    ),
    "a hold unsigned": (lambda it: it.remove("hold-3.json.sig"), {"hold-3.json"}, "hold-3.json.sig is missing"),
    "a hold removed but for its signature": (
        lambda it: it.remove("hold-3.json"),
        {"hold-3.json.sig"},
        "a signature without hold-3.json",
    ),
    "a release removed": (
        lambda it: it.remove("hold-2.json", "hold-2.json.sig"),
        {"hold-2.json"},
        "missing: there is a hold-3.json",
    ),
    "a hold put in again": (
        lambda it: it.take_signed("hold-1.json", it.copy, "hold-4.json"),
        {"hold-4.json"},
        "holds what belongs in hold-1.json",
    ),
    "the last hold copied": (
        lambda it: it.take_signed("hold-3.json", it.copy, "hold-4.json"),
        {"hold-4.json"},
        "holds what belongs in hold-3.json",
    ),
    "hold and release exchanged": (
        lambda it: swap_signed(it.file("hold-2.json"), it.file("hold-3.json")),
        {"hold-2.json", "hold-3.json"},
        "holds what belongs in hold-3.json",
    ),
    "the outcome of another device": (
        lambda it: it.take_signed("outcome-1.json", it.strange),
        {"outcome-1.json"},
        "not signed by the device",
    ),
    "a file that does not belong": (
        lambda it: it.file("readme.txt").write_bytes(b"hello"),
        {"readme.txt"},
        "does not belong to a clip",
    ),
    "a file of a copy that was cut": (
        lambda it: it.file("0002.age.tmp").write_bytes(b""),
        {"0002.age.tmp"},
        "does not belong to a clip",
    ),
    "a note that is not signed": (
        lambda it: it.file("sighting.json").write_bytes(b"{}"),
        {"sighting.json"},
        "not signed",
    ),
    "a folder inside": (lambda it: it.file("0004.age").mkdir(), {"0004.age"}, "not a plain file"),
    "a name that a terminal would obey": (
        lambda it: it.file("\x1b[2Jevil").write_bytes(b""),
        {"\x1b[2Jevil"},
        "does not belong to a clip",
    ),
}


@pytest.fixture
def hand(copied: Path, device: Device, stranger: Device) -> Hand:
    return Hand(copied, device, stranger)


@pytest.mark.parametrize("name", TAMPERINGS)
def test_every_tampering_is_found_with_its_place(hand: Hand, name: str) -> None:
    tamper, files, what = TAMPERINGS[name]
    tamper(hand)
    found = verify_clip.check(hand.copy)
    print(f"{name}: {' | '.join(map(str, found.problems))}")
    assert wrong(found) == files
    assert what in found.problems[0].what
    assert "\x1b" not in str(found)


def test_the_untouched_clips_are_sound(device: Device, tmp_path: Path) -> None:
    for clip in (CLIP, OTHER, CUT, REST, DARK):
        for folder in (tmp_path / clip, tmp_path / f"copy-of-{clip[-4:]}"):
            found = verify_clip.check(device.copy(clip, folder))
            assert found.problems == ()
            assert found.clip == clip


def test_what_was_verified_is_told(device: Device, copied: Path, tmp_path: Path) -> None:
    facts = told(verify_clip.check(copied))
    assert device_fingerprint(device) in facts["signed by"]
    assert facts["pressed"].startswith("2026-11-18T11:06:40Z, the network kept the clock; 100.000 s after boot boot-1")
    assert facts["before the press"] == "29.96 s, asked 30 s"
    assert facts["after the press"] == "5 s"
    assert facts["footage"] == "4 segments, 4 s of picture, complete"
    assert (facts["picture gaps"], facts["dropped"]) == ("none", "0 pictures, 0 of sound (in the clip: 875 pictures)")
    assert (facts["sound's offset"], facts["ended by"]) == ("no sound", "its time, or a reset")
    assert (facts["source"], facts["software"]) == ("camera", "spreekkamer 0.1.0")
    assert facts["continues"] == "no other clip"
    assert facts["hold"] == "until 2026-11-30T11:09:13Z (court-or-authority, by officer)"
    assert facts["outcome"] == "verbal, by officer"
    assert facts["ledger's head"] == device.heads[0]
    rest = told(verify_clip.check(device.copy(REST, tmp_path / "rest")))
    assert rest["continues"] == CUT
    cut = told(verify_clip.check(device.copy(CUT, tmp_path / "cut")))
    assert cut["footage"].endswith("interrupted")
    assert "did not come back" in cut["recorder"]
    dark = told(verify_clip.check(device.copy(DARK, tmp_path / "dark")))
    assert dark["press, corrected"].startswith("2026-11-18T11:09:11Z")


def test_gaps_drops_and_offset_are_told_where_they_are(hand: Hand) -> None:
    facts = json.loads(hand.file("manifest.json").read_bytes())["facts"]
    facts |= {"picture_gaps_ms": [[1500, 700]], "sound_gaps_ms": [[0, 250], [9000, 1000]], "frames_dropped": 3}
    facts["sound_dropped"] = 2
    hand.sign("manifest.json", hand.device, facts={**facts, "sound": "aac", "sound_offset_ms": 12.5})
    found = verify_clip.check(hand.copy)
    assert found.is_ok
    assert told(found)["picture gaps"] == "0.7 s at 1.5 s"
    assert told(found)["sound gaps"] == "0.25 s at 0 s, 1 s at 9 s"
    assert told(found)["sound's offset"] == "corrected by at most 12.5 ms"
    assert told(found)["dropped"].startswith("3 pictures, 2 of sound")


def test_what_is_not_signed_is_not_told_as_a_fact(hand: Hand) -> None:
    edit(hand.file("manifest.json"), b'"post_roll_ms":5000', b'"post_roll_ms":9000')
    assert "after the press" not in told(verify_clip.check(hand.copy))
    edit(hand.file("hold-3.json"), b"court-or-authority", b"police-report")
    assert "hold" not in told(verify_clip.check(hand.copy))
    hand.remove("device.pub.pem")
    assert told(verify_clip.check(hand.copy)) == {}


def device_fingerprint(device: Device) -> str:
    key = verify_shapes.parsed_key((device.store / "device.pub.pem").read_bytes())
    assert key is not None
    return verify_shapes.fingerprint_of(key)


def test_a_clip_signed_anew_by_another_device_shows_against_a_key_noted_elsewhere(hand: Hand, tmp_path: Path) -> None:
    noted, print_noted = hand.device.store / "device.pub.pem", device_fingerprint(hand.device)
    assert verify_clip.check(hand.copy, key=noted).is_ok
    assert verify_clip.check(hand.copy, fingerprint=f" {print_noted[:32].upper()}:{print_noted[32:]}").is_ok
    assert "as given" in told(verify_clip.check(hand.copy, key=noted))["signed by"]
    hand.sign_all(hand.stranger)
    hand.sign("manifest.json", hand.stranger, birth_sha256=hash_of(hand.file("birth.json")))
    hand.sign("manifest.json", hand.stranger, segments=chained(hand))
    hand.take("device.pub.pem", hand.stranger.store)
    assert verify_clip.check(hand.copy).is_ok  # sound in itself: only what was noted elsewhere can tell
    by_key = verify_clip.check(hand.copy, key=noted)
    assert wrong(by_key) == {"device.pub.pem"}
    assert "the key of another device" in by_key.problems[0].what
    assert "signed none of" in by_key.problems[1].what
    by_print = verify_clip.check(hand.copy, fingerprint=print_noted)
    assert wrong(by_print) == {"device.pub.pem"}
    assert by_print.facts == ()
    hand.remove("device.pub.pem")
    assert wrong(verify_clip.check(hand.copy, key=noted)) == {"device.pub.pem"}
    with pytest.raises(Refused, match="not the one that was given"):
        verify_clip.check(hand.copy, key=noted, fingerprint="ab" * 32)


def chained(it: Hand) -> list[dict[str, Any]]:
    record = json.loads(it.file("manifest.json").read_bytes())
    chain = record["birth_sha256"]
    for entry in record["segments"]:
        chain = entry["chain"] = hashlib.sha256(f"{chain}{entry['sha256']}".encode()).hexdigest()
    return list(record["segments"])


def test_a_folder_that_bears_another_clips_number_is_told(device: Device, tmp_path: Path) -> None:
    found = verify_clip.check(device.copy(OTHER, tmp_path / CLIP))
    assert {"birth.json", "manifest.json"} <= wrong(found)
    assert f"of clip {OTHER}, not of {CLIP}" in found.problems[0].what


# What only the device itself could sign, and what it must not say.
LIES: Final[dict[str, tuple[str, dict[str, Any], set[str]]]] = {
    "another software": ("manifest.json", {"software": "other"}, {"manifest.json"}),
    "another source": ("manifest.json", {"sources": ["other"]}, {"manifest.json"}),
    "continues another": ("manifest.json", {"continues": OTHER}, {"manifest.json"}),
    "another hour": ("manifest.json", {"pressed_wall_ns": 1}, {"manifest.json"}),
    "another hour in words": ("manifest.json", {"pressed_at": "2026-11-18T11:06:41Z"}, {"manifest.json"}),
    "an hour that is none": ("manifest.json", {"pressed_wall_ns": 10**40}, {"manifest.json"}),
    "another birth": ("manifest.json", {"birth_sha256": "ab" * 32}, {"birth.json", "manifest.json"}),
    "another press in a hold": ("hold-1.json", {"press_powered_on_ns": 5}, {"hold-1.json"}),
    "a field of another type": ("manifest.json", {"media_ms": "4000"}, {"manifest.json"}),
    "facts of another type": ("manifest.json", {"facts": {"sound": 3}}, {"manifest.json"}),
    "a segment of another type": ("manifest.json", {"segments": ["0000.age"]}, {"manifest.json"}),
    "a number that is none": ("birth.json", {"retention_s": 10**4000}, {"birth.json"}),
    "letters that are none": ("manifest.json", {"birth_sha256": "\ud800" * 64}, {"manifest.json"}),
    "a clip that is none": ("hold-1.json", {"clip": "../../x"}, {"hold-1.json"}),
    "another kind": ("hold-1.json", {"kind": "outcome"}, {"hold-1.json"}),
}


@pytest.mark.parametrize("name", LIES)
def test_records_that_do_not_agree_are_told_even_when_signed(hand: Hand, name: str) -> None:
    record, fields, files = LIES[name]
    hand.sign(record, hand.device, **fields)
    found = verify_clip.check(hand.copy)
    print(f"{name}: {' | '.join(map(str, found.problems))}")
    assert wrong(found) == files


def test_segments_that_a_manifest_names_out_of_order_are_told(hand: Hand) -> None:
    segments = json.loads(hand.file("manifest.json").read_bytes())["segments"]
    hand.sign("manifest.json", hand.device, segments=[segments[1], segments[0], *segments[2:]])
    hand.sign("manifest.json", hand.device, segments=chained(hand))
    found = verify_clip.check(hand.copy)
    assert [str(problem) for problem in found.problems] == ["manifest.json: names 0001.age where 0000.age belongs"]


def test_a_corrected_time_needs_its_correction(device: Device, tmp_path: Path) -> None:
    folder = device.copy(DARK, tmp_path / "dark")
    (folder / "press-wall.json").unlink()
    (folder / "press-wall.json.sig").unlink()
    found = verify_clip.check(folder)
    assert wrong(found) == {"press-wall.json"}


@pytest.fixture(scope="module")
def flipped(device: Device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return device.copy(CLIP, tmp_path_factory.mktemp("flip") / "copy")


def finds_flip(folder: Path, name: str, at: int, mask: int) -> bool:
    file = folder / name
    raw = file.read_bytes()
    changed = bytearray(raw)
    changed[at] ^= mask
    file.write_bytes(changed)
    try:
        return not verify_clip.check(folder).is_ok
    finally:
        file.write_bytes(raw)


@settings(deadline=None, max_examples=3000 if LONG else 300)
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_found(flipped: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(file.name for file in flipped.iterdir())))
    at = data.draw(st.integers(0, (flipped / name).stat().st_size - 1))
    assert finds_flip(flipped, name, at, data.draw(st.integers(1, 255)))


@pytest.mark.long
def test_each_byte_of_each_file_is_covered(flipped: Path) -> None:
    for file in sorted(flipped.iterdir()):
        for at in range(file.stat().st_size):
            assert finds_flip(flipped, file.name, at, 1 << at % 8), (file.name, at)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_signed_nonsense_is_judged_and_never_raises(
    device: Device, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = device.copy(CLIP, tmp_path_factory.mktemp("nonsense") / "copy")
    file = folder / data.draw(st.sampled_from(["birth.json", "manifest.json", "hold-1.json", "outcome-1.json"]))
    record = json.loads(file.read_bytes())
    place = record.get("facts", record) if data.draw(st.booleans()) else record
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(VALUES)
    raw = json.dumps(record).encode()
    file.write_bytes(raw)
    file.with_name(f"{file.name}.sig").write_bytes(device.key.sign(raw))
    assert str(verify_clip.check(folder))


def test_rubbish_for_a_record_is_told(hand: Hand) -> None:
    for rubbish in (b"", b"[]", b"\xff", b"[" * 100_000, b"1" * 10_000, b'{"kind":"hold","clip":7}'):
        hand.file("hold-1.json").write_bytes(rubbish)
        assert "hold-1.json" in wrong(verify_clip.check(hand.copy))


def test_what_cannot_be_read_is_refused(tmp_path: Path, copied: Path) -> None:
    with pytest.raises(Refused, match="give the folder of one clip"):
        verify_clip.check(tmp_path / "nothing")
    with pytest.raises(Refused, match="cannot be read"):
        verify_clip.check(copied, key=tmp_path / "nothing")
    with pytest.raises(Refused, match="not an Ed25519 public key"):
        verify_clip.check(copied, key=copied / "birth.json")
    with pytest.raises(Refused, match="64 hexadecimal digits"):
        verify_clip.check(copied, fingerprint="abc")


def test_the_command_tells_and_exits_as_it_found(hand: Hand, capsys: pytest.CaptureFixture[str]) -> None:
    key = str(hand.device.store / "device.pub.pem")
    app(["verify", "clip", str(hand.copy), "--key", key], standalone_mode=False)
    assert f"{hand.copy}: sound" in capsys.readouterr().out
    hand.remove("0001.age")
    with pytest.raises(Refused, match="not sound: 1 wrong"):
        app(["verify", "clip", str(hand.copy)], standalone_mode=False)
    assert "WRONG  0001.age: missing" in capsys.readouterr().out
