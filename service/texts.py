"""What the page says about a room, in the reader's language. Pure; no HTML here. Faults have a file of their own."""

from __future__ import annotations

from typing import Final

from edge.messages import Outcome
from edge.packet import Track
from edge.status import RecorderState
from service import tasks
from service.faults import FaultText, fault_text, what_is_wrong
from service.language import Words
from service.language import marked as _
from service.overview import Card, Trouble
from service.rooms import OVERDUE_S, Button, Channel, Clip, Drill, Information, RoomFault, RoomStatus, SelfTest, Source
from service.tasks import Duty, Role, Task

_STATES: Final[dict[RecorderState, str]] = {
    RecorderState.STARTING: _("Start op"),
    RecorderState.PRIVATE: _("Privé"),
    RecorderState.OFF: _("Uit"),
    RecorderState.LISTENING: _("Paraat"),
    RecorderState.RECORDING: _("Opname"),
    RecorderState.FAULT: _("Storing"),
    RecorderState.ALARM_ONLY: _("Alleen alarm"),
}
_PROCESSES: Final = {"panel": _("Paneel"), "recorder": _("Opnemer"), "vault": _("Kluis"), "service": _("Meldingen")}
_SOURCE_STATES: Final = {
    "good": _("in orde"),
    "opening": _("gaat open"),
    "stale": _("geeft niets nieuws"),
    "off": _("uit"),
}
_TRACKS: Final = {Track.PICTURE: _("Camera"), Track.SOUND: _("Microfoon")}
_LAST: Final = {Track.PICTURE: _("laatste beeld: %(ago)s"), Track.SOUND: _("laatste geluid: %(ago)s")}
_CLIP_STATES: Final = {
    "recording": _("wordt nu gemaakt"),
    "complete": _("compleet"),
    "interrupted": _("onderbroken"),
}
_OUTCOMES: Final = {
    Outcome.PHYSICAL: _("lichamelijk geweld"),
    Outcome.VERBAL: _("schelden"),
    Outcome.THREAT: _("bedreiging"),
    Outcome.FALSE_PRESS: _("per ongeluk gedrukt"),
    Outcome.TEST: _("proef"),
    Outcome.NO_INCIDENT: _("geen incident"),
}
_ROLES: Final[dict[Role, str]] = {
    "manager": _("Leidinggevende"),
    "officer": _("Incidentfunctionaris"),
    "second": _("Tweede persoon"),
}
_DUTIES: Final[dict[Duty, str]] = {
    "aftercare": _("Vang de medewerker op, spreek getuigen en overleg over aangifte."),
    "outcome": _("Leg vast wat er gebeurd is."),
    "hold-or-let-go": _(
        "Aangifte, inzageverzoek of rechter? Laat de opname dan vasthouden. Anders hoeft u niets te doen."
    ),
    "review-hold": _("Geef de opname vrij zodra vasthouden niet meer nodig is."),
    "delete-early": _("Er was geen incident: laat de opname nu al verwijderen. Anders gaat zij vanzelf weg."),
}


_TROUBLES: Final[dict[Trouble, str]] = {
    "gone": _("De pagina van deze ruimte is niet te bereiken."),
    "slow": _("De pagina van deze ruimte antwoordt niet op tijd."),
    "untrusted": _("Het certificaat van deze ruimte wordt niet vertrouwd."),
    "login": _("Deze ruimte weigert de aanmelding."),
    "wrong": _("Op het adres van deze ruimte antwoordt iets anders."),
}


