"""`appliance fleet authority | certify | renew`: who may come in at the broker, said by certificates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from appliance.contracts.home import Home
from appliance.errors import UsageError
from appliance.terminal import tell
from appliance.trust import authority as authorities
from appliance.trust import certificates, enrolment

_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_PRESENT: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option("--name", help="What its certificate calls it; the folder's name when left out.")
def authority(folder: Path, name: str | None) -> None:
    """Make a certificate authority in FOLDER: ca.pem for everybody, ca.key for its owner alone."""
    made = authorities.make(folder, name or folder.resolve().name, now=datetime.now(UTC))
    until = made.certificate.not_valid_after_utc
    tell(f"{folder / authorities.CERTIFICATE}: until {until:%Y-%m-%d}. {authorities.KEY} beside it is for you alone.")


@click.command()
@click.argument("name")
@click.option("--authority", "folder", type=_FOLDER, required=True, help="Whose; made by `fleet authority`.")
@click.option("--out", type=_FILE, required=True, help="The certificate's file; a key is made beside it.")
@click.option(
    "--address", "addresses", multiple=True, help="Name or number under which a broker is reached; repeatable."
)
@click.option("--request", "request_file", type=_PRESENT, help="Sign this request of NAME; its key stays where it is.")
@click.option("--days", type=click.IntRange(1, 7300), default=authorities.MEMBER_DAYS, show_default=True)
@click.option(
    "--new-key", "is_new_key", is_flag=True, help="NAME has another key than the authority knows; it is meant."
)
def certify(
    name: str,
    folder: Path,
    out: Path,
    addresses: tuple[str, ...],
    request_file: Path | None,
    days: int,
    *,
    is_new_key: bool,
) -> None:
    """Issue a certificate to NAME: a broker, a controller (`ctl.NAME`), or a device that asks for a newer one."""
    signer, now = authorities.load(folder), datetime.now(UTC)
    if request_file is None:
        key_file = authorities.certify(
            signer, name, out, addresses=addresses, now=now, days=days, is_new_key=is_new_key
        )
        tell(f"{out}: {name}, for {days} days; its key is {key_file}")
        return
    if addresses:
        raise UsageError("--address: a device is reached under none; say it without --request")
    with request_file.open("rb") as file:
        asked = file.read(authorities.MAX_REQUEST_BYTES + 1)
    certificates.write(out, authorities.issue(signer, asked, name, now=now, days=days, is_new_key=is_new_key))
    tell(f"{out}: {name}, for {days} days. Carry it to the device: `appliance fleet renew {out}`.")


@click.command()
@click.option("--device-home", type=_FOLDER, help="The device's folder, where it is not the usual one.")
@click.argument("certificate", type=_PRESENT, required=False)
@click.option("--out", type=_FILE, default=Path("renewal.csr"), show_default=True)
@click.pass_obj
def renew(of: Home | None, device_home: Path | None, certificate: Path | None, out: Path) -> None:
    """On the device: ask for a newer CERTIFICATE, or take it; the running daemon uses it by itself."""
    root = Home.find(device_home).root if device_home is not None or of is None else of.root
    granted = enrolment.load(root)
    if granted is None:
        raise UsageError("this device is enrolled nowhere; `fleet request` asks for its first certificate")
    if certificate is None:
        certificates.write(out, certificates.request(granted.broker))
        tell(f"{out}: carry it to the authority: `fleet certify {granted.device} --request {out}`.")
        return
    end = certificates.renewed(granted.broker, certificates.read(certificate).encode())
    tell(f"{end.path}: until {end.at:%Y-%m-%d}; the connection takes it within seconds.")


VERBS: Final = (authority, certify, renew)
