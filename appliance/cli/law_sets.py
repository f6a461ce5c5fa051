"""sign, verify, load, owner: sets of laws from the desk where they are signed to the device where they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from appliance import lasting
from appliance.agent import law_acceptance, law_folder
from appliance.agent.law_acceptance import Accepted, Here, NotAccepted
from appliance.cli.lazy import Lazy
from appliance.cli.signing import Signature, signed
from appliance.contracts.home import Home
from appliance.contracts.local import LoadLaws
from appliance.errors import ApplianceError, DaemonUnavailable, TrustError, UsageError, WireError
from appliance.storage.laws import KeptLaw, KeptSet
from appliance.storage.ownership import owner as running
from appliance.terminal import tell
from appliance.transport.local import LocalClient
from appliance.trust import keys, notes
from appliance.trust import owner as owners
from appliance.trust.law_set import LawSet, SignedLaw, check_set, law_set, parse_set, sign_set
from appliance.trust.notes import Verifier

if TYPE_CHECKING:
    from appliance.agent.law_folder import Found
    from appliance.trust.keys import SigningKey

OWNER_VERBS: Final = {
    "new": "appliance.cli.law_sets:new",
    "trust": "appliance.cli.law_sets:trust",
    "show": "appliance.cli.law_sets:show",
    "pass": "appliance.cli.law_sets:pass_on",
}
"""Verb to `module:command`; help lists them in this order."""

PATIENCE_S: Final = 60.0
"""How long a daemon may take to read a set: it finishes what it does first."""

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_key = click.option("--key", "key_file", required=True, type=_FILE, help="The owner's private key.")


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@_key
@click.option("--site", required=True, help="The site where the set is to hold.")
@click.option("--device", "devices", multiple=True, help="Only on this device; may be given more than once.")
@click.option("--number", type=click.IntRange(1), help="The set's number.  [default: one above the present note's]")
@click.pass_obj
def sign(home: Home, folder: Path, key_file: Path, site: str, devices: tuple[str, ...], number: int | None) -> None:
    """Sign every file of laws in DIR as one set; it is written to DIR/laws.note.

    Checks the files first, with the tools and sensors of the settings in the home: what a device would not put into
    force is not signed.
    """
    key = keys.load(key_file)
    found = law_folder.read(folder)
    before = _before(found, key) if number is None else None
    read = _judged(found, None, _here(home, site, ""), before)
    if found.unexpected:
        raise ApplianceError(f"{folder}: a signed set holds nothing else; take away {', '.join(found.unexpected)}")
    laws = [SignedLaw(c.name, c.version, c.digest, len(text.encode())) for c, text in read.laws]
    try:
        made = law_set(number or (before.number if before else 0) + 1, site, devices, laws)
    except WireError as error:
        raise UsageError(str(error)) from error
    _write(folder / law_folder.NOTE, str(sign_set(made, key)).encode())
    _tell_set(made, key.public.key_id)


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--owner", "owner_file", required=True, type=_FILE, help="The owner's public key.")
@click.pass_obj
def verify(home: Home, folder: Path, owner_file: Path) -> None:
    """Say whether DIR is exactly a set that its owner signed and that a device would put into force."""
    owner = owners.read(owner_file)
    made = _checked(home, law_folder.read(folder), owner)
    _tell_set(made, owner.public.key_id)


@click.command(name="load")
@click.argument("folder", metavar="[DIR]", required=False, type=_FOLDER)
@signed
@click.pass_obj
def load_(home: Home, folder: Path | None, by: Signature) -> None:
    """Put the laws in DIR into the place of those in HOME/laws, and into force; without DIR, read HOME/laws again.

    The whole set or nothing: a set that the device does not accept changes nothing, and the reasons are printed.
    """
    if folder is not None and not (home.laws.exists() and folder.samefile(home.laws)):
        found = law_folder.read(folder)
        owner = owners.installed(home.root)
        if owner is None:
            _judged(found, None, _here(home, "", ""), None)
        else:
            _checked(home, found, owner)
        if not home.root.exists():
            raise UsageError(f"{home.root}: there is no home yet; start the appliance once")
        files = {file.name: file.raw for file in found.files}
        law_folder.replace(home.root, files if found.note is None else {**files, law_folder.NOTE: found.note})
    try:
        reply = LocalClient(home.root).request(LoadLaws(**by.fields()), timeout_s=PATIENCE_S)
    except DaemonUnavailable:
        if running(home) is not None:
            raise
        tell(f"No appliance runs here; its next start reads {home.laws}.")
        return
    if not reply.ok:
        raise ApplianceError(reply.message)
    tell(reply.message, lines=True)


@click.group(cls=Lazy, verbs=OWNER_VERBS)
def owner() -> None:
    """Whose laws a device takes: a key that is made and kept away from it."""


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def new(file: Path) -> None:
    """Make an owner's private key in FILE and print its public half.

    Keep FILE off every device, and a copy of it in another place: whoever has it makes the laws, and without it nobody
    does.
    """
    tell(str(owners.make(file)))


@click.command()
@click.argument("file", type=_FILE)
@click.pass_obj
def trust(home: Home, file: Path) -> None:
    """Give the device in the home an owner: FILE is the public key, or a hand-over by the owner whom it has."""
    content = _bounded(file)
    if content.startswith(f"{owners.ORIGIN}\n".encode()):
        chosen = owners.take_over(home.root, content)
    else:
        chosen = owners.read(file)
        owners.trust(home.root, chosen)
    tell(f"From the next `appliance workflow load` or start on, only sets by {chosen.public.key_id} count here.")


@click.command()
@click.pass_obj
def show(home: Home) -> None:
    """Print the public key of the device's owner, as `verify --owner` takes it."""
    chosen = owners.installed(home.root)
    if chosen is None:
        raise TrustError(
            "this device has no owner: whoever may write its home makes its laws (`appliance workflow owner trust`)"
        )
    tell(str(chosen))


