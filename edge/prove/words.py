"""The pack in Dutch, for a data protection officer who knows the law and not the kernel. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge.prove.points import Point, Seen, Value

_PROCESSES: Final = {
    "panel": "Het paneel (roept om hulp)",
    "recorder": "De opnemer (luistert)",
    "vault": "De kluis (bewaart)",
    "service": "De statuspagina (laat zien)",
    "": "Het apparaat en het logboek",
}
_HEADINGS: Final = {
    Seen.FAILED: "NIET IN ORDE (zo is het beloofd, en zo is het nu niet)",
    Seen.UNSEEN: "NIET GEZIEN (dit bewijst dus niets, ook niet dat het fout is)",
    Seen.SHOWN: "GEZIEN EN IN ORDE",
}
_WHO: Final = {
    "panel": "Het paneel",
    "recorder": "De opnemer",
    "vault": "De kluis",
    "service": "De statuspagina",
    "": "",
}

# Where a claim is another one for one process.
_OF_PROCESS: Final = {
    ("vault", "disks"): ("De kluis kan alleen in de bewaarplaats van opnames schrijven.", "elders: {places}")
}
# By code: what is claimed, and what was read. `{who}` is the process.
_POINTS: Final[Mapping[str, tuple[str, str]]] = {
    "running": ("{who} draait en antwoordt.", "proces {pid}"),
    "account": ("{who} draait met een eigen account, niet als beheerder.", "gebruiker {uid}"),
    "capabilities": ("{who} heeft geen enkel bijzonder recht van de kernel.", "rechten {capabilities}"),
    "no-new-privileges": ("{who} kan nooit meer rechten krijgen.", ""),
    "filter": ("{who} mag alleen opdrachten geven die op een lijst staan (seccomp).", ""),
    "core": ("Als {who} vastloopt, komt het geheugen ervan niet in een bestand.", "grens: {limit}"),
    "disks": (
        "{who} kan op geen schijf schrijven (de kluis: alleen in de bewaarplaats).",
        "wel beschrijfbaar: {places}",
    ),
    "network": ("{who} heeft geen netwerk.", "verbindingen: {sockets}"),
    "away-from-store": ("{who} heeft niets uit de bewaarplaats van opnames open.", "open: {files}"),
    "away-from-devices": ("{who} heeft geen camera en geen microfoon open.", "open: {devices}"),
    "locked": (
        "Wat de opnemer vasthoudt, zit vast in het werkgeheugen en kan niet naar een schijf worden verplaatst of worden afgedrukt.",
        "vastgezet {locked}; het ringgeheugen is {ring}, daarvan los {loose}; er zit nu {held} in",
    ),
    "swapped": ("Van de opnemer staat niets in een wisselbestand.", "{bytes}"),
    "dumpable": ("Andere programma's kunnen niet in het geheugen van de opnemer kijken (niet 'dumpable').", ""),
    "no-file": ("De opnemer heeft geen enkel bestand open om in te schrijven.", "open: {files}"),
    "written": (
        "De opnemer heeft niets naar opslag geschreven.",
        "volgens de kernel {total} sinds de start; zelf geteld {since_camera} sinds de camera voor het eerst openging",
    ),
    "ring": (
        "De opnemer houdt niet meer vast dan is beloofd.",
        "het oudste is {oldest} s oud, beloofd {promised} s; {bytes} van ten hoogste {cap}; toestand: {state}",
    ),
    "swap": ("Het apparaat verplaatst geen werkgeheugen naar een schijf.", ""),
    "core-pattern": ("Het apparaat geeft het geheugen van een vastgelopen programma aan niemand.", ""),
    "sandbox": ("systemd houdt de vier processen apart zoals is beloofd.", "anders dan beloofd: {keys}"),
    "check": ("Geen enkele voorwaarde om te mogen luisteren ontbreekt.", "waarschuwingen: {warnings}"),
    "ledger": ("Er is een logboek waarvan elke regel aan de vorige vastzit.", "{entries} regels; het hoofd is {head}"),
    "anchored": (
        "Iemand heeft het hoofd van het logboek buiten het apparaat genoteerd; wat ervoor staat kan niet ongemerkt anders worden.",
        "genoteerd op {at}",
    ),
}

_BYTES: Final = frozenset({"bytes", "cap", "held", "locked", "loose", "ring", "since_camera", "total"})
_MIB: Final = 1024 * 1024

_PROVES: Final = """\
WAT DIT BEWIJST
Op het genoemde ogenblik is gelezen wat de kernel van dit apparaat over de vier processen zegt, en wat zij zelf zeggen.
De kluis heeft het ondertekend met de sleutel van het apparaat, en het staat in het logboek. Verandert iemand daarna een
letter in deze map, dan klopt de handtekening niet meer.

