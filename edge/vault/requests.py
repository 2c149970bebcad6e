"""What a person may ask of the vault at `spreekkamer clips`: from one Request to one Reply, with its ledger entry.

Access is the socket file's permissions; the peer's uid goes into the ledger with the role that the person gives. Each
change writes its entry before it is made; if the ledger cannot be written, the change is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

from edge.clock import SECOND, iso
from edge.errors import NoSuchClip, Refused, SpreekkamerError, StoreError
from edge.messages import DeleteReason, HoldReason, Outcome, Reply, Request, Verb
from edge.vault import proof, reading, records, retention, snapshot
from edge.vault.drill import SEALED
from edge.vault.keeper import Keeper
from edge.vault.ledger import Action
from edge.vault.reading import Clip
from edge.vault.retention import CAP_NS, DAY_NS, Life, Now
from edge.vault.store import DEVICE_PUBLIC

# A role or a pseudonym, never more than a line can show.
_ACTOR: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}", re.ASCII)
_HEAD: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

E = TypeVar("E", bound=StrEnum)


@dataclass(slots=True, kw_only=True)
class Visit:
    """One connection of one person: who it is, and what was fetched on it (one ledger entry each, not one a file)."""

    uid: int
    fetched: set[str] = field(default_factory=set)


def reply(keeper: Keeper, request: Request, visit: Visit) -> tuple[Reply, bytes]:
    """Do what is asked; the reply and the bytes that follow it. A refusal is a reply too."""
    try:
        match request.verb:
            case Verb.LIST:
                return _list(keeper)
            case Verb.FETCH:
                return _fetch(keeper, request, visit)
            case Verb.DRILL_FETCH:
                return Reply(data={"name": SEALED}), keeper.drill.fetch()
            case verb:
                return Reply(data=_ACTS[verb](keeper, request, visit)), b""
    except SpreekkamerError as err:
        return Reply(error=str(err)), b""


def _list(keeper: Keeper) -> tuple[Reply, bytes]:
    now = keeper.now()
    rows = [asdict(row) for row in snapshot.statuses(snapshot.newest_first(keeper.all()), now, keeper.is_recording)]
    return Reply(data={"total": len(rows)}), json.dumps(rows, separators=(",", ":")).encode()


def _fetch(keeper: Keeper, request: Request, visit: Visit) -> tuple[Reply, bytes]:
    with keeper.lock:
        clip = keeper.clip(request.clip)
        actor = _actor(request.actor) if request.actor else ""
        if clip.id not in visit.fetched:
            keeper.ledger.append(Action.CLIP_FETCHED, clip.id, "sealed-copy", actor=actor, uid=visit.uid)
            visit.fetched.add(clip.id)
    names = [*reading.files(keeper.store, clip.id), DEVICE_PUBLIC]
    if not request.name:
        return Reply(data={"names": names, "state": clip.state}), b""
    if request.name not in names:
        raise NoSuchClip(f"clip {clip.id} has no file {request.name[:40]!r}")
    folder = keeper.store.root if request.name == DEVICE_PUBLIC else keeper.store.clip(clip.id)
    path = folder / request.name
    try:
        content = path.read_bytes()
    except OSError as err:
        raise StoreError(f"{path}: cannot be read: {err.strerror}") from err
    return Reply(data={"name": request.name, "bytes": len(content)}), content


def _hold(keeper: Keeper, request: Request, visit: Visit) -> dict[str, Any]:
    with keeper.lock:
        clip, life, now = _asked(keeper, request)
        actor = _actor(request.actor)
        reason = _of_list(HoldReason, request.reason, "--reason")
        if request.days < 1:
            raise Refused("a hold needs --days, at least 1")
        until_age_ns = retention.age_ns(life, now) + request.days * DAY_NS
        if until_age_ns > CAP_NS:
            most = (CAP_NS - retention.age_ns(life, now)) // DAY_NS
            raise Refused(
                f"a hold ends at most 28 days after the press: for {clip.id} at most {max(0, most)} days from now"
            )
        record = _hold_record(clip, life, now, actor=actor, uid=visit.uid, reason=reason, until_age_ns=until_age_ns)
        detail = {"reason": reason.value, "days": request.days}
        keeper.ledger.append(Action.CLIP_HELD, clip.id, "held", actor=actor, uid=visit.uid, detail=detail)
        keeper.begun.discard(clip.id)  # as `recovery` reads this entry
        return _shown(keeper.write(clip.id, f"hold-{clip.holds + 1}.json", record), now)


def _release(keeper: Keeper, request: Request, visit: Visit) -> dict[str, Any]:
    with keeper.lock:
        clip, life, now = _asked(keeper, request)
        actor = _actor(request.actor)
        if not retention.is_held(life, now):
            raise Refused(f"clip {clip.id} is not held")
        record = _hold_record(clip, life, now, actor=actor, uid=visit.uid, reason=None, until_age_ns=0)
        keeper.ledger.append(Action.CLIP_RELEASED, clip.id, "released", actor=actor, uid=visit.uid)
        return _shown(keeper.write(clip.id, f"hold-{clip.holds + 1}.json", record), now)


def _outcome(keeper: Keeper, request: Request, visit: Visit) -> dict[str, Any]:
    with keeper.lock:
        clip, _, now = _asked(keeper, request)
        actor = _actor(request.actor)
        outcome = _of_list(Outcome, request.reason, "the outcome")
        detail = {"outcome": outcome.value}
        keeper.ledger.append(Action.CLIP_OUTCOME, clip.id, "recorded", actor=actor, uid=visit.uid, detail=detail)
        if outcome is Outcome.NO_INCIDENT and _is_second(clip, actor, visit.uid):
            keeper.delete(clip.id, outcome.value, origin="request", actor=actor, uid=visit.uid)
            return {"clip": clip.id, "deleted": True}
        record = records.to_bytes(
            records.OutcomeRecord(
                clip=clip.id,
                number=clip.outcomes + 1,
                outcome=outcome,
                actor=actor,
                uid=visit.uid,
                at_wall_ns=now.wall_ns,
                is_wall_trusted=now.is_trusted,
            )
        )
        shown = _shown(keeper.write(clip.id, f"outcome-{clip.outcomes + 1}.json", record), now)
        if outcome is Outcome.NO_INCIDENT:
            shown["note"] = "it is deleted at once when a second person says so too"
        return shown


def _delete(keeper: Keeper, request: Request, visit: Visit) -> dict[str, Any]:
    with keeper.lock:
        clip, life, now = _asked(keeper, request)
        actor = _actor(request.actor)
        reason = _of_list(DeleteReason, request.reason, "--reason")
        if retention.is_held(life, now):
            raise Refused(f"clip {clip.id} is held ({clip.held_reason}): release it first")
        keeper.delete(clip.id, reason.value, origin="request", actor=actor, uid=visit.uid)
        return {"clip": clip.id, "deleted": True}


def _drill_confirm(keeper: Keeper, request: Request, visit: Visit) -> dict[str, Any]:
    keeper.drill.confirm(request.code, actor=_actor(request.actor), uid=visit.uid)
    return {"drill": "opened"}


def _ledger_head(keeper: Keeper, _request: Request, _visit: Visit) -> dict[str, Any]:
    last = keeper.ledger.last
    if last.seq == 0:
        raise Refused("the ledger has no entry yet")
    return {"seq": last.seq, "head": last.sha256, "at": last.at}


def _ledger_anchor(keeper: Keeper, request: Request, visit: Visit) -> dict[str, Any]:
    """Without the keeper's lock: an old head is looked for in years of lines, and a clip may be coming in."""
    actor = _actor(request.actor)
    head = request.head.strip().lower()
    if not _HEAD.fullmatch(head):
        raise Refused(f"{request.head[:80]!r} is not the head of a ledger: 64 hexadecimal digits")
    noted = keeper.ledger.find(head)
    if noted is None:
        raise Refused(
            f"no line of this ledger has the head {head[:12]}…: compare it with the note; is it of this device?"
        )
    detail: dict[str, str | int] = {"seq": noted.seq}
    keeper.ledger.append(Action.LEDGER_ANCHORED, head, "noted-outside", actor=actor, uid=visit.uid, detail=detail)
    return {"seq": noted.seq, "head": head, "at": noted.at, "anchored_at": keeper.ledger.anchored_at}


