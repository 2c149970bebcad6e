"""What `spreekkamer` can be told. Thin: each command reads its configuration, imports what it needs and calls it."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge import config as configuration
from edge import credentials, processes
from edge.errors import EXIT_REFUSED, BadConfig, Refused

if TYPE_CHECKING:
    from edge.messages import Request

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
clips_app = typer.Typer(no_args_is_help=True, help="Clips in the store, through the vault.")
app.add_typer(clips_app, name="clips")
verify_app = typer.Typer(no_args_is_help=True, help="Check a copied clip or ledger, on any computer, offline.")
app.add_typer(verify_app, name="verify")
keys_app = typer.Typer(no_args_is_help=True, help="The officer's key; its place is the officer's computer.")
app.add_typer(keys_app, name="keys")
drill_app = typer.Typer(no_args_is_help=True, help="The half-yearly drill: does the officer's key still open a clip?")
app.add_typer(drill_app, name="drill")
ledger_app = typer.Typer(no_args_is_help=True, help="The ledger's head, to be noted outside the device.")
app.add_typer(ledger_app, name="ledger")

page_app = typer.Typer(no_args_is_help=True, help="The status page: its password.")
app.add_typer(page_app, name="page")

ConfigOption = Annotated[Path, typer.Option("--config", help="The room's TOML file.")]


@app.command()
def guard(
    config: ConfigOption,
    keyboard: Annotated[bool, typer.Option(help="Read contacts as lines from standard input (mock pins).")] = False,
) -> None:
    """The panel: button, lamps and alarm. Depends on nobody."""
    processes.guard(config, keyboard=keyboard)


@app.command()
def record(config: ConfigOption) -> None:
    """The recorder: camera, microphone and the ring in RAM. Cannot write."""
    processes.record(config)


@app.command()
def keep(config: ConfigOption) -> None:
    """The vault: keeps sealed clips and deletes them at their hour. Cannot read."""
    processes.keep(config)


@app.command()
def show(config: ConfigOption) -> None:
    """The status page. Can touch nothing."""
    processes.show(config)


@app.command()
def check(
    config: ConfigOption, *, as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False
) -> None:
    """Every condition of this machine and this room, with its fix; 0 only if the room may listen."""
    from edge.clock import SystemClock
    from edge.machine import shown
    from edge.machine.check import check as conditions
    from edge.machine.check import may_listen
    from edge.machine.preflight import Today
    from edge.recorder.seal import Sealer

    try:
        room = configuration.load(config)
    except BadConfig as err:
        if as_json:
            print(shown.problems_as_json(err.problems))
        raise
    findings = conditions(room, seal=Sealer, today=Today.of(SystemClock()))
    if as_json:
        print(shown.as_json(findings, room.room.name))
    else:
        shown.as_text(findings, room.room.name, sys.stdout)
    if not may_listen(findings):
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def prove(
    config: ConfigOption,
    to: Annotated[Path, typer.Option(help="A folder that is made.")],
    actor: Annotated[str, typer.Option(help="Your role, for the ledger; never a resident's name.")] = "",
) -> None:
    """Evidence of this running room for a data protection officer, signed by the device. Run it as root."""
    from edge.clock import SystemClock
    from edge.prove.pack import TEXT, failed
    from edge.prove.pack import prove as gather
    from edge.recorder.seal import Sealer

    points = gather(configuration.load(config), to, seal=Sealer, clock=SystemClock(), actor=actor)
    print(f"{len(points)} points in {to}, signed; read {to / TEXT}")
    if failed(points):
        raise Refused(f"{failed(points)} of them are not in order; they stand first in {to / TEXT}")


@app.command()
def purge(
    config: Annotated[
        Path | None, typer.Option(help="The room's TOML file; what is wrong in it stops nothing.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="The store itself, so that no file is needed.")] = None,
) -> None:
    """Delete every clip whose hour has come: the second enforcer, which needs no running vault."""
    from edge.clock import SystemClock
    from edge.vault.purge import purge as delete_due

    named: configuration.StoreConfig | None
    if config is not None and store is None:
        named, problems = configuration.load_store(config)
    elif store is not None and config is None:
        named, problems = configuration.named_store(store)
    else:
        raise typer.BadParameter("name either the room's file (--config) or the store (--store)")
    room = named or configuration.StoreConfig()
    done = delete_due(room, clock=SystemClock(), credentials=credentials.folder())
    if named is None:
        told = f"{len(done.deleted)} deleted from" if done.is_store_there else "nothing deleted, for there is not even"
        problems = (f"{problems[0]}; {told} the default store {room.paths.store}; mend this, or use --store DIR",)
    else:
        print(f"{len(done.deleted)} deleted")
    for complaint in done.complaints:
        print(complaint, file=sys.stderr)
    if problems:
        raise BadConfig(problems)
    if done.complaints:
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def setup(
    config: Annotated[Path | None, typer.Option(help="Where it goes, if not to /etc/spreekkamer/config.toml.")] = None,
    root: Annotated[Path, typer.Option(help="Another root, as image builders use.")] = Path("/"),
    answers: Annotated[Path | None, typer.Option(help="Ask nothing: all answers are in this TOML file.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="With --answers: over a room that is there.")] = False,
) -> None:
    """Set up this room: asks, tries the wires, writes a commented configuration. Nothing is written before the end."""
    from edge.setup.place import Place
    from edge.setup.run import run

    run(Place(config=config or root / "etc/spreekkamer/config.toml", root=root), answers_file=answers, replaces=replace)


@app.command()
def demo(
    *,
    folder: Annotated[Path, typer.Option("--dir", help="Where configuration, keys and clips go.")] = Path(
        "spreekkamer-demo"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the status page on loopback.")] = 8080,
    script: Annotated[str, typer.Option(help='Unattended: "8:press,15:privacy,30:quit".')] = "",
    retention: Annotated[str, typer.Option(help="How long clips are kept: 60s, 10m, 72h.")] = "72h",
    video: Annotated[Path | None, typer.Option(help="A recording to play as the room.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an event.")] = False,
) -> None:
    """The whole product on a recorded room, on this computer alone. Enter is the panic button."""
    from edge.demo.run import run

    raise typer.Exit(run(folder=folder, port=port, script=script, retention=retention, video=video, as_json=as_json))


Actor = Annotated[str, typer.Option(help="Your role, for the ledger; never a resident's name.")]
Reason = Annotated[str, typer.Option(help="From the closed list.")]


@clips_app.command("list")
def clips_list(config: ConfigOption) -> None:
    """All clips, as JSON lines."""
    from edge.messages import Request, Verb

    for clip in _asked(config, Request(verb=Verb.LIST))["clips"]:
        print(json.dumps(clip))


@clips_app.command("fetch")
def clips_fetch(
    config: ConfigOption, clip: str, to: Annotated[Path, typer.Option(help="A folder that is made.")], actor: Actor = ""
) -> None:
    """Copy a clip's sealed folder."""
    from edge.vault.client import fetch

    files = fetch(configuration.load(config).paths, clip, to, actor=actor)
    print(f"{files} files, still sealed, in {to}")