WAT U MOET VERTROUWEN
- Dat de kernel en systemd van dit apparaat niet zijn veranderd: wie beheerder (root) is, kan ze laten liegen, en kan ook
  met de sleutel ondertekenen. Dit bewijs beschermt tegen vergissingen en tegen anderen, niet tegen de beheerder zelf.
- Dat de programma's de gepubliceerde zijn: vergelijk programs.sha256 met die van de uitgave.
- Dat de publieke sleutel (device.pub.pem) van dit apparaat is: vergelijk haar vingerafdruk met wat u eerder noteerde.
- Het zegt iets over dit ogenblik. Wat ervoor of erna gebeurde, staat hier niet.
- Wat onder NIET GEZIEN staat, is niet gelezen.

HOE U DIT NAREKENT (op elke computer, zonder netwerk)
  spreekkamer verify proof MAP
of met algemene hulpmiddelen, in deze map:
  openssl pkeyutl -verify -pubin -inkey device.pub.pem -rawin -in statement.txt -sigfile statement.txt.sig
  grep "$(sha256sum < SHA256SUMS | cut -c1-64)" statement.txt
  sha256sum -c SHA256SUMS
Alle drie moeten slagen. De bevindingen van `spreekkamer check`, in het Engels voor de beheerder, staan in proof.json.
"""


def text(proof: Mapping[str, Any], judged: Sequence[Point]) -> str:
    """The whole text. `proof` is what proof.json holds."""
    clock = (
        "door het netwerk gelijkgezet" if proof["is_clock_trusted"] else "door niets gelijkgezet: niet te vertrouwen"
    )
    counts = {seen: sum(point.seen is seen for point in judged) for seen in Seen}
    place = ", ".join(filter(None, [proof["room"], proof["building"]]))
    counted = (
        f"{len(judged)} punten: {counts[Seen.SHOWN]} gezien en in orde, {counts[Seen.FAILED]} niet in orde, "
        f"{counts[Seen.UNSEEN]} niet gezien."
    )
    lines = [
        f"BEWIJS OVER DE OPNAMEVOORZIENING IN {place}",
        "",
        f"Gemaakt op {proof['made_at']} (UTC); de klok is {clock}.",
        f"Camera: {_source(proof['camera'])}. Geluid: {_SOUND[proof['microphone']]}.",
        counted,
        "Hierin staat niets over een persoon, en geen beeld of geluid.",
        "",
    ]
    if not proof["is_made_by_root"]:
        lines += ["Gemaakt zonder de rechten van de beheerder: veel kon daardoor niet worden gezien.", ""]
    for seen, heading in _HEADINGS.items():
        lines += [*_section(heading, [point for point in judged if point.seen is seen])]
    versions = proof["versions"]
    lines += [
        "PROGRAMMA'S",
        f"spreekkamer {versions['spreekkamer']}; {proof['programs']['files']} bestanden, samen {proof['programs']['sha256']}",
        f"Python {versions['python']}, kernel {versions['kernel']}, {versions.get('system', 'onbekend systeem')}",
        "",
        _PROVES,
    ]
    return "\n".join(lines)


_SOUND: Final = {"off": "uit", "from_press": "alleen vanaf een druk op de noodknop", "in_ring": "ook vóór een druk"}


def _source(kind: str) -> str:
    names = {"none": "geen", "fixture": "een opgenomen voorbeeld, geen echte camera", "rtsp": "een netwerkcamera"}
    return names.get(kind, "een camera aan het apparaat")


def _section(heading: str, found: Sequence[Point]) -> list[str]:
    if not found:
        return []
    lines = [heading]
    for process, title in _PROCESSES.items():
        of_process = [line for point in found if point.process == process for line in _lines(point)]
        if of_process:
            lines += [f"  {title}", *of_process]
    return [*lines, ""]


def _lines(point: Point) -> list[str]:
    claim, read = _OF_PROCESS.get((point.process, point.code), _POINTS[point.code])
    who = _WHO[point.process]
    said = f"    - {claim.format(who=who if claim.startswith('{who}') else who[:1].lower() + who[1:])}"
    values = {name: _shown(name, value) for name, value in point.values.items()}
    detail = "" if point.seen is Seen.UNSEEN else read.format(**values)
    return [said, f"      ({detail})"] if detail else [said]


def _shown(name: str, value: Value) -> str:
    if name in _BYTES and isinstance(value, int):
        return f"{value} bytes" if value < _MIB else f"{value / _MIB:.1f} MiB".replace(".", ",")
    return "geen" if value == "" else str(value)
