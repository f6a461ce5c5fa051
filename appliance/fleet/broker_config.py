"""A site's names and files to the configuration of its Mosquitto: who may say what is decided by certificates alone.

Two listeners, because Mosquitto has one rule for client ids on each. On the devices' one a client's id is the name in
its certificate, whatever it asks for: else a device could ask for another's id, evict it and take its queue. A
controller is several programs at once (a collector, and whoever sends), so on theirs ids are free, and only
certificates of another authority than the devices' are let in. `ctl.` begins a controller's name; no device's name can
hold a dot.

Covers: Mosquitto 2.0 and later, certificates as the only credential. Does not cover: making the certificates; a device
that subscribes to what it may not hear is told yes and hears nothing, that is Mosquitto's way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import click
from pydantic import Field, StringConstraints, ValidationError

from appliance import terminal
from appliance.contracts.envelope import MAX_MESSAGE_BYTES
from appliance.contracts.record import Record
from appliance.contracts.topics import DOWNWARD, EVERY_DEVICE, NAMED, ROOT, Channel, Name
from appliance.errors import UsageError

CONTROLLER: Final = "ctl."
"""Begins the common name of a controller's certificate."""

HEADER: Final = "# Written by `appliance fleet broker-config`; change its options, not this file.\n"
FILES: Final = ("mosquitto.conf", "acl", "limits.conf")

QUEUED_N: Final = 100_000
QUEUED_BYTES: Final = 256 * 2**20
"""For one client that is away: hours of a site's reports for a collector. What runs over is no loss: devices keep
everything until the collector itself has acknowledged it."""

_PROPERTIES_BYTES: Final = 8192
"""The topic and the properties of a message beside its payload, generously."""

_Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=1024)]
_Address = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.:_-]*$", max_length=253)]
_Port = Annotated[int, Field(ge=1, le=65535)]


class BrokerSite(Record):
    """What a site's broker must know; files are named as the broker's machine finds them."""

    site: Name
    ca_file: _Line
    """The authority of the devices' certificates."""

    controller_ca_file: _Line
    """The authority of the controllers' certificates: another one, or a device could come in as a controller."""

    certificate_file: _Line
    key_file: _Line
    controllers: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
    crl_file: _Line | None = None
    controller_crl_file: _Line | None = None
    address: _Address = ""
    """Where devices come in; every interface when empty."""

    port: _Port = 8883
    controller_address: _Address = "127.0.0.1"
    controller_port: _Port = 8884
    devices: Annotated[int, Field(ge=1, le=200_000)] = 1000
    state_dir: _Line = "/var/lib/mosquitto"
    run_as: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "mosquitto"

    @property
    def connections(self) -> int:
        """How many devices' connections are let in: some come back before the broker sees that they left."""
        return self.devices + self.devices // 5 + 16


def render(site: BrokerSite, folder: str) -> dict[str, str]:
    """Return the files for *site*, by name; *folder* is where they will lie.

    Raises:
        UsageError: devices and controllers would share an authority or a port.
    """
    if site.ca_file == site.controller_ca_file:
        raise UsageError(
            "--controller-ca: a device could come in as a controller; give controllers their own authority"
        )
    if site.port == site.controller_port:
        raise UsageError("--controller-port: devices and controllers need a port each")
    return {
        "mosquitto.conf": HEADER + _main(site, folder),
        "acl": HEADER + access(site.site, site.controllers),
        "limits.conf": HEADER
        + "# As /etc/systemd/system/mosquitto.service.d/limits.conf: each connection is a descriptor.\n"
        + f"[Service]\nLimitNOFILE={site.connections + 1024}\n",
    }


def access(site: str, controllers: tuple[str, ...]) -> str:
    """Return who may say what: a device its own upward channels, a controller the inverse of all of them."""
    upward = [channel for channel in Channel if channel not in DOWNWARD]
    downward = [channel for channel in Channel if channel in DOWNWARD]

    def path(device: str, channel: Channel) -> str:
        return f"{ROOT}/{site}/{device}/{channel}{'/+' if channel in NAMED else ''}"

    lines = ["# %u is the name in the certificate of whoever speaks.\n"]
    lines += [f"pattern write {path('%u', channel)}" for channel in upward]
    lines += [f"pattern read {path('%u', channel)}" for channel in downward]
    lines += [f"pattern read {path(EVERY_DEVICE, Channel.CMD)}"]
    for name in controllers:
        lines += ["", f"user {CONTROLLER}{name}"]
        lines += [f"topic read {path('+', channel)}" for channel in upward]
        lines += [f"topic write {path('+', channel)}" for channel in downward]
    return "\n".join(lines) + "\n"


