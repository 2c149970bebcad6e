"""What each fault means for the room and what to do about it, in plain Dutch. A table and one look-up; pure.

A code that is missing here is shown in the words of the process that found it, which are English.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.language import Words
from service.language import marked as _
from service.rooms import FaultOwner, RoomFault


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultText:
    """What is wrong and what to do, in `language`; `detail` in the process's own English, for the administrator."""

    what: str
    fix: str
    detail: str
    language: str


_CALL: Final = _("Bel de beheerder.")
_PANEL_FIX: Final = _(
    "De noodknop werkt misschien niet. Gebruik een andere manier om hulp te roepen en bel nu de beheerder."
)
_RECORDER_FIX: Final = _("Na een druk op de noodknop wordt misschien niets opgenomen. Bel de beheerder.")
_VAULT_FIX: Final = _("Een opname kan nu verloren gaan. Bel de beheerder.")
_UNSAFE_FIX: Final = _("Camera en microfoon blijven dicht. Bel de beheerder.")
_DELETE_FIX: Final = _("Bel de beheerder: het verwijderen werkt niet.")

# What this page finds itself: these say all there is.
_OURS: Final[dict[tuple[FaultOwner, str], tuple[str, str]]] = {
    ("panel", "panel-silent"): (_("Het paneel met de noodknop antwoordt niet."), _PANEL_FIX),
    ("panel", "panel-stale"): (_("Het paneel met de noodknop hangt."), _PANEL_FIX),
    ("recorder", "recorder-silent"): (_("De opnemer antwoordt niet."), _RECORDER_FIX),
    ("recorder", "recorder-stale"): (_("De opnemer hangt."), _RECORDER_FIX),
    ("recorder", "recorder-wrote"): (
        _("De opnemer heeft iets naar opslag geschreven. Beloofd is: niets."),
        _("Zet de privacyschakelaar om en bel de beheerder: er moet worden uitgezocht wat er is geschreven."),
    ),
    ("vault", "vault-silent"): (_("De kluis met de verzegelde opnames antwoordt niet."), _VAULT_FIX),
    ("vault", "vault-stale"): (_("De kluis met de verzegelde opnames hangt."), _VAULT_FIX),
}

