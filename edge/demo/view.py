"""The live view at a terminal: what the room is, at a glance. rich only; shows snapshots, decides nothing."""

from __future__ import annotations

from typing import Final, Self

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge.config import Config
from edge.demo.watch import Seen
from edge.status import RecorderState

_STYLES: Final = {
    RecorderState.LISTENING: ("luistert", "green"),
    RecorderState.RECORDING: ("NEEMT OP", "bold red"),
    RecorderState.PRIVATE: ("privé: camera dicht, geheugen gewist", "blue"),
    RecorderState.OFF: ("uit", "blue"),
    RecorderState.STARTING: ("start", "yellow"),
    RecorderState.FAULT: ("storing", "bold yellow"),
    RecorderState.ALARM_ONLY: ("alleen alarm", "green"),
}
_KEYS: Final = "Enter = paniekknop   p = privé   r = herstel   c = gesprek   t = test   a = aandacht   q = stop"


class View:
    """Draws in place until it is left."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._live = Live(auto_refresh=False, screen=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, seen: Seen, happenings: list[str]) -> None:
        """Draw the room as it was last seen."""
        body = Group(self._room(seen), self._clips(seen), Text("\n".join(happenings), style="dim"), Text(_KEYS))
        title = f"{self._config.room.name} · http://127.0.0.1:{self._config.page.port}/"
        self._live.update(Panel(body, title=title), refresh=True)

    def _room(self, seen: Seen) -> Table:
        table = Table.grid(padding=(0, 2))
        recorder, panel = seen.recorder, seen.panel
        if recorder is None:
            table.add_row("Ruimte", Text("recorder antwoordt niet", style="bold yellow"))
        else:
            words, style = _STYLES[recorder.state]
            table.add_row("Ruimte", Text(words, style=style))
            ring = recorder.ring
            bar = ProgressBar(total=max(ring.promised_seconds, 1), completed=ring.seconds, width=30)
            table.add_row("In RAM", bar, f"{ring.seconds:.0f} van {ring.promised_seconds:.0f} s")
            table.add_row("Geschreven", f"{recorder.write_bytes} bytes door de recorder")
            for fault in recorder.faults:
                table.add_row("Storing", Text(f"{fault.detail}: {fault.fix}", style="yellow"))
        if panel is None:
            table.add_row("Alarm", Text("paneel antwoordt niet", style="bold yellow"))
        else:
            alarm = Text("AAN", style="bold red") if panel.is_alarm_on else Text("klaar", style="green")
            table.add_row("Alarm", alarm)
        return table

    def _clips(self, seen: Seen) -> Table | Text:
        if seen.vault is None:
            return Text("kluis antwoordt niet", style="bold yellow")
        if not seen.vault.clips:
            return Text("Van deze ruimte bewaard: niets", style="green")
        table = Table(box=None, padding=(0, 2))
        for name in ("clip", "toestand", "veilig", "wordt verwijderd over"):
            table.add_column(name)
        for clip in seen.vault.clips[:5]:
            table.add_row(clip.id, clip.state, f"{clip.safe_seconds:.0f} s", _countdown(clip.expires_in_s))
        return table


def _countdown(seconds: float) -> str:
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
