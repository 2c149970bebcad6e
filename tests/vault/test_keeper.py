from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

import pytest

from edge.clock import SECOND
from edge.desk import verify_ledger
from edge.durable import Disk
from edge.errors import Refused, StoreError
from edge.messages import Event, decode
from edge.status import CLIPS_SHOWN, SNAPSHOT_LIMIT, VaultStatus
from edge.vault import passes, process, records, snapshot
from edge.vault.keeper import RECORDER_BACK_NS
from edge.vault.records import BirthRecord, Manifest
from tests.vault.support import (
    CLIP,
    HOUR,
    Recorder,
    RecordingDisk,
    SimClock,
    birth,
    close,
    config,
    happened,
    make_clip,
    open_keeper,
    segment,
)

OTHER = "20261118T085320Z-abcd"


def folder(root: Path, clip: str = CLIP) -> Path:
    return root / "store" / "clips" / clip


def entries(root: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (root / "store" / "ledger.jsonl").read_bytes().splitlines()]


def assert_ledger(root: Path) -> None:
    found = verify_ledger.check(root / "store" / "ledger.jsonl")
    assert found.is_ok, found


def openssl_accepts(store: Path, file: Path) -> bool:
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(store / "device.pub.pem"), "-rawin"]
    command += ["-in", str(file), "-sigfile", f"{file}.sig"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_birth_is_durable_before_the_first_segment(tmp_path: Path) -> None:
    clock, disk = SimClock(), RecordingDisk()
    keeper = open_keeper(tmp_path, clock, disk=disk)
    disk.effects.clear()
    make_clip(keeper, clock, segments=1, closed=False)
    order = disk.effects
    places = [
        order.index(("fsync", "birth.json.sig.tmp")),
        order.index(("create", "birth.json.sig")),
        order.index(("create", "birth.json")),
        order.index(("fsync", CLIP)),
        order.index(("fsync", "0000.age.tmp")),
        order.index(("create", "0000.age")),
    ]
    assert places == sorted(places)
    assert order.index(("fsync", "birth.json.tmp")) < order.index(("create", "birth.json"))
    assert ("fsync", "clips") in order[: places[-1]]
    assert order[-1] == ("fsync", CLIP)


def test_an_acknowledged_segment_is_stored_byte_for_byte(tmp_path: Path) -> None:
    clock = SimClock()
    recorder = Recorder(open_keeper(tmp_path, clock))
    recorder.must(birth(clock))
    payload = bytes(range(256)) * 20_000
    recorder.must(segment(0), payload)
    assert (folder(tmp_path) / "0000.age").read_bytes() == payload
    assert (folder(tmp_path) / "0000.age").stat().st_mode & 0o777 == 0o600


def test_telling_again_is_acknowledged_and_changes_nothing(tmp_path: Path) -> None:
    clock = SimClock()
    recorder = Recorder(open_keeper(tmp_path, clock))
    born = birth(clock)
    recorder.must(born)
    recorder.must(segment(0), b"sealed")
    before = {file.name: file.read_bytes() for file in folder(tmp_path).iterdir()}
    recorder.must(born)
    recorder.must(segment(0), b"sealed")
    assert {file.name: file.read_bytes() for file in folder(tmp_path).iterdir()} == before
    recorder.must(close(1))
    recorder.must(close(1))
    again = Recorder(open_keeper(tmp_path, clock))  # a restarted vault knows it too
    again.must(segment(0), b"sealed")
    again.must(close(1))


def test_a_segment_stored_with_other_bytes_and_one_after_a_gap_are_refused_for_good(tmp_path: Path) -> None:
    clock = SimClock()
    recorder = Recorder(open_keeper(tmp_path, clock))
    recorder.must(birth(clock))
    recorder.must(segment(0), b"sealed")
    answer = recorder.tell(segment(0), b"other")
    assert not answer.is_durable
    assert answer.is_final
    assert recorder.tell(segment(2), b"gap").is_final
    assert (folder(tmp_path) / "0000.age").read_bytes() == b"sealed"
    assert not (folder(tmp_path) / "0001.age").exists()


def test_a_second_birth_with_other_facts_is_refused_for_good(tmp_path: Path) -> None:
    clock = SimClock()
    recorder = Recorder(open_keeper(tmp_path, clock))
    recorder.must(birth(clock))
    answer = recorder.tell(birth(clock, incident="another"))
    assert answer.is_final
    assert not answer.is_durable


@pytest.mark.parametrize(
    "clip", ["../../etc/passwd", "", ".", CLIP + "/..", CLIP + "\0", "x" * 10_000, CLIP + "\n", CLIP.upper()]
)
def test_an_id_that_is_a_path_trick_touches_nothing(tmp_path: Path, clip: str) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    before = sorted(tmp_path.rglob("*"))
    recorder = Recorder(keeper)
    assert recorder.tell(birth(clock, clip=clip)).is_final
    assert recorder.tell(segment(0, clip=clip), b"x").is_final
    assert recorder.tell(close(1, clip=clip)).is_final
    assert sorted(tmp_path.rglob("*")) == before


def test_openssl_checks_birth_and_manifest_and_finds_a_changed_byte(tmp_path: Path) -> None:
    clock = SimClock()
    make_clip(open_keeper(tmp_path, clock), clock)
    for name in ("birth.json", "manifest.json"):
        file = folder(tmp_path) / name
        assert openssl_accepts(tmp_path / "store", file)
        file.write_bytes(file.read_bytes().replace(b"boot-1", b"boot-2"))
        assert not openssl_accepts(tmp_path / "store", file)


def test_the_manifest_chains_every_segment_from_the_birth_on(tmp_path: Path) -> None:
    clock = SimClock()
    make_clip(open_keeper(tmp_path, clock), clock, segments=3)
    manifest = records.from_bytes(Manifest, CLIP, (folder(tmp_path) / "manifest.json").read_bytes())
    assert manifest.state == "complete"
    assert manifest.media_ms == 3000
    script = "c=$(sha256sum < birth.json | cut -c1-64)\n"
    script += (
        "for f in 0*.age; do s=$(sha256sum < $f | cut -c1-64); c=$(printf %s%s $c $s | sha256sum | cut -c1-64); done\n"
    )
    script += "echo $c"
    by_hand = subprocess.run(["sh", "-c", script], cwd=folder(tmp_path), capture_output=True, text=True, check=True)
    assert by_hand.stdout.strip() == manifest.segments[-1].chain
    assert [entry.name for entry in manifest.segments] == ["0000.age", "0001.age", "0002.age"]


def test_a_clip_continues_the_newest_of_its_incident(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    first, second = Recorder(keeper), Recorder(keeper)
    first.must(birth(clock))
    first.must(segment(0), b"sealed")
    first.hang_up()
    clock.advance(2 * SECOND)
    second.must(birth(clock, clip=OTHER, pressed_ns=clock.boot_ns() - 2 * SECOND))
    born = records.from_bytes(BirthRecord, OTHER, (folder(tmp_path, OTHER) / "birth.json").read_bytes())
    assert born.continues == CLIP
    passes.tick(keeper)
    manifest = records.from_bytes(Manifest, CLIP, (folder(tmp_path) / "manifest.json").read_bytes())
    assert (manifest.state, manifest.media_ms, len(manifest.segments)) == ("interrupted", 1000, 1)


def test_a_recorder_that_does_not_come_back_leaves_an_interrupted_clip(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    recorder = make_clip(keeper, clock, closed=False)
    assert keeper.status().clips[0].state == "recording"
    recorder.hang_up()
    assert keeper.status().clips[0].state == "interrupted"
    clock.advance(RECORDER_BACK_NS // 2)
    passes.tick(keeper)
    assert not (folder(tmp_path) / "manifest.json").exists()
    clock.advance(RECORDER_BACK_NS)
    passes.tick(keeper)
    assert openssl_accepts(tmp_path / "store", folder(tmp_path) / "manifest.json")
    assert keeper.status().clips[0].safe_seconds == 2.0


def test_a_recorder_that_comes_back_late_still_completes_its_clip(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock, segments=1, closed=False).hang_up()
    clock.advance(2 * RECORDER_BACK_NS)
    passes.tick(keeper)
    keeper = open_keeper(tmp_path, clock)
    recorder = Recorder(keeper)
    recorder.must(segment(1), b"more")
    recorder.must(close(2))
    manifest = records.from_bytes(Manifest, CLIP, (folder(tmp_path) / "manifest.json").read_bytes())
    assert (manifest.state, len(manifest.segments)) == ("complete", 2)
    assert_ledger(tmp_path)


def test_a_clip_short_of_segments_is_kept_as_interrupted(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    recorder = make_clip(keeper, clock, segments=2, closed=False)
    answer = recorder.tell(close(3))
    assert answer.is_final
    assert not answer.is_durable
    manifest = records.from_bytes(Manifest, CLIP, (folder(tmp_path) / "manifest.json").read_bytes())
    assert manifest.state == "interrupted"
    assert manifest.facts is not None


def test_a_clip_goes_at_its_hour_and_the_ledger_says_so(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock, retention_s=3600)
    make_clip(keeper, clock)
    clock.advance(HOUR - SECOND)
    passes.tick(keeper)
    assert folder(tmp_path).exists()
    clock.advance(SECOND)
    passes.tick(keeper)
    assert not folder(tmp_path).exists()
    assert list((tmp_path / "store" / "trash").iterdir()) == []
    assert [entry["action"] for entry in entries(tmp_path)][-2:] == ["clip-delete", "clip-deleted"]
    assert [gone.id for gone in keeper.status().deleted] == [CLIP]
    assert_ledger(tmp_path)
    # What its recorder still sends is refused for good, also by a restarted vault; the clip does not come back.
    for again in (Recorder(keeper), Recorder(open_keeper(tmp_path, clock))):
        assert again.tell(segment(2), b"late").is_final
        assert again.tell(birth(clock)).is_final
    assert not folder(tmp_path).exists()


def test_a_press_corrected_by_a_trusted_clock_survives_a_restart(tmp_path: Path) -> None:
    clock = SimClock()
    clock.trusted, clock.wall = False, 0
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock)
    clock.advance(10 * SECOND)
    clock.trusted, clock.wall = True, 1_795_000_000 * SECOND
    passes.pass_through(keeper)
    clock.reboot(off_ns=71 * HOUR)
    keeper = open_keeper(tmp_path, clock)
    passes.pass_through(keeper)
    assert folder(tmp_path).exists()
    clock.reboot(off_ns=HOUR)
    keeper = open_keeper(tmp_path, clock)
    passes.pass_through(keeper)
    assert not folder(tmp_path).exists()


@pytest.mark.parametrize("damage", ["missing", "forged", "random", "of-another-clip", "unsigned"])
def test_a_damaged_birth_lives_72_hours_from_its_first_sighting(tmp_path: Path, damage: str) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock)
    make_clip(keeper, clock, clip=OTHER)
    victim = folder(tmp_path) / "birth.json"
    match damage:
        case "missing":
            victim.unlink()
        case "forged":
            victim.write_bytes(victim.read_bytes().replace(b'"retention_s":259200', b'"retention_s":999999'))
        case "random":
            victim.write_bytes(b"\x00\xff" * 50)
        case "of-another-clip":
            for suffix in ("", ".sig"):
                Path(f"{victim}{suffix}").write_bytes((folder(tmp_path, OTHER) / f"birth.json{suffix}").read_bytes())
        case "unsigned":
            Path(f"{victim}.sig").unlink()
            (tmp_path / "store" / "catalog.sqlite").unlink()
    clock.advance(10 * HOUR)
    keeper = open_keeper(tmp_path, clock)
    passes.pass_through(keeper)
    assert "clip-damaged" in {fault.code for fault in keeper.status().faults}
    for hours, is_there in ((71, True), (2, False)):
        clock.advance(hours * HOUR)
        keeper = open_keeper(tmp_path, clock)  # each restart goes by the noted sighting
        passes.pass_through(keeper)
        assert folder(tmp_path).exists() == is_there
    assert_ledger(tmp_path)


@pytest.mark.parametrize("how", ["removed", "random", "truncated", "locked-schema"])
def test_a_lost_catalog_changes_nothing(tmp_path: Path, how: str) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock, segments=3)
    before = keeper.status().clips
    keeper.stop()
    catalog = tmp_path / "store" / "catalog.sqlite"
    match how:
        case "removed":
            catalog.unlink()
        case "random":
            catalog.write_bytes(b"\x13\x37" * 4096)
        case "truncated":
            catalog.write_bytes(catalog.read_bytes()[:1000])
        case _:
            catalog.write_bytes(b"SQLite format 3\x00" + bytes(4080))
    keeper = open_keeper(tmp_path, clock)
    assert keeper.status().clips == before


def test_a_row_edited_by_hand_does_not_vouch_for_a_forged_birth(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock)
    victim = folder(tmp_path) / "birth.json"
    victim.write_bytes(victim.read_bytes().replace(b'"retention_s":259200', b'"retention_s":999999'))
    keeper = open_keeper(tmp_path, clock)  # the row is there, and says that a birth was checked: not this one
    passes.pass_through(keeper)
    assert "clip-damaged" in {fault.code for fault in keeper.status().faults}


def test_an_event_is_written_exactly_once_also_across_restarts(tmp_path: Path) -> None:
    clock = SimClock()
    for _ in range(3):
        recorder = Recorder(open_keeper(tmp_path, clock))
        for seq in range(1, 6):
            recorder.must(happened(seq))
            recorder.must(happened(seq))
    Recorder(open_keeper(tmp_path, clock)).must(happened(1, run="run-2", event=Event.RESET))
    written = [entry["detail"] for entry in entries(tmp_path) if entry["action"] == "panel"]
    assert [(detail["run"], detail["number"]) for detail in written] == [  # type: ignore[index]
        *[("run-1", seq) for seq in range(1, 6)],
        ("run-2", 1),
    ]
    assert_ledger(tmp_path)


def test_temp_files_and_folders_that_were_never_born_are_swept(tmp_path: Path) -> None:
    clock = SimClock()
    make_clip(open_keeper(tmp_path, clock), clock, closed=False)
    (folder(tmp_path) / "0002.age.tmp").write_bytes(b"half")
    (tmp_path / "store" / "powered-on.json.tmp").write_bytes(b"half")
    folder(tmp_path, OTHER).mkdir()
    (folder(tmp_path, OTHER) / "birth.json.sig").write_bytes(b"half")
    keeper = open_keeper(tmp_path, clock)
    assert list(tmp_path.rglob("*.tmp")) == []
    assert not folder(tmp_path, OTHER).exists()
    assert [clip.id for clip in keeper.status().clips] == [CLIP]


def test_a_store_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file, not a folder")
    with pytest.raises(Refused, match=r"store cannot be used: .*check paths.store") as caught:
        open_keeper(tmp_path, SimClock())
    assert "\n" not in str(caught.value)


def test_a_key_that_cannot_be_read_is_refused_and_not_replaced(tmp_path: Path) -> None:
    clock = SimClock()
    open_keeper(tmp_path, clock).stop()
    (tmp_path / "store" / "device.key").write_bytes(b"-----BEGIN nothing")
    with pytest.raises(Refused, match="put the device's key back"):
        open_keeper(tmp_path, clock)
    assert (tmp_path / "store" / "device.key").read_bytes() == b"-----BEGIN nothing"


def test_low_space_is_a_fault_before_any_press(tmp_path: Path) -> None:
    class SmallDisk(Disk):
        def free_bytes(self, path: Path) -> int:
            return 5_000_000

    keeper = process.open_keeper(config(tmp_path, reserve_clips=3), SimClock(), SmallDisk(), None)
    assert "low-space" in {fault.code for fault in keeper.status().faults}


def test_an_unlink_that_fails_is_a_fault_and_is_tried_again(tmp_path: Path) -> None:
    class StubbornDisk(Disk):
        stubborn = True

        def unlink(self, path: Path) -> None:
            if self.stubborn and path.name == "0001.age":
                raise StoreError(f"{path}: cannot remove: Input/output error")
            super().unlink(path)

    clock, disk = SimClock(), StubbornDisk()
    disk.stubborn = False
    keeper = open_keeper(tmp_path, clock, disk=disk, retention_s=3600)
    make_clip(keeper, clock)
    make_clip(keeper, clock, clip=OTHER)
    disk.stubborn = True
    clock.advance(HOUR)
    passes.tick(keeper)
    assert not folder(tmp_path).exists()
    assert keeper.status().deleted == ()
    assert "delete-failed" in {fault.code for fault in keeper.status().faults}
    disk.stubborn = False
    clock.advance(2 * 60 * SECOND)
    passes.tick(keeper)
    assert list((tmp_path / "store" / "trash").iterdir()) == []
    assert {gone.id for gone in keeper.status().deleted} == {CLIP, OTHER}
    assert "delete-failed" not in {fault.code for fault in keeper.status().faults}
    assert_ledger(tmp_path)


def test_a_clip_that_stays_beyond_its_hour_is_a_fault(tmp_path: Path) -> None:
    class StuckDisk(Disk):
        def rename(self, source: Path, target: Path) -> None:
            raise StoreError(f"{source}: cannot move away: Read-only file system")

    clock = SimClock()
    keeper = open_keeper(tmp_path, clock, disk=StuckDisk(), retention_s=3600)
    make_clip(keeper, clock)
    clock.advance(HOUR + 4 * 60 * SECOND)
    passes.tick(keeper)
    assert {fault.code for fault in keeper.status().faults} == {"delete-failed"}
    clock.advance(2 * 60 * SECOND)
    passes.tick(keeper)
    faults = {fault.code: fault for fault in keeper.status().faults}
    assert CLIP in faults["overdue"].detail


def test_a_snapshot_of_very_many_clips_stays_within_its_bound(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    for number in range(130):
        clock.advance(SECOND)
        make_clip(keeper, clock, clip=f"20261118T{number:06d}Z-abcd", segments=0, closed=False)
    raw = snapshot.bounded(keeper.status())
    assert len(raw) <= SNAPSHOT_LIMIT
    shown = decode(VaultStatus, raw)
    assert shown.clips_total == 130
    assert len(shown.clips) == CLIPS_SHOWN
    assert shown.clips[0].id == "20261118T000129Z-abcd"


def test_what_opens_a_segment_is_overwritten_before_it_is_unlinked(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    recorder = Recorder(keeper)
    payload = b"age-encryption.org/v1 " * 1000
    recorder.must(birth(clock))
    recorder.must(segment(0), payload)
    recorder.must(close(1))
    (tmp_path / "forensic").hardlink_to(folder(tmp_path) / "0000.age")  # what the disk holds at that place
    clock.advance(72 * HOUR)
    passes.tick(keeper)
    assert not folder(tmp_path).exists()
    assert (tmp_path / "forensic").read_bytes() == bytes(4096) + payload[4096:]


def test_a_header_that_cannot_be_overwritten_saves_no_clip(tmp_path: Path) -> None:
    class Worn(Disk):
        def deface(self, path: Path, size: int) -> None:
            raise StoreError(f"{path}: cannot overwrite: Input/output error")

    clock = SimClock()
    keeper = open_keeper(tmp_path, clock, disk=Worn())
    make_clip(keeper, clock)
    clock.advance(72 * HOUR)
    passes.tick(keeper)
    assert not folder(tmp_path).exists()
    assert list((tmp_path / "store" / "trash").iterdir()) == []


def test_a_sighting_edited_by_hand_does_not_count(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock)
    (folder(tmp_path) / "birth.json").unlink()
    keeper = open_keeper(tmp_path, clock)
    sighting = folder(tmp_path) / "sighting.json"
    noted = json.loads(sighting.read_bytes())
    assert noted["powered_on_ns"] == keeper.now().powered_on_ns
    sighting.write_bytes(json.dumps({**noted, "powered_on_ns": 10**18}).encode())
    keeper = open_keeper(tmp_path, clock)
    passes.pass_through(keeper)
    (fault,) = [fault for fault in keeper.status().faults if fault.code == "clip-damaged"]
    assert "sighting.json is not signed" in fault.detail
    clock.advance(72 * HOUR)
    passes.tick(open_keeper(tmp_path, clock))
    assert not folder(tmp_path).exists()


def test_a_vault_whose_passes_stopped_does_not_say_that_it_works(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    assert passes.is_overdue(keeper), "before the first pass"
    passes.pass_through(keeper)
    assert not passes.is_overdue(keeper)
    clock.since_boot_ns += 2 * passes.PASS_EVERY_NS
    assert not passes.is_overdue(keeper)
    clock.since_boot_ns += 1
    assert passes.is_overdue(keeper)
    passes.tick(keeper)
    assert not passes.is_overdue(keeper)


def test_no_more_than_eight_segments_wait_in_ram_for_their_hash(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    recorder = Recorder(keeper)
    recorder.must(birth(clock))
    free = threading.Event()
    keeper.hashing.submit(free.wait, 30.0)
    for number in range(8):
        recorder.must(segment(number), bytes([number]) * 100)
    ninth = threading.Thread(target=lambda: recorder.must(segment(8), b"ninth"), daemon=True)
    ninth.start()
    ninth.join(0.2)
    assert ninth.is_alive(), "it waits for the first one's hash"
    free.set()
    ninth.join(30.0)
    assert keeper.clip(CLIP).segments == 9