# What the processes find; a code that is missing here is shown in English.
_THEIRS: Final[dict[tuple[FaultOwner, str], tuple[str, str]]] = {
    ("service", "notify-failing"): (
        _("Meldingen over deze ruimte komen niet aan."),
        _("Bij een druk op de noodknop gaat het alarm wel af. Bel de beheerder."),
    ),
    ("panel", "button-cut"): (_("Er is een draad van de noodknop los."), _PANEL_FIX),
    ("panel", "button-half"): (
        _("Van de twee contacten in de noodknop bewoog er bij de laatste druk maar één."),
        _("Draai de testsleutel om en druk de knop helemaal in. Blijft deze melding staan, bel dan de beheerder."),
    ),
    ("panel", "button-held"): (
        _("De noodknop is ingedrukt en komt niet los."),
        _("Maak de knop los. Helpt dat niet, gebruik dan een andere manier om hulp te roepen en bel nu de beheerder."),
    ),
    ("panel", "button-short"): (_("Er is kortsluiting in de draden van de noodknop."), _PANEL_FIX),
    ("panel", "configuration"): (_("In de instellingen staat een fout."), _CALL),
    ("panel", "contact"): (_("Een knop of schakelaar is niet aangesloten zoals het hoort."), _PANEL_FIX),
    ("panel", "contact-thread"): (_("Het paneel hoort de knoppen niet meer goed."), _PANEL_FIX),
    ("panel", "contact-unreadable"): (_("Het paneel kan een knop of schakelaar niet lezen."), _PANEL_FIX),
    ("panel", "lamp"): (_("Een lamp doet het niet."), _("Vertrouw niet op de lampen. Bel de beheerder.")),
    ("panel", "panel-memory"): (
        _("Het paneel is vergeten of er een incident liep."),
        _("Druk opnieuw als het nog gevaarlijk is."),
    ),
    ("panel", "panel-memory-write"): (_("Het paneel kan niet onthouden dat er een incident loopt."), _CALL),
    ("panel", "panel-link"): (_("Het paneel kan de opnemer niet bereiken."), _RECORDER_FIX),
    ("panel", "panel-status"): (_("Het paneel kan niet laten weten hoe het ervoor staat."), _CALL),
    ("panel", "recorder-silent"): (_("Het paneel hoort de opnemer niet."), _RECORDER_FIX),
    ("panel", "relay"): (_("Het alarm gehoorzaamt niet."), _PANEL_FIX),
    ("recorder", "camera-dark"): (
        _("De camera ziet niets."),
        _("Haal weg wat er voor de camera zit, of doe het licht aan. Bel anders de beheerder."),
    ),
    ("recorder", "camera-frozen"): (_("Het beeld van de camera staat stil."), _RECORDER_FIX),
    ("recorder", "clip-incomplete"): (_("De laatste opname is niet compleet."), _CALL),
    ("recorder", "core-dumps"): (_("Dit apparaat kan geheugen naar opslag schrijven als het vastloopt."), _UNSAFE_FIX),
    ("recorder", "governance"): (_("Er is niet vastgelegd waarom hier een camera hangt."), _UNSAFE_FIX),
    ("recorder", "governance-review"): (
        _("De datum is voorbij waarop opnieuw bekeken moest worden of de camera hier mag hangen."),
        _("Camera en microfoon blijven dicht. Bel de functionaris gegevensbescherming."),
    ),
    ("recorder", "key-frames"): (
        _("De camera geeft te weinig beelden waarmee een opname kan beginnen."),
        _("Van de tijd vóór een druk op de noodknop kan een deel ontbreken. Bel de beheerder."),
    ),
    ("recorder", "memory-controller"): (_("De grenzen aan het werkgeheugen werken niet."), _UNSAFE_FIX),
    ("recorder", "memory-lock"): (_("Het werkgeheugen kan niet worden afgeschermd."), _UNSAFE_FIX),
    ("recorder", "recipients"): (_("Er is geen sleutel om opnames mee te verzegelen."), _UNSAFE_FIX),
    ("recorder", "panel-silent"): (_("De opnemer hoort het paneel niet; het werkgeheugen is leeg."), _PANEL_FIX),
    ("recorder", "ring-short"): (
        _("Het geheugen is te klein voor de beloofde seconden."),
        _("Verlaag de beeldkwaliteit van de camera of vergroot ring.mebibytes."),
    ),
    ("recorder", "self-test-failed"): (_("De zelftest is mislukt en de kluis weet het nog niet."), _VAULT_FIX),
    ("recorder", "health"): (_("Of de camera en de microfoon goed werken, wordt niet meer nagekeken."), _CALL),
    ("recorder", "sound-clipped"): (_("Het geluid van de microfoon is te hard en daardoor vervormd."), _CALL),
    ("recorder", "sound-silent"): (
        _("De microfoon hoort niets."),
        _("Kijk of de microfoon aan staat en de kabel goed zit. Bel anders de beheerder."),
    ),
    ("recorder", "source-picture"): (
        _("De camera geeft geen beeld."),
        _("Kijk of de kabel goed zit. Bel anders de beheerder."),
    ),
    ("recorder", "source-sound"): (
        _("De microfoon geeft geen geluid."),
        _("Kijk of de microfoon aan staat en de kabel goed zit. Bel anders de beheerder."),
    ),
    ("recorder", "source-picture-sound"): (
        _("De camera geeft geen beeld en geluid."),
        _("Kijk of de kabel goed zit. Bel anders de beheerder."),
    ),
    ("recorder", "swap"): (_("Dit apparaat kan werkgeheugen naar opslag schrijven."), _UNSAFE_FIX),
    ("recorder", "vault-away"): (_("De opnemer bereikt de kluis niet."), _VAULT_FIX),
    ("recorder", "vault-refused"): (_("De kluis weigert een deel van een opname."), _VAULT_FIX),
    ("recorder", "zram-writeback"): (_("Dit apparaat kan werkgeheugen naar opslag schrijven."), _UNSAFE_FIX),
    ("vault", "catalog"): (_("De lijst van opnames is beschadigd."), _CALL),
    ("vault", "clip-damaged"): (
        _("Een opname is beschadigd."),
        _("Bel de beheerder en de functionaris gegevensbescherming."),
    ),
    ("vault", "counter"): (_("De kluis kan de tijd niet bijhouden."), _CALL),
    ("vault", "counter-lost"): (
        _("De kluis weet niet meer hoe lang het apparaat heeft aangestaan. Sommige opnames blijven daardoor langer."),
        _CALL,
    ),
    ("vault", "delete-failed"): (_("Een opname kon niet worden verwijderd."), _DELETE_FIX),
    ("vault", "drill-waiting"): (
        _("De oefening met de sleutel wacht al meer dan twee weken."),
        _("Vraag de beheerder van de sleutel om de oefening te openen: pas dan is zeker dat de sleutel nog werkt."),
    ),
    ("vault", "enforcers-disagree"): (
        _("De twee programma’s die opnames verwijderen, zijn het niet eens."),
        _("Bel de beheerder en de functionaris gegevensbescherming."),
    ),
    ("vault", "ledger"): (_("Het logboek kan niet worden bijgehouden."), _CALL),
    ("vault", "ledger-reserve"): (_("Er is geen ruimte meer apart gezet voor het logboek."), _CALL),
    ("vault", "ledger-years"): (_("Oude jaren van het logboek kunnen niet worden samengevat."), _CALL),
    ("vault", "low-space"): (_("Er is te weinig ruimte voor de volgende opnames."), _VAULT_FIX),
    ("vault", "overdue"): (_("Een opname had al verwijderd moeten zijn."), _DELETE_FIX),
    ("vault", "purge-silent"): (_("Het tweede programma dat opnames verwijdert, draait niet meer."), _DELETE_FIX),
    ("vault", "self-test-failed"): (_("De zelftest is mislukt."), _VAULT_FIX),
    ("vault", "self-test-overdue"): (_("De opnemer heeft zichzelf te lang niet getest."), _VAULT_FIX),
    ("vault", "store"): (_("De opslag werkt niet goed."), _VAULT_FIX),
    ("vault", "store-lock"): (_("Een ander programma houdt de opslag bezet."), _CALL),
    ("vault", "test-overdue"): (
        _("De noodknop is te lang niet getest."),
        _("Draai de testsleutel om en druk op de noodknop: de lamp knippert en het alarm gaat even aan."),
    ),
}


def fault_text(fault: RoomFault, words: Words) -> FaultText:
    """The fault in the reader's language, or in the words of the process that found it."""
    key = (fault.process, fault.code)
    known = _OURS.get(key) or _THEIRS.get(key)
    if known is None:
        return FaultText(what=fault.detail, fix=fault.fix, detail="", language="en")
    what, fix = known
    return FaultText(
        what=words.gettext(what),
        fix=words.gettext(fix),
        detail="" if key in _OURS else fault.detail,
        language=words.language.value,
    )


def what_is_wrong(process: FaultOwner, code: str, words: Words) -> str | None:
    """A fault in one sentence of ours, by its code alone; None for a code that has none here."""
    known = _OURS.get((process, code)) or _THEIRS.get((process, code))
    return None if known is None else words.gettext(known[0])


def known_codes() -> frozenset[tuple[FaultOwner, str]]:
    """Every fault that has a text here."""
    return frozenset({*_OURS, *_THEIRS})