class Texts:
    """The page's sentences in one language at one instant."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self._ = words.gettext

    def headline(self, status: RoomStatus) -> str:
        """The state in a few words."""
        word = self._(_STATES[status.state])
        if status.in_order or status.state is RecorderState.FAULT:
            return word
        return self._("%(state)s, met storing") % {"state": word}

    def card_headline(self, card: Card) -> str:
        """A room's state on the overview, in a few words; of an old state none."""
        if card.state is None or card.is_stale:
            return self._("Niet bekend")
        word = self._(_STATES[card.state])
        if card.in_order or card.state is RecorderState.FAULT:
            return word
        return self._("%(state)s, met storing") % {"state": word}

    def card_sentence(self, card: Card) -> str:
        """What is wrong, or how much is kept."""
        if card.trouble is not None and card.is_stale:
            return self._(_TROUBLES[card.trouble])
        if card.is_stale:
            return self._("De laatste informatie is te oud.")
        if card.faults:
            first = what_is_wrong(*card.faults[0], self.words) or self._("Er is een storing.")
            more = len(card.faults) - 1
            if not more:
                return first
            also = self.words.ngettext("En nog %(count)s storing.", "En nog %(count)s storingen.", more)
            return f"{first} {also % {'count': more}}"
        if card.kept is None:
            return self._("Hoeveel er bewaard wordt, is niet bekend.")
        return self._("Bewaard: %(clips)s.") % {"clips": self._clips(card.kept) if card.kept else self._("niets")}

    def card_age(self, card: Card) -> str:
        """How old a card's information is."""
        if card.age_seconds is None:
            return self._("nog nooit gehoord")
        if card.is_stale:
            return self._("laatst gehoord: %(ago)s") % {"ago": self.words.ago(card.age_seconds)}
        return self._("bijgewerkt: %(ago)s") % {"ago": self.words.ago(card.age_seconds)}

    def all_rooms(self, cards: tuple[Card, ...]) -> str:
        """How many rooms are in order, of all."""
        good = sum(card.in_order and not card.is_stale for card in cards)
        if good == len(cards):
            return self._("Alle %(count)s ruimtes zijn in orde") % {"count": good}
        return self._("%(good)s van %(count)s ruimtes in orde") % {"good": good, "count": len(cards)}

    def delay(self, seconds: int | None) -> str:
        """How long after its hour a clip went."""
        return "–" if seconds is None else self.words.duration(seconds)

    def period(self, period: str) -> str:
        """`november 2026`, `2026`."""
        return self.words.month(period) if len(period) > 4 else period

    def sentence(self, status: RoomStatus) -> str:
        """What the state means for who is in the room."""
        match status.state:
            case RecorderState.STARTING:
                return self._("Het apparaat start op. Er wordt nog niets opgenomen.")
            case RecorderState.PRIVATE:
                return self._("Camera en microfoon staan uit. Ook bij een druk op de noodknop wordt niets opgenomen.")
            case RecorderState.OFF:
                return self._("Er is geen gesprek. Camera en microfoon staan uit.")
            case RecorderState.LISTENING if not status.ring.promised_seconds:
                return self._("De camera gaat pas aan als op de noodknop wordt gedrukt. Er wordt niets opgeslagen.")
            case RecorderState.LISTENING:
                return self._("Zolang niemand op de noodknop drukt, wordt er niets opgeslagen.")
            case RecorderState.RECORDING:
                return self._("Er is op de noodknop gedrukt. De opname wordt verzegeld bewaard en vanzelf verwijderd.")
            case RecorderState.ALARM_ONLY:
                return self._("Deze ruimte heeft een alarmknop zonder camera. Er wordt niets opgenomen.")
            case RecorderState.FAULT:
                return self._("Er is iets mis. Hieronder staat wat u kunt doen.")

    def age(self, status: RoomStatus) -> str:
        """How old the oldest information on the page is."""
        if status.age_seconds is None:
            return self._("geen informatie")
        return self._("bijgewerkt: %(ago)s") % {"ago": self.words.ago(status.age_seconds)}

    def fault(self, fault: RoomFault) -> FaultText:
        """What is wrong and what to do."""
        return fault_text(fault, self.words)

    def whose(self, fault: RoomFault) -> str:
        """Which process found it, and since when it is there."""
        process = self._(_PROCESSES[fault.process])
        if fault.since is None:
            return process
        return self._("%(process)s, sinds %(moment)s") % {"process": process, "moment": self.words.moment(fault.since)}

    def buffered(self, status: RoomStatus) -> str:
        """What is in RAM now, in plain words."""
        if status.ring.is_wiped:
            return self._("Leeg en gewist.")
        if status.ring.bytes is None:
            return self._("Niet bekend.")
        if not status.ring.bytes:
            return self._("Leeg.")
        size = self.words.size(status.ring.bytes)
        has_sound = any(source.track == Track.SOUND and source.state != "off" for source in status.sources)
        if has_sound:
            return self._("Beeld en geluid (%(size)s), alleen in het werkgeheugen.") % {"size": size}
        return self._("Beeld, geen geluid (%(size)s), alleen in het werkgeheugen.") % {"size": size}

    def source(self, source: Source) -> tuple[str, str, str]:
        """A camera or microphone, how it does, and how old its last good sample is."""
        is_known = source.track in set(Track)
        name = self._(_TRACKS[Track(source.track)]) if is_known else source.track
        state = self._(_SOURCE_STATES[source.state]) if source.state in _SOURCE_STATES else source.state
        if source.age_ms is None or source.state == "off" or not is_known:
            return name, state, ""
        last = self._(_LAST[Track(source.track)]) % {"ago": self.words.ago(source.age_ms / 1000)}
        return name, state, last

    def alarm(self, status: RoomStatus) -> str:
        """Whether help is being called."""
        if status.alarm.is_on is None:
            return self._("niet bekend")
        return self._("gaat af") if status.alarm.is_on else self._("in rust")

    def button(self, status: RoomStatus) -> str:
        """Whether the button can be relied on, as far as the panel knows."""
        panel = status.information[0]
        if not panel.is_heard or panel.is_stale:
            return self._("Of de noodknop werkt, is niet bekend.")
        if any(fault.process == "panel" for fault in status.faults):
            return self._("Er is een storing in het paneel met de noodknop.")
        return self._("De noodknop werkt los van camera en opslag.")

    def reserve(self, status: RoomStatus) -> str:
        """Whether the next clips have their place."""
        held, wanted = status.storage.reserved_bytes, status.storage.reserve_wanted_bytes
        if held is None or wanted is None:
            return self._("niet bekend")
        if held >= wanted:
            return self._("gereserveerd")
        if any(clip.state == "recording" for clip in status.clips):
            return self._("in gebruik")
        return self._("te weinig")

    def last_pressed(self, button: Button) -> str:
        """When the panic button was last seen to work."""
        if button.was_pressed is None:
            return self._("niet bekend")
        if button.age_seconds is None:
            return self._("nog niet ingedrukt")
        return self._("laatst ingedrukt: %(ago)s") % {"ago": self.words.ago(button.age_seconds)}

    def tested(self, test: SelfTest) -> str:
        """How the daily self-test ended."""
        if test.result == "unknown":
            return self._("niet bekend")
        if test.result == "never":
            return self._("nog niet gedaan")
        text = self._("geslaagd: %(ago)s") if test.result == "passed" else self._("mislukt: %(ago)s")
        return text % {"ago": self.words.ago(test.age_seconds or 0.0)}

    def drilled(self, drill: Drill) -> str:
        """Whether somebody still opens a clip with the key."""
        if drill.is_waiting is None:
            return self._("niet bekend")
        parts = []
        if drill.waiting_seconds is not None:
            parts.append(self._("wacht al %(duration)s") % {"duration": self.words.duration(drill.waiting_seconds)})
        if drill.opened_age_seconds is not None:
            parts.append(self._("laatst geopend: %(ago)s") % {"ago": self.words.ago(drill.opened_age_seconds)})
        return " · ".join(parts) or self._("nog niet gehouden")

    def kept_today(self, status: RoomStatus) -> str:
        """The resident's line: how much of today is kept."""
        if status.clips_total is None:
            return self._("niet bekend")
        count = sum(self.words.is_today(clip.pressed_at) for clip in status.clips)
        return self._clips(count) if count else self._("niets")

    def kept_before(self, status: RoomStatus) -> str:
        """How much of earlier days is kept; nothing to say when that is nothing."""
        earlier = (status.clips_total or 0) - sum(self.words.is_today(clip.pressed_at) for clip in status.clips)
        return self._("Van eerdere dagen: %(clips)s.") % {"clips": self._clips(earlier)} if earlier else ""

    def _clips(self, count: int) -> str:
        return self.words.ngettext("%(count)s opname", "%(count)s opnames", count) % {"count": count}

    def pressed(self, clip: Clip) -> str:
        """When the button was pressed, and how long ago."""
        since_s = self.words.since_s(clip.pressed_at)
        moment = self.words.moment(clip.pressed_at)
        return moment if since_s is None or since_s < 0 else f"{moment}, {self.words.ago(since_s)}"

    def made(self, clip: Clip) -> str:
        """How the clip stands: its state, its length and its outcome."""
        parts = [
            self._(_CLIP_STATES[clip.state]) if clip.state in _CLIP_STATES else clip.state,
            self._("%(duration)s veilig opgeslagen") % {"duration": self.words.duration(clip.safe_seconds)},
        ]
        if clip.continues is not None:
            parts.append(self._("vervolg op %(clip)s") % {"clip": clip.continues})
        if clip.outcome is not None:
            parts.append(self._(_OUTCOMES[Outcome(clip.outcome)]) if clip.outcome in set(Outcome) else clip.outcome)
        return " · ".join(parts)

    def goes(self, clip: Clip) -> str:
        """The countdown to a clip's deletion."""
        if clip.held:
            return self._("wordt vastgehouden")
        if clip.expires_in_seconds > 0:
            return self._("nog %(duration)s") % {"duration": self.words.duration(clip.expires_in_seconds)}
        if clip.expires_in_seconds > -OVERDUE_S:
            return self._("wordt nu verwijderd")
        return self._("had al verwijderd moeten zijn")

    def end(self, clip: Clip) -> str:
        """When a clip is deleted, on the clock."""
        if clip.held:
            return self._("tot uiterlijk %(moment)s") % {"moment": self.words.moment(clip.held_until)}
        return self._("wordt verwijderd: %(moment)s") % {"moment": self.words.moment(clip.expires_at)}

    def tasks(self, clip: Clip) -> tuple[Task, ...]:
        """Who has to do what with this clip."""
        return tasks.tasks(clip, age_s=self.words.since_s(clip.pressed_at))

    def task(self, task: Task) -> tuple[str, str, str]:
        """Who, what, by when."""
        by = (
            self._("vandaag") if task.by is None else self._("vóór %(moment)s") % {"moment": self.words.moment(task.by)}
        )
        return self._(_ROLES[task.role]), self._(_DUTIES[task.duty]), by

    def channel(self, channel: Channel) -> tuple[str, str]:
        """One receiver of notifications, and how telling it goes."""
        parts = [self._("in orde")]
        if channel.failing_seconds is not None:
            parts = [self._("lukt al %(duration)s niet") % {"duration": self.words.duration(channel.failing_seconds)}]
        if channel.waiting:
            parts.append(self._("%(count)s wachten") % {"count": channel.waiting})
        if channel.dropped:
            parts.append(self._("%(count)s niet verstuurd") % {"count": channel.dropped})
        return self._("Melding via %(name)s") % {"name": channel.name}, " · ".join(parts)

    def part(self, part: Information) -> tuple[str, str]:
        """One process, and how old its information is or how long it has been silent."""
        name = self._(_PROCESSES[part.process])
        if part.age_seconds is None:
            return name, self._("nooit gehoord")
        if part.is_heard:
            return name, self.words.ago(part.age_seconds)
        return name, self._("zwijgt al %(duration)s") % {"duration": self.words.duration(part.age_seconds)}
