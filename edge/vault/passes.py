"""What time brings: the tick, the retention pass with its steps, and the faults that a pass finds. No rules of retention.

Functions on a Keeper, for the vault's main thread alone; `retention` says what is due. A step that fails is told as a
fault and tried again at a later pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import partial
from typing import Final

from edge.clock import SECOND
from edge.errors import NoSuchClip, StoreError
from edge.vault import clips, folding, ingest, reading, records, retention
from edge.vault.keeper import Keeper
from edge.vault.ledger import Action
from edge.vault.reserve import SLACK_BYTES
from edge.vault.retention import Now
from edge.vault.tally import EXPIRED

PASS_EVERY_NS: Final = 60 * SECOND


def tick(keeper: Keeper) -> None:
    """Called about once a second: save the counter, close what was given up, run a pass when one is due."""
    now_ns = keeper.clock.boot_ns()
    keeper.save_counter()
    # Of a copy and without the lock: connections change it meanwhile, and `end` hashes outside the lock.
    for number in [number for number, state in list(keeper.open_clips.items()) if state.is_given_up(now_ns)]:
        try:
            ingest.end(keeper, number, "interrupted", None)
        except NoSuchClip:
            continue  # deleted meanwhile
        except StoreError as err:
            keeper.faults.set("store", str(err), "make space or mend the disk of paths.store", now_ns)
    if now_ns >= keeper.next_pass_ns:
        pass_through(keeper)


def is_overdue(keeper: Keeper) -> bool:
    """No pass has come to its end for much longer than there may be between two."""
    last_ns = keeper.last_pass_ns
    return last_ns is None or keeper.clock.boot_ns() - last_ns > 2 * PASS_EVERY_NS


def pass_through(keeper: Keeper) -> None:
    """One retention pass: everything that is due goes."""
    with keeper.lock:
        now = keeper.now()
        failed: list[str] = []
        # Each by itself: what one step cannot do must not keep a clip beyond its hour.
        for step in (_match_folders, _finish_begun, _finish_trash, _correct, _enforce, _fill_reserve, _keep_years):
            try:
                step(keeper, now, failed)
            except StoreError as err:
                failed.append(str(err))
        show_faults(keeper, now, failed)
        keeper.last_pass_ns = now.boot_ns
        lefts = [retention.left_ns(clip.life, now) for clip in keeper.all() if clip.life is not None]
        soonest = min([PASS_EVERY_NS, *lefts])
        # What could not be deleted is tried again each second at first, then each minute.
        pause_ns = PASS_EVERY_NS if soonest < -PASS_EVERY_NS else max(SECOND, soonest)
        keeper.next_pass_ns = now.boot_ns + pause_ns


def show_faults(keeper: Keeper, now: Now, failed: Iterable[str]) -> None:
    """Show or clear every fault that a look at the shelf, the disk and the ledger tells; `failed` could not be done."""
    faults, held = keeper.faults, keeper.all()
    mend = "mend or replace the disk of paths.store"
    faults.show("delete-failed", "; ".join(list(failed)[:3]), mend, now.boot_ns)
    late = [
        clip.id for clip in held if clip.life is not None and retention.left_ns(clip.life, now) < -retention.OVERDUE_NS
    ]
    faults.show("overdue", ", ".join(sorted(late)[:3]), "run spreekkamer purge; " + mend, now.boot_ns)
    odd = [f"{clip.id}: {'; '.join(clip.problems)}" for clip in held if clip.problems]
    fix = "keep a copy for the data protection officer; the clip goes 72 hours after it was first seen so"
    faults.show("clip-damaged", " | ".join(sorted(odd)[:3]), fix, now.boot_ns)
    try:
        keeper.free_bytes = keeper.disk.free_bytes(keeper.store.root)
    except StoreError as err:
        faults.set("store", str(err), mend, now.boot_ns)
    else:
        faults.clear("store")
    few, short = keeper.free_bytes + keeper.reserve.held_bytes, keeper.reserve.short_bytes
    if few < SLACK_BYTES:
        full = f"the disk is full: {few // 1000} kB are left"
        faults.set("low-space", full, "make space on the disk of paths.store", now.boot_ns)
    elif not keeper.open_clips:  # while a clip comes in, its space is given back: as meant
        detail = f"{short // 1_000_000 + 1} MB short of the space for the next clips" if short > 0 else ""
        faults.show("low-space", detail, "make space on the disk of paths.store", now.boot_ns)
    kept = "" if keeper.ledger.keep_reserve() else "no space is set aside for the ledger's entries"
    faults.show("ledger-reserve", kept, "make space on the disk of paths.store", now.boot_ns)
    keeper.self_test.show_faults(now)
    keeper.drill.show_faults(now)
    keeper.button.show_faults(now)
    disagreement, silence = keeper.watch.look(now)
    fix = "compare the ledger's entries of origin purge with the clips' hours; look at both processes' journals"
    faults.show("enforcers-disagree", disagreement, fix, now.boot_ns)
    faults.show("purge-silent", silence, "look at the timer of spreekkamer purge, and run it by hand", now.boot_ns)
    older = [clip.id for clip in held if keeper.powered_on.was_lost_after(clip.counter_ns)]
    fix = "none: these live longer by at most the time since the press before the loss; the fault goes with them"
    faults.show("counter-lost", ", ".join(sorted(older)[:3]), fix, now.boot_ns)
    alone = "" if keeper.store_lock.is_shared else "another process keeps the store's lock and does not answer"
    faults.show("store-lock", alone, "restart spreekkamer-keep; look for a frozen purge", now.boot_ns)


def _match_folders(keeper: Keeper, now: Now, failed: list[str]) -> None:
    """Forget what the other enforcer deleted; take up what somebody put back."""
    there = set(reading.ids(keeper.store.clips))
    for clip in [clip for clip in keeper.all() if clip.id not in there]:
        keeper.watch.missing(clip.id, clip.life, now)
        keeper.forget(clip.id, is_gone=True)
    sure = {clip.id for clip in keeper.all() if clip.life is not None}
    for number in there - sure:
        try:
            keeper.take_up(number, None)
        except StoreError as err:
            failed.append(str(err))


def _finish_begun(keeper: Keeper, _now: Now, failed: list[str]) -> None:
    for number in sorted(keeper.begun):
        try:
            with keeper.store_lock.held():
                clips.delete(keeper.disk, keeper.store, number, partial(_late_receipt, keeper, number))
            keeper.begun.discard(number)
            keeper.forget(number, is_gone=True)
        except StoreError as err:
            failed.append(str(err))


def _finish_trash(keeper: Keeper, _now: Now, failed: list[str]) -> None:
    for number in reading.ids(keeper.store.trash):
        try:
            with keeper.store_lock.held():
                clips.finish(keeper.disk, keeper.store, number, partial(_late_receipt, keeper, number))
            keeper.forget(number, is_gone=True)
        except StoreError as err:
            failed.append(str(err))


def _late_receipt(keeper: Keeper, number: str) -> None:
    keeper.note(Action.CLIP_DELETED, number, "gone", detail={"finished": "later"})


def _correct(keeper: Keeper, now: Now, _failed: list[str]) -> None:
    """Note the true wall time of presses that an untrusted clock had stamped, once it is known."""
    for clip in keeper.all():
        if clip.wall_ns is not None or clip.birth is None:
            continue
        wall_ns = retention.true_press_wall_ns(clip.birth.boot_id, clip.birth.pressed_ns, now)
        if wall_ns is not None:
            correction = records.to_bytes(records.PressWall(clip=clip.id, pressed_wall_ns=wall_ns))
            keeper.write(clip.id, records.PRESS_WALL, correction)


def _enforce(keeper: Keeper, now: Now, failed: list[str]) -> None:
    lives = [(clip.id, clip.life) for clip in keeper.all() if clip.life is not None]
    passed = retention.enforce(lives, now, lambda number: keeper.delete(number, EXPIRED, origin="vault"))
    failed += [why for _, why in passed.failed]


def _fill_reserve(keeper: Keeper, _now: Now, _failed: list[str]) -> None:
    if keeper.open_clips:
        return
    with contextlib.suppress(StoreError):  # what is missing shows as low space
        keeper.reserve.fill()


def _keep_years(keeper: Keeper, now: Now, _failed: list[str]) -> None:
    """Turn the ledger's year, and fold what is older than 24 months. Its fault is its own: no clip waits for it."""
    try:
        keeper.ledger.turn_year(now)
        if not keeper.open_clips:  # folding reads a year: not while a clip comes in
            folding.fold_due(keeper.disk, keeper.store, keeper.key, keeper.ledger, now)
    except StoreError as err:
        keeper.faults.set("ledger-years", str(err), "make space or mend the disk of paths.store", now.boot_ns)
    else:
        keeper.faults.clear("ledger-years")