def write(site: BrokerSite, folder: Path, *, replace: bool = False) -> tuple[Path, ...]:
    """Write the files for *site* into *folder*.

    Raises:
        UsageError: a file there is not ours and *replace* was not said, or the folder cannot be written.
    """
    rendered = render(site, str(folder.resolve()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in rendered:
            path = folder / name
            if path.exists() and not replace and not path.read_text("utf-8", "replace").startswith(HEADER):
                raise UsageError(f"{path} was not written by this command; say --replace, or name another folder")
        for name, text in rendered.items():
            draft = folder / f".{name}.new"
            draft.write_text(text, "utf-8")
            draft.chmod(0o644)  # no secret is in them, and the broker's own account reads them
            draft.replace(folder / name)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}") from error
    return tuple(folder / name for name in rendered)


def _main(site: BrokerSite, folder: str) -> str:
    lines = [
        f"# The broker of the site {site.site}: {site.devices} devices.",
        "allow_anonymous false",
        f"acl_file {folder}/acl",
        f"user {site.run_as}",
        "",
        "# Sessions and what waits in them outlive a restart.",
        "persistence true",
        f"persistence_location {site.state_dir.rstrip('/')}/",
        "autosave_interval 60",
        f"max_queued_messages {QUEUED_N}",
        f"max_queued_bytes {QUEUED_BYTES}",
        "max_inflight_messages 64",
        f"max_packet_size {MAX_MESSAGE_BYTES + _PROPERTIES_BYTES}",
        "# A message that was retained by somebody who lost that right is not given out.",
        "check_retain_source true",
        "set_tcp_nodelay true",
        "",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        "",
        "# ---- devices",
        *_listener(site, site.port, site.address, site.ca_file, site.crl_file),
        "# Without this a device could ask for another's client id, evict it and take its queue.",
        "use_username_as_clientid true",
        f"max_connections {site.connections}",
        "",
        "# ---- controllers: of another authority, with as many connections as they have programs",
        *_listener(
            site, site.controller_port, site.controller_address, site.controller_ca_file, site.controller_crl_file
        ),
        f"max_connections {64 * len(site.controllers)}",
    ]
    return "\n".join(lines) + "\n"


def _listener(site: BrokerSite, port: int, address: str, ca_file: str, crl_file: str | None) -> list[str]:
    return [
        f"listener {port} {address}".rstrip(),
        f"cafile {ca_file}",
        f"certfile {site.certificate_file}",
        f"keyfile {site.key_file}",
        *([f"crlfile {crl_file}"] if crl_file else []),
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_zero_length_clientid false",
    ]


@click.command("broker-config")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--site", required=True, help="Which site the broker serves.")
@click.option("--ca", "ca_file", required=True, help="Authority of the devices' certificates, as the broker finds it.")
@click.option("--controller-ca", "controller_ca_file", required=True, help="Authority of the controllers'; not --ca.")
@click.option("--certificate", "certificate_file", required=True, help="The broker's own certificate.")
@click.option("--key", "key_file", required=True, help="The key of that certificate.")
@click.option(
    "--controller",
    "controllers",
    multiple=True,
    default=("controller",),
    show_default=True,
    help="A controller's name; its certificate's is `ctl.NAME`. May be said again.",
)
@click.option("--crl", "crl_file", help="Revoked certificates of devices.")
@click.option("--controller-crl", "controller_crl_file", help="Revoked certificates of controllers.")
@click.option("--address", default="", help="Where devices come in. [default: every interface]")
@click.option("--port", type=int, default=8883, show_default=True, help="For devices.")
@click.option("--controller-address", default="127.0.0.1", show_default=True, help="Where controllers come in.")
@click.option("--controller-port", type=int, default=8884, show_default=True, help="For controllers.")
@click.option("--devices", type=int, default=1000, show_default=True, help="How many the site has, for the limits.")
@click.option("--state-dir", default="/var/lib/mosquitto", show_default=True, help="Where sessions are kept.")
@click.option("--run-as", default="mosquitto", show_default=True, help="The broker's account.")
@click.option("--replace", is_flag=True, help="Also over files that were not written by this command.")
def broker_config(folder: Path, *, controllers: tuple[str, ...], replace: bool, **wanted: object) -> None:
    """Write the Mosquitto configuration of a site into FOLDER: mutual TLS, and rights from certificates' names."""
    try:
        site = BrokerSite.model_validate({"controllers": controllers, **wanted})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        option = str(fault["loc"][0]).removesuffix("_file").replace("_", "-").replace("controllers", "controller")
        raise UsageError(f"--{option}: {fault['msg']}") from error
    for path in write(site, folder, replace=replace):
        terminal.tell(str(path))
    terminal.tell(f"Devices: port {site.port}, certificates named as they are enrolled.")
    names = ", ".join(f"{CONTROLLER}{name}" for name in site.controllers)
    terminal.tell(f"Controllers: port {site.controller_port}, certificates named {names}.")
