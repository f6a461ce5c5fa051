"""`appliance fleet ...`: the controller's verbs, and the two that a device's owner needs to enrol it."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO, TypeVar

import click
from pydantic import ValidationError

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import MAX_COMMAND_BYTES, AskBody, CallBody, PingBody, StopBody, TrustBody, UpdateBody
from appliance.contracts.home import Home
from appliance.errors import AlreadyRunning, UsageError
from appliance.fleet import enrolling, views
from appliance.fleet.collector import Collector, CollectorLock, Seen
from appliance.fleet.devices import devices as list_devices
from appliance.fleet.dispatcher import Body, Dispatcher
from appliance.fleet.home import FleetHome, make, open_home
from appliance.fleet.standing import standing
from appliance.trust import enrolment

EXIT_CODES: Final = {"executed": 0, "rejected": 11, "expired": 11, "failed": 12, "indeterminate": 13}
"""As `say` ends on the device itself."""

EXIT_WAITING: Final = 10
"""The command left, and no final answer came in time."""

_F = TypeVar("_F", bound=Callable[..., Any])


def _fleet_home(function: _F) -> _F:
    return click.option(
        "--fleet-home",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="APPLIANCE_FLEET_HOME",
        default=Path(".fleet"),
        show_default=True,
        help="The controller's folder.",
    )(function)


def _as_json(function: _F) -> _F:
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")(function)


def _device_home(function: _F) -> _F:
    return click.option(
        "--device-home",
        type=click.Path(file_okay=False, path_type=Path),
        help="The device's folder, where it is on this machine.",
    )(function)


@click.group()
def fleet() -> None:
    """Enrol devices, send them commands, and collect what they report."""


@fleet.command()
@_fleet_home
@click.option("--site", required=True, help="Which site this controller serves.")
@click.option("--name", default="controller", show_default=True, help="What its devices call it.")
@click.option("--broker", help="HOST:PORT of the site's MQTT broker.")
@_as_json
def init(fleet_home: Path, site: str, name: str, broker: str | None, *, as_json: bool) -> None:
    """Make a controller: a folder with a key and a database."""
    with _opened(make(fleet_home, site=site, name=name)) as home:
        if broker:
            home.use_broker(enrolling.broker_at(broker))
        facts = {"site": home.settings.site, "name": home.settings.name, "key": home.key.key_id}
        text = f"Controller {facts['name']} of the site {facts['site']}: key {facts['key']}, folder {fleet_home}"
        click.echo(json.dumps(facts) if as_json else text)


@fleet.command()
@_device_home
@click.option("--site", required=True, help="The site to join.")
@click.option("--device", help="A name for the device; made from its key when left out.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("request.json"), show_default=True)
@click.pass_obj
def request(of: Home | None, device_home: Path | None, site: str, device: str | None, out: Path) -> None:
    """On the device: write the request that a controller needs (no secret in it)."""
    identity = enrolling.request(_root(of, device_home), site=site, device=device, out=out)
    click.echo(f"{out}: {identity.device} asks to join {identity.site}. Carry it to the controller: `fleet enrol`.")


@fleet.command()
@_fleet_home
@_device_home
@click.option("--request", "request_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("grant.json"), show_default=True)
@click.option("--device", help="A name for the device; made from its key when left out.")
@click.option("--broker", help="HOST:PORT of the site's MQTT broker; remembered.")
@click.option(
    "--ca", type=click.Path(dir_okay=False), help="The site's CA file, as the device will find it; turns TLS on."
)
@click.option("--certificate", type=click.Path(dir_okay=False), help="The device's certificate, as it will find it.")
@click.option(
    "--key", "key_file", type=click.Path(dir_okay=False), help="The certificate's key, as the device finds it."
)
@click.option("--role", type=click.Choice([r.value for r in Role]), default=Role.OPERATOR.value, show_default=True)
@click.option("--replace", is_flag=True, help="The device belongs to another controller; take it over.")
@_as_json
def enrol(
    fleet_home: Path,
    device_home: Path | None,
    request_file: Path | None,
    out: Path,
    device: str | None,
    broker: str | None,
    ca: str | None,
    certificate: str | None,
    key_file: str | None,
    role: str,
    *,
    replace: bool,
    as_json: bool,
) -> None:
    """On the controller: enrol a device, from its request file or from its folder on this machine."""
    with _opened(open_home(fleet_home)) as home:
        if (request_file is None) == (device_home is None):
            raise UsageError("say either --request FILE (from `fleet request` on the device) or --device-home DIR")
        if broker:
            home.use_broker(enrolling.broker_at(broker, ca_file=ca, certificate_file=certificate, key_file=key_file))
        if request_file is not None:
            written = enrolling.grant(home, request_file, out, role=Role(role), now=_now())
            text = f"{written.device} is enrolled as {role}. Carry {out} to it: `appliance fleet join {out}`."
        else:
            assert device_home is not None
            written = enrolling.enrol_here(
                home, device_home, device=device, role=Role(role), replace=replace, now=_now()
            )
            text = f"{written.device} is enrolled as {role}; its daemon connects at its next start."
        click.echo(json.dumps({"device": written.device, "site": written.site, "role": role}) if as_json else text)


@fleet.command()
@_device_home
@click.argument("grant_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="The device belongs to another controller; give it away.")
@click.pass_obj
def join(of: Home | None, device_home: Path | None, grant_file: Path, *, replace: bool) -> None:
    """On the device: obey the controller of this grant from the next start on."""
    enrolled = enrolment.install(_root(of, device_home), grant_file, replace=replace)
    names = ", ".join(f"{c.name} ({c.role.value})" for c in enrolled.controllers)
    click.echo(
        f"{enrolled.device} obeys {names} over {enrolled.broker.host}:{enrolled.broker.port}. Restart its daemon."
    )


@fleet.command()
@_fleet_home
@click.argument("device")
def forget(fleet_home: Path, device: str) -> None:
    """Forget a device and its key; what it reported stays."""
    with _opened(open_home(fleet_home)) as home:
        if not enrolling.forget(home, device):
            raise UsageError(f"no device {device!r} is enrolled here")
        click.echo(f"{device} is forgotten; on the device, remove enrolment.json to let it stand alone.")


@fleet.command("devices")
@_fleet_home
@_as_json
def devices_(fleet_home: Path, *, as_json: bool) -> None:
    """List the devices: whether they are there, how far their records have come, what was wrong."""
    with _opened(open_home(fleet_home)) as home:
        found = list_devices(home, _now())
        lines = [json.dumps(d.facts()) for d in found] if as_json else views.device_table(found)
        for line in lines:
            click.echo(line)


@fleet.command()
@_fleet_home
@click.argument("device")
@click.option("--note", is_flag=True, help="Only the newest checkpoint, as the device signed it.")
@_as_json
def ledger(fleet_home: Path, device: str, *, note: bool, as_json: bool) -> None:
    """Show how far DEVICE's ledger is here and signed, by which keys, and whether anything contradicts itself."""
    with _opened(open_home(fleet_home)) as home:
        found = standing(home, device)
    if note:
        if not found.notes:
            raise UsageError(f"{device} has published no checkpoint yet")
        click.echo(found.notes[0], nl=False)
        return
    for line in [json.dumps(found.facts())] if as_json else views.ledger_lines(found):
        click.echo(line)


