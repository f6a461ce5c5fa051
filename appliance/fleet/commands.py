"""`appliance fleet ...`: the controller's verbs, and the two that a device's owner needs to enrol it."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from appliance.contracts.enrolment import Role
from appliance.contracts.home import Home
from appliance.contracts.record import JsonObject
from appliance.contracts.topics import is_name
from appliance.errors import AlreadyRunning, UsageError
from appliance.fleet import acting_commands, enrolling, faults, histories, keeping, options, selecting, views, wishing
from appliance.fleet.acting import Acting
from appliance.fleet.attendance import CollectorLock
from appliance.fleet.certifying import VERBS as CERTIFYING
from appliance.fleet.collector import Collector
from appliance.fleet.home import FleetHome, PostgresqlSettings, make, open_home
from appliance.fleet.standing import standing
from appliance.fleet.sync_commands import sync
from appliance.fleet.taking import Seen
from appliance.terminal import tell, tell_json

_F = TypeVar("_F", bound=Callable[..., Any])


def _device_home(function: _F) -> _F:
    return click.option(
        "--device-home",
        type=click.Path(file_okay=False, path_type=Path),
        help="The device's folder, where it is on this machine.",
    )(function)


_share = click.option(
    "--share",
    metavar="NAME",
    help="Work side by side with other collectors, under a name of its own; all of them need one.",
)


_HERE = click.Path(exists=True, dir_okay=False, resolve_path=True)
_ca = click.option("--ca", type=_HERE, help="Whom it believes to be the broker; turns TLS on.")


@click.group()
def fleet() -> None:
    """Enrol devices, send them commands, and collect what they report."""


@fleet.command()
@options.fleet_home
@click.option("--site", required=True, help="Which site this controller serves.")
@click.option("--name", default="controller", show_default=True, help="What its devices call it.")
@click.option("--broker", help="HOST:PORT where controllers come in at the site's broker.")
@_ca
@click.option("--certificate", type=_HERE, help="This controller's certificate; with --key.")
@click.option("--key", "key_file", type=_HERE, help="The certificate's key.")
@click.option("--postgresql", is_flag=True, help="Keep the rows in PostgreSQL: PG* variables or --conninfo-file.")
@click.option(
    "--conninfo-file",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="Where PostgreSQL is: one line in a file that only its owner may read.",
)
@options.as_json
def init(
    fleet_home: Path,
    site: str,
    name: str,
    broker: str | None,
    ca: str | None,
    certificate: str | None,
    key_file: str | None,
    conninfo_file: str | None,
    *,
    postgresql: bool,
    as_json: bool,
) -> None:
    """Make a controller: a folder with a key and a database. Said again, it changes the broker alone."""
    if (ca or certificate or key_file) and not broker:
        raise UsageError("--ca, --certificate and --key go with --broker HOST:PORT")
    if (certificate is None) != (key_file is None) or (certificate and not ca):
        raise UsageError("--ca, --certificate and --key go together")
    rows = PostgresqlSettings(conninfo_file=conninfo_file) if postgresql or conninfo_file else None
    with _opened(make(fleet_home, site=site, name=name, postgresql=rows)) as home:
        if broker:
            home.use_broker(enrolling.broker_at(broker, ca_file=ca, certificate_file=certificate, key_file=key_file))
        facts: JsonObject = {"site": home.settings.site, "name": home.settings.name, "key": home.key.key_id}
        text = f"Controller {facts['name']} of the site {facts['site']}: key {facts['key']}, folder {fleet_home}"
        _tell(facts, text, as_json=as_json)


@fleet.command()
@_device_home
@click.option("--site", required=True, help="The site to join.")
@click.option("--device", help="A name for the device; made from its key when left out.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("request.json"), show_default=True)
@click.pass_obj
def request(of: Home | None, device_home: Path | None, site: str, device: str | None, out: Path) -> None:
    """On the device: write the request that a controller needs (no secret in it)."""
    identity = enrolling.request(_root(of, device_home), site=site, device=device, out=out, asks_certificate=True)
    tell(f"{out}: {identity.device} asks to join {identity.site}. Carry it to the controller: `fleet enrol`.")


@fleet.command()
@options.fleet_home
@_device_home
@click.option("--request", "request_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("grant.json"), show_default=True)
@click.option("--device", help="A name for the device; made from its key when left out.")
@click.option("--broker", help="HOST:PORT where this device comes in; as the controller does when left out.")
@click.option(
    "--authority",
    type=click.Path(exists=True, path_type=Path),
    help="Puts a certificate into the grant: issued by this folder (`fleet authority`), or --issued by this file.",
)
@click.option(
    "--issued",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What another authority has issued to the request's .csr; with --authority FILE.",
)
@click.option(
    "--new-key", "is_new_key", is_flag=True, help="The device has another key than the authority knows; it is meant."
)
@click.option("--ca", type=click.Path(dir_okay=False), help="Files that are there already: whom the device believes;")
@click.option("--certificate", type=click.Path(dir_okay=False), help="its certificate;")
@click.option(
    "--key", "key_file", type=click.Path(dir_okay=False), help="its key. Paths on the device, or within its home."
)
@click.option("--role", type=click.Choice([r.value for r in Role]), default=Role.OPERATOR.value, show_default=True)
@click.option("--replace", is_flag=True, help="The device belongs to another controller; take it over.")
@options.as_json
def enrol(
    fleet_home: Path,
    device_home: Path | None,
    request_file: Path | None,
    out: Path,
    device: str | None,
    *,
    broker: str | None,
    authority: Path | None,
    issued: Path | None,
    is_new_key: bool,
    ca: str | None,
    certificate: str | None,
    key_file: str | None,
    role: str,
    replace: bool,
    as_json: bool,
) -> None:
    """On the controller: enrol a device, from its request file or from its folder on this machine."""
    with _opened(open_home(fleet_home)) as home:
        if (request_file is None) == (device_home is None):
            raise UsageError("say either --request FILE (from `fleet request` on the device) or --device-home DIR")
        door = enrolling.door(
            home,
            broker=broker,
            authority=authority,
            issued=issued,
            is_new_key=is_new_key,
            ca_file=ca,
            certificate_file=certificate,
            key_file=key_file,
        )
        if request_file is not None:
            written = enrolling.grant(home, request_file, out, role=Role(role), now=_now(), door=door)
            text = f"{written.device} is enrolled as {role}. Carry {out} to it: `appliance fleet join {out}`."
        else:
            assert device_home is not None
            written = enrolling.enrol_here(
                home, device_home, device=device, role=Role(role), replace=replace, now=_now(), door=door
            )
            text = f"{written.device} is enrolled as {role}; its daemon connects at its next start."
        _tell({"device": written.device, "site": written.site, "role": role}, text, as_json=as_json)


@fleet.command()
@_device_home
@click.argument("grant_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="The device belongs to another controller; give it away.")
@click.pass_obj
def join(of: Home | None, device_home: Path | None, grant_file: Path, *, replace: bool) -> None:
    """On the device: obey the controller of this grant from the next start on."""
    enrolled = enrolling.install(_root(of, device_home), grant_file, replace=replace)
    names = ", ".join(f"{c.name} ({c.role.value})" for c in enrolled.controllers)
    tell(f"{enrolled.device} obeys {names} over {enrolled.broker.host}:{enrolled.broker.port}. Restart its daemon.")


@fleet.command()
@options.fleet_home
@click.argument("device")
def forget(fleet_home: Path, device: str) -> None:
    """Forget a device and its key; what it reported stays."""
    with _opened(open_home(fleet_home)) as home:
        if not enrolling.forget(home, device):
            raise UsageError(f"no device {device!r} is enrolled here")
        tell(f"{device} is forgotten; on the device, remove enrolment.json to let it stand alone.")


@fleet.command("devices")
@options.fleet_home
@click.argument("target", default="all")
@options.as_json
def devices_(fleet_home: Path, target: str, *, as_json: bool) -> None:
    """List the devices (or those of TARGET, such as state=offline): are they there, how far have their records come."""
    with _opened(open_home(fleet_home)) as home:
        found = selecting.chosen(home, selecting.parse(target), _now())
        if as_json:
            for one in found:
                tell_json(one.facts())
            return
        for line in views.device_table(found):
            tell(line)
        if target == "all":
            for line in views.stranger_lines(faults.of_strangers(home)):
                tell(line)


@fleet.command()
@options.fleet_home
@click.argument("device")
@click.option("--note", is_flag=True, help="Only the newest checkpoint, as the device signed it.")
@click.option(
    "--accept-new-history",
    "accepted",
    metavar="REASON",
    help="Take from now on what it says of a history that was closed; what is here of it is set aside, and stays.",
)
@options.as_json
def ledger(fleet_home: Path, device: str, *, note: bool, accepted: str | None, as_json: bool) -> None:
    """Show how far DEVICE's ledger is here and signed, by which keys, and whether anything contradicts itself."""
    with _opened(open_home(fleet_home)) as home:
        if accepted is not None:
            histories.accept(home, device, accepted, _now())
        found = standing(home, device)
    if note:
        if not found.notes:
            raise UsageError(f"{device} has published no checkpoint yet")
        tell(found.notes[0], nl=False, lines=True)
        return
    if as_json:
        tell_json(found.facts())
        return
    for line in views.ledger_lines(found):
        tell(line)


