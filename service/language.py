"""The page's two languages: which one a reader gets, and numbers, durations and moments as people write them. Pure.

Dutch is what stands in the code and the templates; English comes from `locale/en` (scripts/catalogs). The clock and
the calendar are this machine's own.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from edge.clock import utc

FOLDER: Final = Path(__file__).parent / "locale"


class Language(StrEnum):
    """What the page can be read in."""

    DUTCH = "nl"
    ENGLISH = "en"


def chosen(asked: str | None, accepted: str) -> Language:
    """The language that was asked for by link, else the best of an Accept-Language header, else Dutch."""
    for tag in (asked or "", *_by_preference(accepted)):
        name = tag.split("-")[0].strip().lower()
        if name in Language.__members__.values():
            return Language(name)
    return Language.DUTCH


def _by_preference(accepted: str) -> Iterator[str]:
    """The tags of an Accept-Language header, most wanted first; those that are not wanted (`q=0`) left out."""
    wanted = []
    for item in accepted.split(",")[:16]:
        tag, _, quality = item.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if weight > 0:
            wanted.append((weight, tag))
    return (tag for _, tag in sorted(wanted, key=lambda pair: -pair[0]))


def marked(text: str) -> str:
    """A text for the catalog that is looked up later."""
    return text


_WEEKDAYS: Final = (marked("ma"), marked("di"), marked("wo"), marked("do"), marked("vr"), marked("za"), marked("zo"))
_MONTHS: Final = (
    marked("jan"),
    marked("feb"),
    marked("mrt"),
    marked("apr"),
    marked("mei"),
    marked("jun"),
    marked("jul"),
    marked("aug"),
    marked("sep"),
    marked("okt"),
    marked("nov"),
    marked("dec"),
)
_LONG_MONTHS: Final = (
    marked("januari"),
    marked("februari"),
    marked("maart"),
    marked("april"),
    marked("mei"),
    marked("juni"),
    marked("juli"),
    marked("augustus"),
    marked("september"),
    marked("oktober"),
    marked("november"),
    marked("december"),
)
_NEAR: Final = {-1: marked("gisteren %(time)s"), 0: marked("vandaag %(time)s"), 1: marked("morgen %(time)s")}


@dataclass(frozen=True, slots=True)
class Catalog:
    """One language's texts. Any thread."""

    language: Language
    texts: gettext.NullTranslations

    @classmethod
    def load(cls, language: Language) -> Catalog:
        """Dutch needs no file. Raises OSError when the English one is missing."""
        if language is Language.DUTCH:
            return cls(language, gettext.NullTranslations())
        return cls(language, gettext.translation("spreekkamer", FOLDER, [language.value]))


class Words:
    """One language at one instant, which `vandaag` and `morgen` are counted from."""

    def __init__(self, catalog: Catalog, *, now_wall_ns: int) -> None:
        self.language = catalog.language
        self.gettext = catalog.texts.gettext
        self.ngettext = catalog.texts.ngettext
        self._now = utc(now_wall_ns)

    def number(self, value: float) -> str:
        """Whole where it is whole: `29,5`, `30`."""
        text = f"{value:.1f}".removesuffix(".0")
        return text.replace(".", ",") if self.language is Language.DUTCH else text

    def size(self, count: int) -> str:
        """`0 bytes`, `14,2 MB`, `9,3 GB`."""
        if count < 1000:
            return self.ngettext("%(count)s byte", "%(count)s bytes", count) % {"count": count}
        for unit, step in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
            if count < 1000 * step:
                return f"{self.number(count / step)} {unit}"
        return f"{self.number(count / 1e12)} TB"

    def duration(self, seconds: float) -> str:
        """The two largest units: `2 dagen en 3 uur`, `4 minuten en 10 seconden`, `12 seconden`."""
        left = max(0, int(seconds))
        days, left = divmod(left, 86_400)
        hours, left = divmod(left, 3_600)
        minutes, left = divmod(left, 60)
        parts = [
            (days, self.ngettext("%(count)s dag", "%(count)s dagen", days)),
            (hours, self.ngettext("%(count)s uur", "%(count)s uur", hours)),
            (minutes, self.ngettext("%(count)s minuut", "%(count)s minuten", minutes)),
            (left, self.ngettext("%(count)s seconde", "%(count)s seconden", left)),
        ]
        first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
        said = [text % {"count": count} for count, text in parts[first : first + 2] if count]
        return self.gettext(" en ").join(said) if said else parts[-1][1] % {"count": 0}

    def ago(self, seconds: float) -> str:
        """`nu`, `12 seconden geleden`."""
        if seconds < 2:
            return self.gettext("nu")
        return self.gettext("%(duration)s geleden") % {"duration": self.duration(seconds)}

    def moment(self, stamp: str | None) -> str:
        """An ISO moment: `vandaag 11:15`, `wo 25 nov 11:15`; what is no moment is shown as it is."""
        if not stamp:
            return self.gettext("onbekend")
        at = _local(stamp)
        if at is None:
            return stamp
        now = self._now.astimezone()
        near = _NEAR.get((at.date() - now.date()).days)
        if near is not None:
            return self.gettext(near) % {"time": f"{at:%H:%M}"}
        day = f"{self.gettext(_WEEKDAYS[at.weekday()])} {at.day} {self.gettext(_MONTHS[at.month - 1])}"
        return f"{day} {at:%H:%M}" if at.year == now.year else f"{day} {at.year} {at:%H:%M}"

    def month(self, period: str) -> str:
        """`2026-11`: `november 2026`."""
        year, _, number = period.partition("-")
        return f"{self.gettext(_LONG_MONTHS[int(number) - 1])} {year}"

    def is_today(self, stamp: str) -> bool:
        """An ISO moment of this day."""
        at = _local(stamp)
        return at is not None and at.date() == self._now.astimezone().date()

    def since_s(self, stamp: str) -> float | None:
        """Seconds since an ISO moment; None for what is no moment."""
        at = _local(stamp)
        return None if at is None else (self._now - at).total_seconds()


def _local(stamp: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone()