@fleet.command()
@_fleet_home
@click.argument("device")
@click.argument("words", nargs=-1)
@click.option("--call", "tool", help="Call this tool instead of sending words.")
@click.option("--arguments", default="{}", help="The call's arguments, a JSON object.")
@click.option("--ping", is_flag=True, help="Only ask whether it is there.")
@click.option("--stop", "stop_now", is_flag=True, help="Emergency stop: outputs safe at once, latched.")
@click.option(
    "--trust",
    type=click.File(encoding="utf-8"),
    help="Bring a signed root of trust or revocation list (`appliance trust`).",
)
@click.option(
    "--update",
    type=click.Choice(["install", "activate", "rollback"]),
    help="Install a delivery that lies in the device's bundles/incoming, activate a bundle, or go back; WORDS name it.",
)
@click.option("--wait", "wait_s", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="Seconds.")
@click.option(
    "--expires", "expires_s", type=click.FloatRange(1, 604_800), default=300.0, show_default=True, help="Seconds."
)
@_as_json
def send(
    fleet_home: Path,
    device: str,
    words: tuple[str, ...],
    tool: str | None,
    arguments: str,
    *,
    ping: bool,
    stop_now: bool,
    trust: TextIO | None,
    update: str | None,
    wait_s: float,
    expires_s: float,
    as_json: bool,
) -> None:
    """Send words, a tool call, an update, a ping or a stop to DEVICE (or `all`), and wait for what comes of it."""
    with _opened(open_home(fleet_home)) as home:
        body = _body(" ".join(words), tool, arguments, ping=ping, stop_now=stop_now, trust=trust, update=update)
        dispatcher = Dispatcher(
            home,
            now=_now,
            chance=random.Random(),
            on_answer=lambda a: click.echo(a.model_dump_json() if as_json else views.answer_line(a)),
        )
        sent = dispatcher.send(device, body, wait_s=wait_s, expires_s=expires_s)
    final = sent.final()
    if final is None:
        if not as_json:
            click.echo(f"No final answer in {wait_s:g} s; the command stays good for {expires_s:g} s.", err=True)
        raise SystemExit(EXIT_WAITING)
    raise SystemExit(EXIT_CODES[final.life])