@fleet.command()
@options.fleet_home
@click.argument("target")
@click.argument("words", nargs=-1)
@wishing.options
@click.option("--wait", "wait_s", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="Seconds.")
@click.option(
    "--expires", "expires_s", type=click.FloatRange(1, 604_800), default=300.0, show_default=True, help="Seconds."
)
@options.as_json
def send(
    fleet_home: Path,
    target: str,
    words: tuple[str, ...],
    *,
    wait_s: float,
    expires_s: float,
    as_json: bool,
    **wish: Any,
) -> None:
    """Send a command to TARGET and wait for what comes of it.

    TARGET is a device, `all` for the whole site with one message, or devices by what they are, such as
    tag=workshop,state=ready: device, site, tag, bundle, software, state.
    """
    body = wishing.body_of(wishing.Wish(" ".join(words), **wish))
    with _opened(open_home(fleet_home)) as home:
        acting_commands.send_to(home, target, body, wait_s=wait_s, expires_s=expires_s, as_json=as_json, now=_now)


@fleet.command()
@options.fleet_home
@options.as_json
@_share
@click.option("--for", "for_s", type=click.FloatRange(0.1), help="End after so many seconds.")
def watch(fleet_home: Path, share: str | None, *, as_json: bool, for_s: float | None) -> None:
    """Collect, acknowledge, and show what arrives (Ctrl-C ends it); beside a service, show what that one collects."""
    if acting_commands.is_served(fleet_home) and share is None:
        acting_commands.follow(fleet_home, for_s, as_json=as_json, now=_now)
        return

    def show(seen: Seen) -> None:
        if as_json:
            tell_json(views.seen_facts(seen))
            return
        for line in views.seen_lines(seen):
            tell(line)

    _collect(fleet_home, show, for_s, share, quiet=as_json)


