"""One TOML file for one room. Unknown keys are refused with the nearest name; all problems are told at once.

`load` gives the whole configuration. `load_panel` needs only a sound `[panel]` section, because the button must
work whatever else is broken: it takes what it can of the rest and says what it could not. `load_store` needs only
`paths.store`, because the second enforcer must delete whatever else is broken.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge.errors import BadConfig

RING_CAP_S: Final = 60  # R2: hard cap of what may be held of the past
CLIP_CAP_MIN: Final = 15  # R8
RETENTION_CAP_S: Final = 28 * 24 * 3600  # R19: four weeks, the longest that national guidance allows
RETENTION_FLOOR_S: Final = 10  # shorter is for nobody: a clip must be safe before it goes
_CLIP_BYTES_PER_SECOND: Final = 1_000_000  # 8 Mbit/s, above any source this version knows
RETENTION_S: Final = 72 * 3600  # R19: beyond 72 h European guidance wants arguments

_AGE_RECIPIENT: Final = re.compile(r"age1[02-9ac-hj-np-z]{58}", re.ASCII)  # bech32 of a 32-byte X25519 key


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Room(_Section):
    """Which room this is, and when the ring may run."""

    name: str = Field(min_length=1, max_length=80)
    building: str = Field(default="", max_length=80)
    arming: Literal["conversation", "always"] = "conversation"


class Governance(_Section):
    """R31: who answers for the camera, and why it is there. Without this section no camera is opened."""

    controller: str = Field(min_length=1)
    dpo_contact: str = Field(min_length=1)
    purpose: str = Field(min_length=1)
    criteria: str = Field(min_length=1)
    criteria_by: str = Field(min_length=1)
    less_intrusive: str = Field(min_length=1)
    legal_basis: str = Field(min_length=1)
    dpia_reference: str = Field(min_length=1)
    dpia_date: date
    review_by: date
    works_council_consent: str = Field(min_length=1)

    @field_validator("legal_basis")
    @classmethod
    def _consent_is_no_basis(cls, value: str) -> str:
        if "consent" in value.lower() or "toestemming" in value.lower():
            raise ValueError("consent is no basis here: a resident who needs the talk cannot refuse freely")
        return value


def _device(value: str) -> str:
    path = value.removeprefix("v4l2:")
    if not re.fullmatch(r"/dev/[\x21-\x7e]+", path) or ".." in path:
        raise ValueError("name a device under /dev; the names in /dev/v4l/by-id stay the same when it is replugged")
    return value


_ADDRESS: Final = re.compile(
    r"rtsp://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(/[\x21-\x7e]{0,900})?", re.ASCII
)
# `?password=…` too is a password in a place that people read.
_SECRET_IN_ADDRESS: Final = re.compile(r"@|\b(user|username|usr|pass|password|passwd|pwd|token)=", re.IGNORECASE)


def _address(value: str) -> str:
    """What is wrong is told without the address: there may be a password in it."""
    if _SECRET_IN_ADDRESS.search(value):
        raise ValueError("leave user and password out of the address; camera.login names the file that holds them")
    fits = _ADDRESS.fullmatch(value)
    if fits is None or not 1 <= int(fits[2] or 554) <= 65535:
        raise ValueError('is no address of a network camera; write "rtsp://host/path" or "rtsp://host:port/path"')
    return value


def _is_credential(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"/[^\0]+|[A-Za-z0-9_.-]{1,64}", value, re.ASCII):
        raise ValueError("is neither the whole path of a file nor the name of a credential")
    return value


def _absolute_path(value: Any) -> Any:
    if not isinstance(value, str) or not value or "\0" in value:
        return value
    if not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path")
    return Path(value)


class Camera(_Section):
    """The picture. Sources known to this version: `none`, `v4l2:/dev/…`, `picamera`, `rtsp://host/path`, `fixture:FILE`.

    `login` names the file, or the systemd credential, that holds user:password of a network camera.
    Size and rate are asked of a USB or Raspberry Pi camera, which may give others. 720p15 in MJPEG is about 1.3 MB/s: 30 s of it fit
    in the ring, and a face across a table is clear.
    """

    source: str = "none"
    width: int = Field(default=1280, ge=160, le=1920)  # pixels
    height: int = Field(default=720, ge=120, le=1080)
    fps: int = Field(default=15, ge=5, le=30)
    login: str | None = None

    @field_validator("source")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value in ("none", "picamera") or (value.startswith("fixture:") and len(value) > len("fixture:")):
            return value
        if value.startswith("v4l2:"):
            return _device(value)
        if value.startswith("rtsp:"):
            return _address(value)
        raise ValueError(
            'not a source this version knows; use "none", "v4l2:/dev/v4l/by-id/…", "picamera", "rtsp://host/path" or '
            '"fixture:FILE"'
        )

    _names_a_file = field_validator("login")(_is_credential)

    @model_validator(mode="after")
    def _only_a_network_camera_asks(self) -> Self:
        if self.login is not None and not self.source.startswith("rtsp:"):
            raise ValueError("login is for a network camera (rtsp://…) only")
        return self


class Microphone(_Section):
    """The sound, a decision of its own (R9). `off` never opens the device."""

    mode: Literal["off", "from_press", "in_ring"] = "off"
    source: str = "camera"

    @field_validator("source")
    @classmethod
    def _is_known(cls, value: str) -> str:
        named = any(value.startswith(kind) and len(value) > len(kind) for kind in ("alsa:", "fixture:"))
        if value in ("camera", "default") or (named and value.isprintable()):
            return value
        raise ValueError('not a source this version knows; use "camera", "default", "alsa:NAME" or "fixture:FILE"')


class RingSize(_Section):
    """How much of the past is held in RAM. 0 seconds: the camera opens at the press."""

    seconds: int = Field(default=30, ge=0, le=RING_CAP_S)
    mebibytes: int = Field(default=96, ge=8, le=512)


class Clip(_Section):
    """How long a clip goes on after the last press."""

    post_press_seconds: int = Field(default=300, ge=5, le=CLIP_CAP_MIN * 60)
    max_minutes: int = Field(default=CLIP_CAP_MIN, ge=1, le=CLIP_CAP_MIN)


class Retention(_Section):
    """When a clip is deleted, counted from the press, and how many clips must always fit."""

    seconds: int = Field(default=RETENTION_S, ge=RETENTION_FLOOR_S, le=RETENTION_CAP_S)
    reserve_clips: int = Field(default=3, ge=0, le=20)


class Seal(_Section):
    """The public keys that clips are sealed to. The private keys never come near the device."""

    recipients: tuple[str, ...] = Field(default=(), max_length=16)

    @field_validator("recipients", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("recipients")
    @classmethod
    def _are_age_recipients(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for recipient in value:
            if not _AGE_RECIPIENT.fullmatch(recipient):
                shown = recipient if recipient.startswith("age1") else "…"  # it might be a private key
                raise ValueError(f"{shown!r} is not an age recipient (age1 and 58 letters and digits)")
        return value


class InputPin(_Section):
    """A switch or a button. `no` closes when used, `nc` opens when used."""

    pin: int = Field(ge=0, le=27)
    contact: Literal["no", "nc"] = "no"


class PanicPin(_Section):
    """The panic button. A `pair` has two contacts: `pin` closes when pressed, `pin_closed` opens when pressed."""

    pin: int = Field(ge=0, le=27)
    contact: Literal["no", "nc", "pair"] = "no"
    pin_closed: int | None = Field(default=None, ge=0, le=27)

    @model_validator(mode="after")
    def _has_the_pins_of_its_contacts(self) -> Self:
        if self.contact == "pair" and self.pin_closed is None:
            raise ValueError('contact = "pair" has two contacts; say pin_closed for the one that is closed at rest')
        if self.contact != "pair" and self.pin_closed is not None:
            raise ValueError(f'pin_closed is for contact = "pair", not for "{self.contact}"')
        return self


class OutputPin(_Section):
    """A relay or a lamp, active high."""

    pin: int = Field(ge=0, le=27)


class AlarmPin(OutputPin):
    """The alarm relay: `steady` for as long as the alarm is on, or a `pulse` of a second at each press."""

    signal: Literal["steady", "pulse"] = "steady"


class Panel(_Section):
    """Buttons, switches, lamps and the alarm relay, by BCM number."""

    panic: PanicPin
    alarm: AlarmPin
    attention: InputPin | None = None
    reset: InputPin | None = None
    privacy: InputPin | None = None
    conversation: InputPin | None = None
    test_key: InputPin | None = None
    lamp_official: OutputPin | None = None
    lamp_resident: OutputPin | None = None

    @model_validator(mode="after")
    def _pins_differ(self) -> Self:
        used: dict[int, str] = {}
        for name, pin in self.wires():
            if pin in used:
                raise ValueError(f"pin {pin} is used for both {used[pin]} and {name}")
            used[pin] = name
        return self

    def wires(self) -> list[tuple[str, int]]:
        """Each pin in use with its name here."""
        wires = [(name, wire.pin) for name in type(self).model_fields if (wire := getattr(self, name)) is not None]
        return wires if self.panic.pin_closed is None else [*wires, ("panic.pin_closed", self.panic.pin_closed)]


def _ip(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is no IP address") from None


_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?)*", re.ASCII
)


_PAGE_ADDRESS: Final = re.compile(
    r"(https?)://((?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+|\[[0-9A-Fa-f:]+\])(?::([0-9]{1,5}))?/?", re.ASCII
)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


class OtherRoom(_Section):
    """The page of another room's device, for the overview. `credential`: a 0600 file, or a systemd credential, that
    holds user:password. `certificate`: the file of the certificate, or of its authority, when the system does not know it.
    """

    name: str = Field(min_length=1, max_length=80)
    building: str = Field(default="", max_length=80)
    url: str
    credential: str | None = None
    certificate: Path | None = None

    @field_validator("url")
    @classmethod
    def _is_a_page(cls, value: str) -> str:
        """What is wrong is told without the address: there may be a password in it."""
        fits = _PAGE_ADDRESS.fullmatch(value)
        if fits is None or not 1 <= int(fits[3] or 443) <= 65535:
            raise ValueError('is no address of a room\'s page; write "https://host" or "https://host:port"')
        if fits[1] == "http" and fits[2] not in _LOOPBACK:
            raise ValueError("must begin with https://; without it anybody between could say that all is well")
        return value.rstrip("/")

    _names_a_file = field_validator("credential")(_is_credential)

    @field_validator("certificate", mode="before")
    @classmethod
    def _as_path(cls, value: Any) -> Any:
        return _absolute_path(value)


class Page(_Section):
    """Where the status page listens, who may read it from elsewhere (R28), and a municipality's own look for it.

    Beyond loopback it wants a password and TLS, or the addresses of the reverse proxies that alone may ask.
    `password_hash`, `certificate` and `key` each name a file, or a systemd credential of the unit.
    """

    bind: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    names: tuple[str, ...] = Field(default=(), max_length=16)  # what browsers call it, beside the certificate's names
    certificate: str | None = None  # PEM, its chain after it
    key: str | None = None
    password_hash: str | None = None  # as `spreekkamer page password` writes it
    proxies: tuple[str, ...] = Field(default=(), max_length=16)  # only these are believed about who asks
    theme: Path | None = None  # a CSS file of design tokens; the page reads it at its start and refuses a bad one
    rooms: tuple[OtherRoom, ...] = Field(default=(), max_length=32)  # with any, `/` is an overview of all rooms

    @field_validator("rooms")
    @classmethod
    def _differ(cls, value: tuple[OtherRoom, ...]) -> tuple[OtherRoom, ...]:
        for what in ("name", "url"):
            if len({getattr(room, what) for room in value}) < len(value):
                raise ValueError(f"two rooms have the same {what}")
        return value

    @field_validator("names", "proxies", "rooms", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("bind")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return _ip(value)

    @field_validator("proxies")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        proxies = tuple(_ip(proxy) for proxy in value)
        if any(ip_address(proxy).is_unspecified for proxy in proxies):
            raise ValueError("0.0.0.0 and :: are nobody's address; name each proxy by its own")
        return proxies

    @field_validator("names")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a host; write it in small letters, without port or *")
        return value

    @field_validator("certificate", "key", "password_hash")
    @classmethod
    def _is_place(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"/[^\0]+|[A-Za-z0-9_.-]{1,64}", value, re.ASCII):
            raise ValueError("is neither the whole path of a file nor the name of a credential")
        return value

    @model_validator(mode="after")
    def _is_open_to_nobody_unasked(self) -> Self:
        wrong = []
        if (self.certificate is None) != (self.key is None):
            wrong.append("certificate and key go together")
        if self.is_wide and not self.proxies and (self.password_hash is None or not self.has_tls):
            wrong.append(
                f'bind = "{self.bind}" is open to the network: say password_hash, certificate and key, or proxies '
                "(docs/desk-browser.md)"
            )
        elif self.password_hash is not None and not self.has_tls and not self.proxies:
            wrong.append(
                "password_hash needs certificate and key, or proxies: it is not asked where it can be overheard"
            )
        if self.is_wide and not self.has_tls and not self.names:
            wrong.append("say in names what browsers call this page, since no certificate says it")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def is_wide(self) -> bool:
        """Other computers can reach it."""
        return not ip_address(self.bind).is_loopback

    @property
    def has_tls(self) -> bool:
        return self.certificate is not None and self.key is not None

    @field_validator("theme", mode="before")
    @classmethod
    def _as_path(cls, value: Any) -> Any:
        return Path(value) if isinstance(value, str) and value and "\0" not in value else value

    @field_validator("theme")
    @classmethod
    def _is_absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError(f"{str(value)!r} is not an absolute path")
        return value


_WEBHOOK: Final = re.compile(
    r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:[/?][\x21-\x7e]{0,900})?", re.ASCII
)
_OURSELVES: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_TOPIC: Final = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*", re.ASCII)


class Webhook(_Section):
    """Who is told by HTTPS. `secret` names the file, or the credential, that holds the key of the signature.

    The address itself is often a secret too: it is in no log, no error and no repr.
    """

    url: str = Field(repr=False)
    secret: str

    _names_a_file = field_validator("secret")(_is_credential)

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if "@" in value.split("://", 1)[-1].split("/", 1)[0]:
            raise ValueError("leave user and password out of the address; the message is signed instead")
        fits = _WEBHOOK.fullmatch(value)
        if fits is None or not 1 <= int(fits[3] or 443) <= 65535:
            raise ValueError('is no address of a web server; write "https://host/path"')
        if fits[1] == "http" and fits[2].strip("[]") not in _OURSELVES:
            raise ValueError("http:// is for this device itself only: others would read when help was called; https://")
        return value


class Mqtt(_Section):
    """The broker that holds the room's state. `login` names the file, or the credential, with its user:password."""

    host: str
    topic: str = Field(max_length=100)  # of this room alone
    port: int | None = Field(default=None, ge=1, le=65535)  # None: 8883, without TLS 1883
    tls: bool = True
    login: str | None = None

    _names_a_file = field_validator("login")(_is_credential)

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        if not _HOST.fullmatch(value):
            raise ValueError("is no name or address of a host; port and login have settings of their own")
        return value

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, value: str) -> str:
        if not _TOPIC.fullmatch(value):
            raise ValueError('is no topic of one room; write letters, digits, - _ . and / as in "spreekkamer/hal/2"')
        return value

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        if not self.tls and self.host not in _OURSELVES:
            raise ValueError("tls = false is for a broker on this device only: others would read when help was called")
        return self