def _proof_sign(keeper: Keeper, request: Request, visit: Visit) -> dict[str, Any]:
    """The entry first: a signature that the ledger does not tell of is never given."""
    if not _HEAD.fullmatch(request.digest):
        raise Refused("a proof is signed by the SHA-256 of its files: 64 hexadecimal digits")
    actor = _actor(request.actor) if request.actor else ""
    keeper.ledger.append(Action.PROOF_SIGNED, request.digest, "signed", actor=actor, uid=visit.uid)
    said = proof.statement(request.digest, keeper.now(), keeper.ledger.last)
    public_key = keeper.key.public_pem.decode("ascii")
    return {"statement": said.decode("ascii"), "signature": keeper.key.sign(said).hex(), "public_key": public_key}


def _asked(keeper: Keeper, request: Request) -> tuple[Clip, Life, Now]:
    clip = keeper.clip(request.clip)
    if clip.life is None:
        raise StoreError(f"clip {clip.id} has no birth yet that says how old it is")
    return clip, clip.life, keeper.now()


def _actor(actor: str) -> str:
    if not _ACTOR.fullmatch(actor):
        raise Refused("say who asks, by role: --actor (letters, digits, space . _ @ -, at most 64)")
    return actor


def _of_list(kind: type[E], value: str, what: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise Refused(f"{what} must be one of: {', '.join(kind)}") from None


def _is_second(clip: Clip, actor: str, uid: int) -> bool:
    """Somebody else had this clip in hand before: another role, or another account."""
    here = (actor.casefold(), uid)
    return bool(clip.actors) and all((before.casefold(), its) != here for before, its in clip.actors)


def _hold_record(
    clip: Clip, life: Life, now: Now, *, actor: str, uid: int, reason: HoldReason | None, until_age_ns: int
) -> bytes:
    return records.to_bytes(
        records.HoldRecord(
            clip=clip.id,
            number=clip.holds + 1,
            is_released=reason is None,
            reason=reason,
            actor=actor,
            uid=uid,
            at_wall_ns=now.wall_ns,
            is_wall_trusted=now.is_trusted,
            press_powered_on_ns=life.powered_on_ns,
            press_wall_ns=life.wall_ns,
            until_age_ns=until_age_ns,
        )
    )


def _shown(clip: Clip, now: Now) -> dict[str, Any]:
    if clip.life is None:
        raise StoreError(f"clip {clip.id} cannot be read back")
    left_ns = retention.left_ns(clip.life, now)
    return {
        "clip": clip.id,
        "held": retention.is_held(clip.life, now),
        "outcome": clip.outcome,
        "expires_in_s": round(left_ns / SECOND, 3),
        "expires_at": iso(now.wall_ns + left_ns),
    }


_ACTS: Final[Mapping[Verb, Callable[[Keeper, Request, Visit], dict[str, Any]]]] = {
    Verb.HOLD: _hold,
    Verb.RELEASE: _release,
    Verb.OUTCOME: _outcome,
    Verb.DELETE: _delete,
    Verb.DRILL_CONFIRM: _drill_confirm,
    Verb.LEDGER_HEAD: _ledger_head,
    Verb.LEDGER_ANCHOR: _ledger_anchor,
    Verb.PROOF_SIGN: _proof_sign,
}
