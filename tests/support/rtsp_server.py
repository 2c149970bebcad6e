"""A network camera: GStreamer's RTSP server, in a process of its own, plays a recording as if it were live.

`RtspServer` is for tests, and starts this file as a script with the distribution's Python, which is the one that
knows GStreamer (scripts/system-packages). So nothing but the standard library is imported above `main`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import select
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

_PYTHON = Path("/usr/bin/python3")
_START_S = 20.0

_PICTURE = {
    "h264": "h264parse ! rtph264pay name=pay0 pt=96 config-interval={interval} timestamp-offset={stamp}",
    "hevc": "h265parse ! rtph265pay name=pay0 pt=96 config-interval={interval} timestamp-offset={stamp}",
}
_SOUND = {
    "aac": "aacparse ! rtpmp4gpay name=pay1 pt=97",
    "pcm_mulaw": "rtppcmupay name=pay1 pt=0",
    "pcm_alaw": "rtppcmapay name=pay1 pt=8",
    "opus": "opusparse ! rtpopuspay name=pay1 pt=97",
}


def why_not() -> str | None:
    """Why no such server can be started here; None when it can."""
    if not _PYTHON.exists():
        return f"{_PYTHON} is missing"
    asked = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    done = subprocess.run([_PYTHON, "-c", asked], capture_output=True, text=True, check=False)
    return "run scripts/system-packages: GStreamer's RTSP server is missing" if done.returncode else None


@dataclass(kw_only=True)
class RtspServer:
    """Plays `file` at `rtsp://127.0.0.1:port/path` while it is entered; `kill` and `start` as often as wanted.

    `picture` and `sound` are the file's codecs. `login` (user, password) is asked for as a digest, or in the clear
    with `is_basic`. `has_sets_in_band`: parameter sets before each key picture too, not in the SDP alone.
    `stamp` is the RTP clock of the first picture.
    """

    file: Path
    port: int
    path: str = "cam"
    picture: str = "h264"
    sound: str | None = None
    login: tuple[str, str] | None = None
    is_basic: bool = False
    has_sets_in_band: bool = True
    stamp: int = 1_000_000
    asked: list[str] = field(
        default_factory=list
    )  # `DESCRIBE cam`, `SETUP cam/stream=0`, … as far as `read_asked` read
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{self.path}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it listens."""
        command: list[str | Path] = [_PYTHON, "-I", Path(__file__), str(self.port), self.file]
        command += ["--picture", self.picture, "--stamp", str(self.stamp), "--path", self.path]
        command += ["--interval", "-1" if self.has_sets_in_band else "0"]
        command += ["--sound", self.sound] if self.sound else []
        command += ["--basic"] if self.is_basic else []
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, bufsize=0, env=os.environ | {"LOGIN": ":".join(self.login or ())}
        )
        assert self._read_line(_START_S) == "ready", "the RTSP server does not start"

    def kill(self) -> None:
        """SIGKILL, as a camera whose plug is pulled. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self.read_asked()
            self._process.wait()
            self._out.close()
            self._process = None

    def freeze(self, *, is_frozen: bool) -> None:
        """SIGSTOP, as a camera that hangs with its connection open; or SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if is_frozen else signal.SIGCONT)

    def read_asked(self) -> list[str]:
        """All that clients have asked for until now."""
        while self._process is not None and (line := self._read_line(0.0)):
            self.asked.append(line)
        return self.asked

    @property
    def _out(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def _read_line(self, patience_s: float) -> str:
        ready, _, _ = select.select([self._out], [], [], patience_s)
        return self._out.readline().decode().strip() if ready else ""  # unbuffered: `select` sees what is left


def main() -> None:
    """Serve until killed; each request becomes one line on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("file")
    parser.add_argument("--path", required=True)
    parser.add_argument("--picture", required=True)
    parser.add_argument("--sound")
    parser.add_argument("--interval", required=True)
    parser.add_argument("--stamp", required=True)
    parser.add_argument("--basic", action="store_true")
    given = parser.parse_args()

    gst, rtsp_server = _library("Gst"), _library("GstRtspServer")
    gst.init(None)

    demuxer = "qtdemux" if given.file.endswith(".mp4") else "matroskademux"
    picture = _PICTURE[given.picture].format(interval=given.interval, stamp=given.stamp)
    branches = [f"d.video_0 ! queue ! {picture}"]
    if given.sound:
        branches.append(f"d.audio_0 ! queue ! {_SOUND[given.sound]}")
    factory = rtsp_server.RTSPMediaFactory()
    factory.set_launch(f"( filesrc location={given.file} ! {demuxer} name=d {' '.join(branches)} )")
    factory.set_shared(True)
    server = rtsp_server.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(given.port)
    if os.environ["LOGIN"]:
        _ask_for_login(server, factory, os.environ["LOGIN"], is_basic=given.basic)
    server.get_mount_points().add_factory(f"/{given.path}", factory)
    server.connect("client-connected", lambda _, client: _tell_requests(client))
    server.attach(None)
    print("ready", flush=True)
    _library("GLib").MainLoop().run()


def _library(name: str) -> Any:
    gi: Any = importlib.import_module("gi")
    gi.require_version(name, {"GLib": "2.0"}.get(name, "1.0"))
    return importlib.import_module(f"gi.repository.{name}")


def _ask_for_login(server: Any, factory: Any, login: str, *, is_basic: bool) -> None:
    rtsp_server, (user, password) = _library("GstRtspServer"), login.split(":", 1)
    auth, token = rtsp_server.RTSPAuth(), rtsp_server.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if is_basic:
        auth.add_basic(rtsp_server.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(_library("GstRtsp").RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    rights = "viewer, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
    factory.add_role_from_structure(_library("Gst").Structure.from_string(rights)[0])
    server.set_auth(auth)


def _tell_requests(client: Any) -> None:
    for name in ("describe", "setup", "play", "teardown"):
        client.connect(f"{name}-request", lambda _, context, name=name: _tell(name, context))


def _tell(name: str, context: Any) -> None:
    print(name.upper(), context.uri.abspath.lstrip("/"), flush=True)


if __name__ == "__main__":
    main()
