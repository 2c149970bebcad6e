"""The pages' HTML: frames, and the parts in them that change. Escapes everything; reads its files once, at the start.

Two pages: a room's own, and the overview of several, which has a part for each room.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from edge.status import RecorderState
from service.figures import Told
from service.language import Catalog, Language, Words
from service.overview import Card
from service.rooms import RoomStatus
from service.texts import Texts
from service.theme import NO_THEME, Theme

FOLDER: Final = Path(__file__).parent

# Each is a template of its own and one event of the live page, sent when it differs from what was sent before.
PARTS: Final = (
    "age", "sign", "state", "faults", "ring", "sources", "alarm", "written", "storage", "kept", "deleted", "ledger",
    "checks", "figures", "warnings", "information",
)  # fmt: skip


_CALM: Final = (RecorderState.STARTING, RecorderState.PRIVATE, RecorderState.OFF, RecorderState.ALARM_ONLY)


def tone(room: RoomStatus | Card) -> str:
    """A room's colour: stale | fault | recording | attention | calm | good. Old information is never coloured."""
    if room.is_stale or room.state is None:
        return "stale"
    if room.state is RecorderState.FAULT:
        return "fault"
    if room.state is RecorderState.RECORDING:
        return "recording"
    if not room.in_order:
        return "attention"
    return "calm" if room.state in _CALM else "good"


class Page:
    """Renders the page in one language. Any thread."""

    def __init__(self, language: Language, theme: Theme = NO_THEME) -> None:
        self._catalog = Catalog.load(language)
        self._theme = theme
        environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            extensions=["jinja2.ext.i18n"],
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # What the i18n extension adds to an environment, which knows it at run time only.
        environment.install_gettext_translations(self._catalog.texts, newstyle=True)  # type: ignore[attr-defined]
        self._frame = environment.get_template("room.html")
        self._overview = environment.get_template("overview.html")
        self._card = environment.get_template("parts/card.html")
        self._parts: dict[str, Template] = {name: environment.get_template(f"parts/{name}.html") for name in PARTS}

    def parts(self, status: RoomStatus, figures: Told = None, *, now_wall_ns: int) -> dict[str, str]:
        """What changes, by name: `tone` and `title` as text, the others as HTML."""
        texts = Texts(Words(self._catalog, now_wall_ns=now_wall_ns))
        said = {"tone": tone(status), "title": f"{texts.headline(status)} – {status.room}"}
        for name, template in self._parts.items():
            said[name] = template.render(status=status, tone=said["tone"], t=texts, figures=figures).strip()
        return said

    def render(self, status: RoomStatus, figures: Told = None, *, now_wall_ns: int, path: str = "/") -> str:
        """A room's whole page. `path`: where it stands; elsewhere than at `/` there is an overview to go back to."""
        said = self.parts(status, figures, now_wall_ns=now_wall_ns)
        return self._frame.render(self._facts(said, path), status=status, tone=said["tone"], has_overview=path != "/")

    def cards(self, cards: tuple[Card, ...], *, now_wall_ns: int) -> dict[str, str]:
        """What changes on the overview, by name: `title` as text, `rooms` and a `card-N` for each room as HTML."""
        texts = Texts(Words(self._catalog, now_wall_ns=now_wall_ns))
        said = {"title": f"{texts.all_rooms(cards)} – Spreekkamer", "rooms": texts.all_rooms(cards)}
        for number, card in enumerate(cards):
            said[f"card-{number}"] = self._card.render(card=card, status=card, tone=tone(card), t=texts).strip()
        return said

    def render_overview(self, cards: tuple[Card, ...], *, now_wall_ns: int) -> str:
        """The whole overview."""
        said = self.cards(cards, now_wall_ns=now_wall_ns)
        return self._overview.render(self._facts(said, "/"), cards=cards)

    def _facts(self, said: dict[str, str], path: str) -> dict[str, object]:
        """What both pages need."""
        language = self._catalog.language.value
        return {"language": language, "title": said["title"], "part": said, "theme": self._theme, "path": path}