@clips_app.command("hold")
def clips_hold(
    config: ConfigOption,
    clip: str,
    days: Annotated[int, typer.Option(min=1, max=28, help="From today; at most 28 days after the press.")],
    reason: Reason,
    actor: Actor,
) -> None:
    """Keep a clip longer: police-report, access-request or court-or-authority."""
    from edge.messages import Request, Verb

    _done(config, Request(verb=Verb.HOLD, clip=clip, days=days, reason=reason, actor=actor))


@clips_app.command("release")
def clips_release(config: ConfigOption, clip: str, actor: Actor) -> None:
    """End a hold."""
    from edge.messages import Request, Verb

    _done(config, Request(verb=Verb.RELEASE, clip=clip, actor=actor))


@clips_app.command("outcome")
def clips_outcome(config: ConfigOption, clip: str, reason: Reason, actor: Actor) -> None:
    """Say what it was: physical, verbal, threat, false-press, test, or no-incident (a second person: deletes)."""
    from edge.messages import Request, Verb

    _done(config, Request(verb=Verb.OUTCOME, clip=clip, reason=reason, actor=actor))


@clips_app.command("delete")
def clips_delete(config: ConfigOption, clip: str, reason: Reason, actor: Actor) -> None:
    """Delete before its hour: false-press, test, no-incident or objection."""
    from edge.messages import Request, Verb

    _done(config, Request(verb=Verb.DELETE, clip=clip, reason=reason, actor=actor))


@drill_app.command("fetch")
def drill_fetch(config: ConfigOption, to: Annotated[Path, typer.Option(help="A folder that is made.")]) -> None:
    """Copy the synthetic clip that waits, to be opened with the officer's key."""
    from edge.vault.client import fetch_drill

    fetch_drill(configuration.load(config).paths, to)
    print(f"the drill, still sealed, in {to}; open it, and confirm the six digits that it shows")


@drill_app.command("confirm")
def drill_confirm(
    config: ConfigOption, code: Annotated[str, typer.Argument(help="The six digits that it shows.")], actor: Actor
) -> None:
    """Say the code that the opened clip shows: the drill is done."""
    from edge.messages import Request, Verb

    data = _asked(config, Request(verb=Verb.DRILL_CONFIRM, code=code, actor=actor))
    print(json.dumps(data))