@click.command()
@click.argument("to", metavar="PUBLIC", type=_FILE)
@_key
def pass_on(to: Path, key_file: Path) -> None:
    """Print the statement by which an owner hands over to the one with the key PUBLIC; give it to `owner trust`."""
    tell(str(owners.hand_over(keys.load(key_file), owners.read(to))), nl=False, lines=True)


def _here(home: Home, site: str, device: str) -> Here:
    from datetime import UTC

    from appliance import settings
    from appliance.policy.workflow.world import World
    from appliance.tools import catalogue

    chosen = settings.load(home.root).site
    known = catalogue.of(chosen)
    world = World(times_s=known.times_s, sensors=known.sensors, devices=known.devices, needs=catalogue.needs())
    return Here(site, device, known.specs, world, chosen.zone or UTC)


def _before(found: Found, key: SigningKey) -> KeptSet | None:
    """Return the set that lies there signed, so that numbers and versions go on from it."""
    if found.note is None:
        return None
    try:
        made = check_set(found.note, owners.verifier(key))
    except (WireError, TrustError) as error:
        raise UsageError(f"{law_folder.NOTE} cannot be gone on from: {error}; say --number") from error
    laws = tuple(KeptLaw(law.name, law.version, law.sha256) for law in made.laws)
    return KeptSet(made.number, found.note.decode(), str(owners.verifier(key)), laws, "")


def _checked(home: Home, found: Found, owner: Verifier) -> LawSet:
    """Return the set in *found* if *owner* signed it, wherever it is to hold."""
    made = None
    if found.note is not None:
        try:
            made = parse_set(notes.parse(found.note).text)
        except WireError as error:
            raise TrustError(f"{law_folder.NOTE}: {error}") from error
    site, device = (made.site, next(iter(made.devices), "")) if made is not None else ("", "")
    _judged(found, owner, _here(home, site, device), None)
    assert made is not None  # without a note it is not accepted
    return made


def _judged(found: Found, owner: Verifier | None, here: Here, before: KeptSet | None) -> Accepted:
    read = law_acceptance.read_folder(found, owner, here, before)
    if isinstance(read, NotAccepted):
        for complaint in read.complaints:
            tell(complaint, lines=True)
        raise click.exceptions.Exit(1)
    return read


def _tell_set(made: LawSet, key_id: str) -> None:
    where = f"site {made.site}, {'every device' if not made.devices else ', '.join(made.devices)}"
    tell(f"Set {made.number} for {where}, signed by {key_id}")
    for law in made.laws:
        tell(f"  {law.name} version {law.version}  {law.sha256}")
    if not made.laws:
        tell("  no laws: where it is loaded, nothing is governed any more")


def _bounded(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(notes.MAX_NOTE_BYTES + 1)


def _write(path: Path, data: bytes) -> None:
    """Write *data* whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    lasting.keep_names(path.parent)
