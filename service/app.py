"""The web application: its pages, their JSON, and nothing that changes anything. Caller: the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Query
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.telemetry import TelemetryConfig
from pydantic import TypeAdapter

from edge.config import Config
from edge.errors import Refused
from edge.ports import Clock
from edge.status import PanelStatus
from service import examples, metrics
from service.access import Access, documented
from service.entrance import Entrance
from service.figures import PERIOD, Figures, Refusal, current, figures
from service.gate import Gate
from service.language import Language, chosen
from service.live import Live, Tell
from service.logins import Logins
from service.look import Channels, Looker, Seen
from service.page import FOLDER, Page
from service.remote import FIRST_S, Remotes
from service.rooms import ClipList, FaultList, RoomStatus, clip_list, fault_list
from service.snapshots import Snapshots
from service.theme import NO_THEME, Theme

_STATIC: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "vendor/atkinson-hyperlegible-next.woff2": "font/woff2",
}

# FastAPI would otherwise send traces to wherever the environment says (FASTAPI_OTEL_AUTO_CONFIGURE).
_NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}

_Asked = Annotated[str | None, Query()]
_Accepted = Annotated[str, Header()]
# Judged by `figures`, in one line, and not by the framework.
_Period = Annotated[
    str | None,
    Query(
        description="A month or a year; without one, this month. By the device's clock, in UTC.",
        examples=["2026-11", "2026"],
        json_schema_extra={"pattern": PERIOD},
    ),
]
_JSON: Final = TypeAdapter(RoomStatus)


class _App(FastAPI):
    """Describes itself with the password, where one is asked for."""

    has_password = False

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None and self.has_password:
            self.openapi_schema = documented(super().openapi())
        return super().openapi()


def create_app(
    config: Config,
    *,
    snapshots: Snapshots,
    clock: Clock,
    entrance: Entrance,
    logins: Logins | None = None,
    remotes: Remotes | None = None,
    theme: Theme = NO_THEME,
    channels: Channels = tuple,
) -> FastAPI:
    """The application for one room. Who gives `snapshots` and `remotes` closes them; `app.state.live.close()` ends its
    streams. With `remotes` there is an overview at `/`, and this room's page is at `/room`.
    """
    app = _App(
        title="Spreekkamer",
        summary="Health of one interview room. Read-only; never a picture, a sound or a name.",
        docs_url=None,  # the stock documentation pages load their scripts from another host
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.has_password = logins is not None
    if logins is not None or config.page.proxies:
        app.add_middleware(Access, proxies=config.page.proxies, logins=logins)
    app.add_middleware(Gate, names=entrance.names, is_secured=entrance.tls is not None)  # the last one comes first
    pages = {language: Page(language, theme) for language in Language}

    looker = Looker(config, snapshots, clock, entrance=entrance, channels=channels, remotes=remotes)

    def of_room(page: Page) -> Tell[Seen]:
        return lambda seen: page.parts(seen.status, seen.figures, now_wall_ns=clock.wall_ns())

    def of_rooms(page: Page) -> Tell[Seen]:
        return lambda seen: page.cards(seen.cards, now_wall_ns=clock.wall_ns())

    tells: dict[str, Tell[Seen]] = {"api": lambda seen: _as_event(seen.status)}
    for language, page in pages.items():
        tells[f"room {language}"], tells[f"rooms {language}"] = of_room(page), of_rooms(page)
    live = Live(looker.all, tells)
    app.state.live = live
    _add_room(app, looker, pages, clock)
    if remotes is not None:
        _add_overview(app, looker, pages, clock)

    @app.get("/live", include_in_schema=False)
    async def follow(lang: _Asked = None, view: _Asked = None) -> Response:
        return live.stream(f"{'rooms' if view == 'rooms' and remotes else 'room'} {chosen(lang, '')}")

    _add_api(app, looker.room, live)
    _add_figures(app, config.room.name, snapshots)

    @app.get("/healthz", response_class=PlainTextResponse, summary="This process answers; it says nothing of the room")
    async def healthz() -> str:
        return "ok\n"

    @app.get(
        "/readyz",
        response_class=PlainTextResponse,
        summary="Panel, recorder and vault all answer with fresh information",
        responses={503: {"description": "One of them does not", "content": {"text/plain": {"example": "vault\n"}}}},
    )
    async def readyz() -> PlainTextResponse:
        missing = [part.process for part in (await looker.room()).information if not part.is_heard or part.is_stale]
        return PlainTextResponse("ok\n") if not missing else PlainTextResponse(f"not heard: {' '.join(missing)}\n", 503)

    @app.get("/metrics", response_class=PlainTextResponse, summary="Health and yesterday's counts, for Prometheus")
    async def give_metrics() -> Response:
        status = await looker.room()
        panel = (await snapshots.read()).panel
        counts = metrics.yesterday(panel, now_wall_ns=clock.wall_ns()) if isinstance(panel, PanelStatus) else None
        return Response(metrics.exposition(status, counts), media_type=metrics.CONTENT_TYPE)

    for name, kind in _STATIC.items():
        _add_file(app, name, kind, (FOLDER / "static" / name).read_bytes())
    _add_file(app, "components.css", "text/css; charset=utf-8", _components())
    if theme.css is not None:
        _add_file(app, "theme.css", "text/css; charset=utf-8", theme.css)
    return app


def _add_room(app: FastAPI, looker: Looker, pages: Mapping[Language, Page], clock: Clock) -> None:
    @app.get(looker.room_path, response_class=HTMLResponse, include_in_schema=False)
    async def show(lang: _Asked = None, accept_language: _Accepted = "") -> HTMLResponse:
        seen = await looker.all()
        page = pages[chosen(lang, accept_language)]
        return HTMLResponse(page.render(seen.status, seen.figures, now_wall_ns=clock.wall_ns(), path=looker.room_path))


def _add_overview(app: FastAPI, looker: Looker, pages: Mapping[Language, Page], clock: Clock) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_all(lang: _Asked = None, accept_language: _Accepted = "") -> HTMLResponse:
        seen = await looker.all(wait_s=FIRST_S)
        page = pages[chosen(lang, accept_language)]
        return HTMLResponse(page.render_overview(seen.cards, now_wall_ns=clock.wall_ns()))


def _add_api(app: FastAPI, room: Callable[[], Awaitable[RoomStatus]], live: Live[Seen]) -> None:
    @app.get("/api/v1/status", summary="The room as it is now", responses=_example(examples.STATUS))
    async def status() -> RoomStatus:
        return await room()

    @app.get("/api/v1/clips", summary="The sealed clips, newest first", responses=_example(examples.CLIPS))
    async def clips() -> ClipList:
        return clip_list(await room())

    @app.get("/api/v1/faults", summary="What a person must mend", responses=_example(examples.FAULTS))
    async def faults() -> FaultList:
        return fault_list(await room())

    @app.get(
        "/api/v1/events",
        response_class=Response,
        summary="The status each time it changes, as server-sent events",
        responses={
            200: {"description": "A stream", "content": {"text/event-stream": {"example": examples.EVENTS}}},
            503: {"description": "Too many readers", "content": {"text/plain": {}}},
        },
    )
    async def events() -> Response:
        return live.stream("api")


def _add_figures(app: FastAPI, name: str, snapshots: Snapshots) -> None:
    def refusal(description: str, example: str) -> dict[str, Any]:
        content = {"schema": {"$ref": "#/components/schemas/Refusal"}, "example": {"detail": example}}
        return {"description": description, "content": {"application/json": content}}

    @app.get(
        "/api/v1/figures",
        summary="Counts of a month or a year, until today",
        response_model=Figures,
        responses={
            **_example(examples.FIGURES),
            422: {"model": Refusal, **refusal("No period, or none that is known", examples.NO_PERIOD)},
            503: {"model": Refusal, **refusal("The vault does not tell them now", examples.NO_FIGURES)},
        },
    )
    async def give_figures(period: _Period = None) -> Figures | JSONResponse:
        counted = await snapshots.counted()
        if counted is None:
            return JSONResponse({"detail": examples.NO_FIGURES}, 503, headers={"retry-after": "10"})
        try:
            return figures(name, current(counted)[0] if period is None else period, counted)
        except Refused as err:
            return JSONResponse({"detail": str(err)}, 422)


def _as_event(status: RoomStatus) -> Mapping[str, str]:
    return {"status": _JSON.dump_json(status).decode()}


def _example(value: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": value}}}}


def _components() -> bytes:
    """The NL Design System components in one file (scripts/vendor-css)."""
    return b"\n".join(path.read_bytes() for path in sorted((FOLDER / "static" / "vendor").glob("*.css")))


def _add_file(app: FastAPI, name: str, kind: str, content: bytes) -> None:
    """Serve one file from memory: at run time no path of a request ever meets the file system."""

    @app.get(f"/static/{name}", include_in_schema=False)
    async def give() -> Response:
        return Response(content, media_type=kind)
