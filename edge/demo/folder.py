"""What a demo leaves in its folder: config.toml, keys/officer.key and store/. Nothing half-made when it cannot be."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.config import Config, load
from edge.desk.keys import new_key, recipient_of
from edge.durable import Disk
from edge.errors import Refused
from edge.packet import Track
from edge.recorder.capture.fixture import check_recording

RING_S: Final = 30
_RECORDED_ROOM: Final = Path(__file__).parents[2] / "tests" / "fixtures" / "room.mp4"

_CONFIG: Final = """\
# Written by `spreekkamer demo`, anew at each start. A made-up room of a made-up municipality.
[room]
name = "Spreekkamer 2"
building = "Stadhuis (demo)"
arming = "always"

[governance]
controller = "Gemeente Voorbeeld"
dpo_contact = "fg@voorbeeld.example"
purpose = "Hulp bij bedreiging in deze spreekkamer, en bewijs daarvan"
criteria = "Druk op de knop als u zich bedreigd voelt"
criteria_by = "Ondernemingsraad en FG, jaarlijks getoetst"
less_intrusive = "Alarmknop zonder camera: geprobeerd; toont niet wat er aan de druk voorafging"
legal_basis = "Gerechtvaardigd belang van de werkgever, afgewogen in de DPIA"
dpia_reference = "DPIA-DEMO"
dpia_date = 2026-01-15
review_by = 2099-01-15
works_council_consent = "DEMO"

[camera]
source = {source}

[microphone]
mode = "in_ring"
source = "camera"

[ring]
seconds = {ring}

[clip]
max_minutes = 5

[retention]
seconds = {retention}
reserve_clips = 1

[seal]
recipients = [{recipient}]

[panel]
panic = {{ pin = 17 }}
reset = {{ pin = 27 }}
privacy = {{ pin = 22 }}
conversation = {{ pin = 23 }}
attention = {{ pin = 24 }}
test_key = {{ pin = 25 }}
alarm = {{ pin = 5 }}
lamp_official = {{ pin = 6 }}
lamp_resident = {{ pin = 13 }}

[page]
port = {port}

[paths]
store = {store}
run = {run}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where this demo's things are."""

    folder: Path
    config_file: Path
    key: Path
    config: Config


def recording(video: Path | None) -> Path:
    """The recording to play as the room. Raises BadSource when it cannot be played."""
    path = (video or _RECORDED_ROOM).absolute()
    check_recording(path, [Track.PICTURE])
    return path


def prepare(*, folder: Path, run: Path, port: int, retention_s: int, video: Path) -> Place:
    """Make the folder, or use it again with its key and clips. `run` is the folder of the sockets.

    Raises Refused or StoreError in one line: a name that no configuration can hold, port taken, folder not writable, key not
    readable, disk full.
    """
    folder = folder.absolute()
    for path in (folder, video):
        _check_text(path)
    _check_port(port)
    disk = Disk()
    key = folder / "keys" / "officer.key"
    # An unreadable key is found before anything is written.
    recipient = recipient_of(key) if key.exists() else None
    disk.make_folder(folder)
    if recipient is None:
        recipient = new_key(key)
    config_file = folder / "config.toml"
    text = _CONFIG.format(
        source=_toml(f"fixture:{video}"),
        ring=RING_S,
        retention=retention_s,
        recipient=_toml(recipient),
        port=port,
        store=_toml(str(folder / "store")),
        run=_toml(str(run)),
    )
    disk.replace(config_file, text.encode())
    return Place(folder=folder, config_file=config_file, key=key, config=load(config_file))


def _check_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as err:
            raise Refused(
                f"port {port} on 127.0.0.1 cannot be used: {err.strerror}; choose another with --port"
            ) from err


def _check_text(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as err:
        raise Refused(f"{path}: this name is not UTF-8 text; choose another") from err


def _toml(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's too, but not its pairs of surrogates; and TOML wants DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