@fleet.command()
@options.fleet_home
@_share
@click.option("--for", "for_s", type=click.FloatRange(0.1), help="End after so many seconds.")
def collect(fleet_home: Path, share: str | None, for_s: float | None) -> None:
    """Collect and acknowledge, silently: for a service."""
    _collect(fleet_home, lambda _seen: None, for_s, share, quiet=False)


@fleet.command()
@options.fleet_home
@click.option("--device", help="Only this device.")
@click.option("--stream", type=click.Choice(["audit", "evt"]), help="Only this stream.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only numbers above this.")
def export(fleet_home: Path, device: str | None, stream: str | None, after: int) -> None:
    """Write what was collected as JSON lines."""
    with _opened(open_home(fleet_home)) as home:
        for record in views.records(home, device=device, stream=stream, after=after):
            tell_json(record)


def _collect(
    fleet_home: Path, show: Callable[[Seen], None], for_s: float | None, share: str | None, *, quiet: bool
) -> None:
    if share is not None and not is_name(share):
        raise UsageError(f"--share {share!r}: use a-z, 0-9 and inner hyphens")
    with _opened(open_home(fleet_home)) as home:
        lock = CollectorLock(home.path, share)
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
                share=share,
                on_seen=show,
                on_link=lambda said: None if quiet else tell(f"broker: {said}", err=True),
            )
            acting = Acting(home, now=_now, chance=random.Random(), on_said=lambda said: tell(said, err=True))
            acting.serve(collector, stopping)
        finally:
            if timer is not None:
                timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
            lock.release()


def _tell(facts: JsonObject, text: str, *, as_json: bool) -> None:
    if as_json:
        tell_json(facts)
    else:
        tell(text)


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


for _verb in (*keeping.VERBS, *CERTIFYING, *acting_commands.VERBS, sync):
    fleet.add_command(_verb)