@ledger_app.command("head")
def ledger_head(config: ConfigOption) -> None:
    """The newest entry's number, its date and the head, in one line: for a note, a print or a message."""
    from edge.messages import Request, Verb

    head = _asked(config, Request(verb=Verb.LEDGER_HEAD))
    print(f"entry {head['seq']} of {head['at']}, head {head['head']}")


@ledger_app.command("anchor")
def ledger_anchor(config: ConfigOption, head: str, actor: Actor) -> None:
    """Say that this head is noted outside the device: from then on nobody can rewrite unseen what is before it."""
    from edge.messages import Request, Verb

    noted = _asked(config, Request(verb=Verb.LEDGER_ANCHOR, head=head, actor=actor))
    print(f"anchored: entry {noted['seq']} of {noted['at']}, by {actor}")


@verify_app.command("ledger")
def verify_ledger(
    file: Path, head: Annotated[str, typer.Option(help="Noted elsewhere: from the page, or a clip's manifest.")] = ""
) -> None:
    """Follow a ledger's chain over its years: finds whatever was changed, removed, put in or moved, a cut end by --head."""
    from edge.desk.verify_ledger import check

    found = check(file, head)
    if not found.is_ok:
        raise Refused(f"{file}: {found}")
    print(f"{file}: {found}")


@verify_app.command("clip")
def verify_clip(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    key: Annotated[Path | None, typer.Option(help="The device's public key, noted elsewhere.")] = None,
    fingerprint: Annotated[str, typer.Option(help="Of the device's public key, noted elsewhere.")] = "",
) -> None:
    """Check a clip's folder: signatures, every segment, their chain; tells what it says and all that is wrong."""
    from edge.desk.verify_clip import check

    found = check(folder, key=key, fingerprint=fingerprint)
    print(found)
    if not found.is_ok:
        raise Refused(f"{folder}: not sound: {len(found.problems)} wrong")
    print(f"{folder}: sound")


@verify_app.command("proof")
def verify_proof(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="As `prove` made it.")],
    key: Annotated[Path | None, typer.Option(help="The device's public key, noted elsewhere.")] = None,
    fingerprint: Annotated[str, typer.Option(help="Of the device's public key, noted elsewhere.")] = "",
) -> None:
    """Check a pack of evidence: the device's signature, and every file in it."""
    from edge.desk.verify_proof import check

    found = check(folder, key=key, fingerprint=fingerprint)
    for problem in found.problems:
        print(problem)
    if not found.is_ok:
        raise Refused(f"{folder}: not what the device signed: {len(found.problems)} wrong")
    print(found.says)
    print(f"{folder}: as the device signed it")


@app.command("open")
def open_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="As `clips fetch` or `drill fetch` made it.")],
    key: Annotated[Path, typer.Option("-i", "--identity", help="The officer's key.")],
    to: Annotated[Path, typer.Option("-o", "--output", help="A file that is made; it plays as it is.")],
    partial: Annotated[bool, typer.Option(help="Leave out what is missing or does not open.")] = False,
) -> None:
    """Open a sealed clip with the officer's key, on the officer's computer."""
    from edge.desk.opening import open_clip

    segments = open_clip(folder, key, to, is_partial=partial)
    print(f"{to}: {segments} segments opened; this file is not sealed: delete it when it has served")


@keys_app.command("new")
def keys_new(to: Annotated[Path, typer.Option("-o", "--output", help="A file that is made.")]) -> None:
    """Make an officer's key, as `age-keygen` does; its public half goes into seal.recipients."""
    from edge.desk.keys import new_key

    print(new_key(to))


@page_app.command("password")
def page_password(
    to: Annotated[Path | None, typer.Option("-o", "--output", help="A file that is made, for its owner only.")] = None,
) -> None:
    """Hash a password for the page, asked for twice; the hash's file is page.password_hash in the room's file."""
    from edge.durable import Disk
    from service.password import hash_of

    password = _secret("Password for the page: ")
    if _secret("The same again: ") != password:
        raise Refused("the two are not the same; nothing was made")
    made = hash_of(password)
    if to is None:
        print(made)
        return
    Disk().create(to, f"{made}\n".encode("ascii"))
    print(f"{to}: the hash; name it in page.password_hash and start the page again")


def _secret(prompt: str) -> str:
    """A line that is not shown as it is typed; or, without a terminal, the next one of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    return sys.stdin.readline().rstrip("\r\n")


def _asked(config: Path, request: Request) -> dict[str, Any]:
    from edge.vault.client import ask

    reply = ask(configuration.load(config).paths, request)
    if reply.error:
        raise Refused(reply.error)
    return reply.data or {}


def _done(config: Path, request: Request) -> None:
    data = _asked(config, request)
    print(json.dumps({"done": request.verb.value, "clip": request.clip, **data}))