class Notify(_Section):
    """Who is told what happens in the room: no footage, no names (docs/notifications.md)."""

    webhooks: tuple[Webhook, ...] = Field(default=(), max_length=8)
    mqtt: Mqtt | None = None

    @field_validator("webhooks", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class Paths(_Section):
    """Where clips are kept, and the folder of the sockets (short: a socket's path ends at 107 bytes).

    Each folder under `run` has one owner and one audience, so that its group is the access control (systemd/README.md).
    """

    store: Path = Path("/var/lib/spreekkamer")
    run: Path = Path("/run/spreekkamer")

    @field_validator("store", "run", mode="before")
    @classmethod
    def _as_path(cls, value: Any) -> Any:
        return Path(value) if isinstance(value, str) and value and "\0" not in value else value

    @field_validator("store", "run")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError(f"{str(value)!r} is not an absolute path")
        return value

    @property
    def panel_socket(self) -> Path:
        """The panel repeats here what it wants."""
        return self.run / "panel-link" / "wanted.sock"

    @property
    def panel_state(self) -> Path:
        """The panel's own memory of an open incident; a tmpfs, gone at reboot. Its folder is nobody else's: lgpio's pipes,
        which bring the button's edges, lie there too, open to its group.
        """
        return self.run / "panel-own" / "incident.json"

    @property
    def vault_socket(self) -> Path:
        """The recorder hands sealed segments over here."""
        return self.run / "vault-ingest" / "ingest.sock"

    @property
    def clips_socket(self) -> Path:
        """`spreekkamer clips` asks here."""
        return self.run / "vault-clips" / "clips.sock"

    @property
    def figures_socket(self) -> Path:
        """The vault writes here what it counted."""
        return self.run / "vault" / "figures.sock"

    def status_socket(self, process: Literal["panel", "recorder", "vault"]) -> Path:
        """Where a process writes its snapshot."""
        return self.run / process / "status.sock"


class Config(_Section):
    """The whole room."""

    room: Room
    governance: Governance | None = None
    camera: Camera = Camera()
    microphone: Microphone = Microphone()
    ring: RingSize = RingSize()
    clip: Clip = Clip()
    retention: Retention = Retention()
    seal: Seal = Seal()
    panel: Panel
    page: Page = Page()
    notify: Notify = Notify()
    paths: Paths = Paths()

    @model_validator(mode="after")
    def _sound_has_a_source(self) -> Self:
        if self.microphone.mode == "off" or self.microphone.source != "camera":
            return self
        if self.camera.source == "picamera":
            raise ValueError(
                'microphone.source: a Raspberry Pi camera has no microphone; use "alsa:NAME" with the name that '
                '`arecord -l` has in brackets, or "default"'
            )
        if self.camera.source.startswith("v4l2:"):
            raise ValueError(
                'microphone.source: a USB camera gives its sound as a sound card; use "alsa:NAME" with the name that '
                '`arecord -l` has in brackets, or "default"'
            )
        return self

    @property
    def reserve_bytes(self) -> int:
        """The space of the clips that must always fit."""
        return self.retention.reserve_clips * self.clip.max_minutes * 60 * _CLIP_BYTES_PER_SECOND

    @property
    def has_only_fixtures(self) -> bool:
        """No real room can be seen or heard: every source is a recording (or there is none)."""
        recorded = ("none", "fixture:")
        sound = self.microphone.source
        return self.camera.source.startswith(recorded) and (
            self.microphone.mode == "off" or sound == "camera" or sound.startswith("fixture:")
        )


class PanelConfig(_Section):
    """What the panel process needs."""

    panel: Panel
    room: Room
    clip: Clip = Clip()
    paths: Paths = Paths()


class StoreConfig(_Section):
    """What the second enforcer needs."""

    paths: Paths = Paths()
    retention: Retention = Retention()


def load(path: Path) -> Config:
    """Read the configuration. Raises BadConfig with every problem, each on a line of its own."""
    return checked(_read(path))


def checked(raw: Mapping[str, Any]) -> Config:
    """The configuration that these TOML values make. Raises BadConfig like `load`."""
    try:
        return Config.model_validate(raw)
    except ValidationError as err:
        raise BadConfig(_problems(err)) from err


def load_panel(path: Path) -> tuple[PanelConfig, tuple[str, ...]]:
    """Read what the panel needs, and list what is wrong elsewhere.

    Raises BadConfig only when the file cannot be read as TOML, or `[panel]` itself cannot be used: then there is
    no way to know which pin is the button.
    """
    raw = _read(path)
    problems: list[str] = []
    try:
        Config.model_validate(raw)
    except ValidationError as err:
        problems = _problems(err)
    # `panel: …` or `panel.panic: …`; a mistyped section beside it, such as [panels], must not silence the button.
    of_panel = [problem for problem in problems if problem.startswith(("panel:", "panel."))]
    if "panel" not in raw or of_panel:
        raise BadConfig(of_panel)
    parts: dict[str, _Section] = {"room": Room(name="?", arming="conversation")}
    for name, section in (("room", Room), ("clip", Clip), ("paths", Paths)):
        try:
            if name in raw:
                parts[name] = section.model_validate(raw[name])
        except ValidationError:
            continue  # already among the problems; the default stands in, so that the button works
    return PanelConfig.model_validate({"panel": Panel.model_validate(raw["panel"]), **parts}), tuple(problems)


def load_store(path: Path) -> tuple[StoreConfig | None, tuple[str, ...]]:
    """Read where the store is, and list what is wrong anywhere; None when nothing usable says where it is."""
    try:
        raw = _read(path)
    except BadConfig as err:
        return None, err.problems
    problems: list[str] = []
    try:
        Config.model_validate(raw)
    except ValidationError as err:
        problems = _problems(err)
    of_paths = [problem for problem in problems if problem.startswith(("paths:", "paths."))]
    paths = raw.get("paths", {})
    has_store = isinstance(paths, dict) and "store" in paths
    try:
        if of_paths and not has_store:
            return None, (*of_paths, *problems)
        found = StoreConfig(paths=Paths.model_validate({"store": paths["store"]} if has_store else {}))
    except ValidationError:
        return None, (*of_paths, *problems)
    try:
        return found.model_copy(update={"retention": Retention.model_validate(raw.get("retention", {}))}), tuple(
            problems
        )
    except ValidationError:  # already among the problems
        return found, tuple(problems)


def named_store(store: Path) -> tuple[StoreConfig, tuple[str, ...]]:
    """The answer of `load_store` to a store that is named outright. Raises BadConfig when no folder is there."""
    try:
        if store.is_dir():
            return StoreConfig(paths=Paths(store=store.absolute())), ()
    except (OSError, ValueError):  # a name that can be none
        pass
    raise BadConfig([f"{str(store)[:200]!r}: there is no such folder; name the one that holds clips/ with --store"])


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise BadConfig([f"{path}: cannot be read: {err.strerror}"]) from err
    except UnicodeDecodeError as err:
        raise BadConfig([f"{path}: is not UTF-8 text"]) from err
    except tomllib.TOMLDecodeError as err:
        raise BadConfig([f"{path}: is not TOML: {err}"]) from err


def _problems(err: ValidationError) -> list[str]:
    return [_problem(error) for error in err.errors(include_url=False)]


def _problem(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _names_at(error["loc"][:-1]), n=1, cutoff=0.5)
        return f"{where}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return f"{where}: is missing"
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}" if where else f"{error['ctx']['error']}"
    # Keys are near in [seal]; in [camera] and [notify] a password may stand where an address belongs.
    may_show = error["loc"][:1] not in {("seal",), ("camera",), ("notify",)} or isinstance(error["input"], int | float)
    shown = f", not {error['input']!r}" if may_show and not isinstance(error["input"], dict) else ""
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}{shown}"


def _names_at(location: Iterable[int | str]) -> list[str]:
    """The names allowed in the section at `location`."""
    model: Any = Config
    for part in location:
        if isinstance(part, int):  # one of several alike
            continue
        field = model.model_fields.get(part)
        options = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        model = next((kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if model is None:
            return []
    return list(model.model_fields)
