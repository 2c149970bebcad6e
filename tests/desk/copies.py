"""Copies as a lawyer gets them: clips and ledgers that the vault's own code wrote in a folder of the test."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from edge.clock import SECOND
from edge.messages import Request, Verb
from edge.vault import passes
from edge.vault.keeper import RECORDER_BACK_NS, Keeper
from edge.vault.requests import Visit, reply
from edge.vault.signing import DeviceKey, load
from tests.vault.support import CLIP, Recorder, SimClock, birth, close, open_keeper, segment

OTHER = "20261118T093320Z-abcd"
CUT = "20261118T103320Z-cccc"
REST = "20261118T103400Z-dddd"
DARK = "20261118T113320Z-eeee"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device's store, and the heads of its ledger as they were."""

    store: Path
    key: DeviceKey
    heads: tuple[str, ...]

    def copy(self, clip: str, to: Path) -> Path:
        """A clip's folder with the device's public key beside its files."""
        shutil.copytree(self.store / "clips" / clip, to)
        shutil.copy(self.store / "device.pub.pem", to)
        return to


def ask(keeper: Keeper, verb: Verb, *, reason: str = "", days: int = 0, actor: str = "officer") -> None:
    request = Request(verb=verb, clip=CLIP, actor=actor, reason=reason, days=days)
    answer, _ = reply(keeper, request, Visit(uid=1000))
    assert answer.error == ""


def record(keeper: Keeper, clock: SimClock, clip: str, *, incident: str = "", is_closed: bool = True) -> None:
    """A clip of four segments, the second and the third of equal length."""
    seeded = random.Random(clip)
    recorder = Recorder(keeper)
    recorder.must(birth(clock, clip=clip, incident=incident or f"of-{clip}"))
    for number, size in enumerate((700, 300, 300, 120)):
        payload = seeded.randbytes(size)
        recorder.must(segment(number, clip=clip), payload)
    if is_closed:
        recorder.must(close(4, clip=clip))
    recorder.hang_up()


def make_device(root: Path) -> Device:
    """A device whose store holds every kind of clip.

    CLIP was held, released, held again and judged; OTHER is plain; CUT was interrupted and REST continues it; DARK
    was pressed before the clock could be trusted.
    """
    clock, heads = SimClock(), []
    keeper = open_keeper(root, clock)
    for clip in (CLIP, OTHER):
        record(keeper, clock, clip)
        heads.append(keeper.ledger.head)
        clock.advance(60 * SECOND)
    record(keeper, clock, CUT, incident="long", is_closed=False)
    record(keeper, clock, REST, incident="long")
    clock.advance(RECORDER_BACK_NS + SECOND)
    passes.tick(keeper)
    clock.trusted = False
    clock.wall -= 1000 * SECOND
    record(keeper, clock, DARK, is_closed=False)
    clock.trusted = True
    clock.wall += 1000 * SECOND
    passes.pass_through(keeper)
    Recorder(keeper).must(close(4, clip=DARK))
    ask(keeper, Verb.HOLD, reason="police-report", days=9)
    clock.advance(SECOND)
    ask(keeper, Verb.RELEASE)
    clock.advance(SECOND)
    ask(keeper, Verb.HOLD, reason="court-or-authority", days=12)
    ask(keeper, Verb.OUTCOME, reason="verbal")
    heads.append(keeper.ledger.head)
    keeper.stop()
    return Device(store=keeper.store.root, key=load(keeper.store, None), heads=tuple(heads))