@fleet.command()
@_fleet_home
@_as_json
@click.option("--for", "for_s", type=click.FloatRange(0.1), help="End after so many seconds.")
def watch(fleet_home: Path, *, as_json: bool, for_s: float | None) -> None:
    """Collect, acknowledge, and show what arrives (Ctrl-C ends it)."""

    def show(seen: Seen) -> None:
        for line in [views.seen_json(seen)] if as_json else views.seen_lines(seen):
            click.echo(line)

    _collect(fleet_home, show, for_s, quiet=as_json)


@fleet.command()
@_fleet_home
@click.option("--for", "for_s", type=click.FloatRange(0.1), help="End after so many seconds.")
def collect(fleet_home: Path, for_s: float | None) -> None:
    """Collect and acknowledge, silently: for a service."""
    _collect(fleet_home, lambda _seen: None, for_s, quiet=False)


@fleet.command()
@_fleet_home
@click.option("--device", help="Only this device.")
@click.option("--stream", type=click.Choice(["audit", "evt"]), help="Only this stream.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only numbers above this.")
def export(fleet_home: Path, device: str | None, stream: str | None, after: int) -> None:
    """Write what was collected as JSON lines."""
    with _opened(open_home(fleet_home)) as home:
        for record in views.records(home, device=device, stream=stream, after=after):
            click.echo(json.dumps(record))


def _collect(fleet_home: Path, show: Callable[[Seen], None], for_s: float | None, *, quiet: bool) -> None:
    with _opened(open_home(fleet_home)) as home:
        lock = CollectorLock(home.path)
        try:
            lock.take()
        except AlreadyRunning as error:
            raise AlreadyRunning(f"{error}; look with `fleet devices` or `fleet export`") from None
        stopping = threading.Event()

        def end(_signal: int, _frame: FrameType | None) -> None:
            stopping.set()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        timer = threading.Timer(for_s, stopping.set) if for_s is not None else None
        try:
            if timer is not None:
                timer.daemon = True
                timer.start()
            collector = Collector(
                home,
                now=_now,
                chance=random.Random(),
                on_seen=show,
                on_link=lambda said: None if quiet else click.echo(f"broker: {said}", err=True),
            )
            collector.run(stopping)
        finally:
            if timer is not None:
                timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
            lock.release()


def _body(
    text: str,
    tool: str | None,
    arguments: str,
    *,
    ping: bool,
    stop_now: bool,
    trust: TextIO | None,
    update: str | None,
) -> Body:
    is_words = bool(text) and not stop_now and update is None
    if sum((is_words, tool is not None, ping, stop_now, trust is not None, update is not None)) != 1:
        raise UsageError("say one of: WORDS, --call TOOL, --ping, --stop, --trust FILE, --update WHAT")
    try:
        if update is not None:
            return _update(update, text)
        if trust is not None:
            return TrustBody(document=trust.read(MAX_COMMAND_BYTES))
        if ping:
            return PingBody()
        if stop_now:
            return StopBody(reason=text)
        if tool is None:
            return AskBody(text=text)
        given = json.loads(arguments)
        if not isinstance(given, dict):
            raise UsageError("--arguments: a JSON object is wanted, such as '{\"level\": 30}'")
        return CallBody(tool=tool, arguments=given)
    except json.JSONDecodeError as error:
        raise UsageError(f"--arguments: not JSON: {error}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise UsageError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error


def _update(action: str, name: str) -> UpdateBody:
    match action:
        case "install" if name:
            return UpdateBody(action="install", delivery=name)
        case "activate" if name:
            return UpdateBody(action="activate", bundle=name)
        case "rollback" if not name:
            return UpdateBody(action="rollback")
        case "rollback":
            raise UsageError("--update rollback goes back to the bundle before; it takes no name")
        case _:
            what = (
                "file in the device's bundles/incoming" if action == "install" else "bundle: slot, name/version, hash"
            )
            raise UsageError(f"--update {action}: name the {what}")


@contextmanager
def _opened(home: FleetHome) -> Iterator[FleetHome]:
    try:
        yield home
    finally:
        home.close()


def _root(of: Home | None, device_home: Path | None) -> Path:
    """Return the device's folder: what this verb's own option says, else `appliance --home`, else the usual place."""
    return Home.find(device_home).root if device_home is not None or of is None else of.root


def _now() -> datetime:
    return datetime.now(UTC)
