"""people add, remove, role, pin, list, recover: who may sign with a PIN, and in which role."""

from __future__ import annotations

from typing import Final

import click

from appliance.cli import background
from appliance.cli.lazy import Lazy
from appliance.cli.signing import Signature, new_pin, pin_stdin, signature, signed
from appliance.contracts.home import Home
from appliance.contracts.local import ChangePin, EnrolPerson, ListPeople, LocalReply, RemovePerson
from appliance.contracts.people import ROLES
from appliance.contracts.record import Record
from appliance.errors import AlreadyRunning, ApplianceError, StorageError
from appliance.storage.ownership import own
from appliance.terminal import tell, tell_json
from appliance.transport.local import LocalClient

PEOPLE_VERBS: Final = {
    "list": "appliance.cli.people:list_",
    "add": "appliance.cli.people:add",
    "role": "appliance.cli.people:role",
    "pin": "appliance.cli.people:pin",
    "remove": "appliance.cli.people:remove",
    "recover": "appliance.cli.people:recover",
}
"""Verb to `module:command`; help lists them in this order."""

_role = click.Choice(ROLES)
_as = click.option("--as", "person", default="", metavar="NAME", help="The admin who does it; the PIN is asked for.")


@click.group(cls=Lazy, verbs=PEOPLE_VERBS)
def people() -> None:
    """Enrol the people who sign with a PIN.

    A viewer looks, an operator also asks for acts, an approver also approves what the laws want approved, an admin also
    enrols people.
    """


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.pass_obj
def list_(home: Home, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """List who is enrolled, and in which role."""
    found = _asked(home, ListPeople()).result
    if as_json:
        tell_json(found)
        return
    enrolled = found["people"]
    assert isinstance(enrolled, list)  # our own daemon's answer
    if not enrolled:
        tell("Nobody is enrolled. The first is an admin: `appliance people add NAME --role admin`.")
    for person in enrolled:
        assert isinstance(person, dict)
        tell(f"{person['name']:<32}  {person['role']:<8}  since {str(person['enrolled_at'])[:10]}")
    tell(f"Whoever gives no PIN counts as {found['unnamed']}.")


@click.command()
@click.argument("name")
@click.option("--role", "in_role", type=_role, required=True, help="What NAME may do; see `appliance people --help`.")
@_as
@pin_stdin
@click.pass_obj
def add(home: Home, name: str, in_role: str, person: str, pin_stdin: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Enrol NAME, who chooses a PIN now; the first is an admin, and an admin enrols the others (--as).

    With --pin-stdin the first line is the admin's PIN (if --as is given), the next is NAME's.
    """
    background.ensure(home)
    by = signature(person, from_stdin=pin_stdin)
    chosen = new_pin(name, from_stdin=pin_stdin)
    tell(_asked(home, EnrolPerson(name=name, role=in_role, new_pin=chosen, **by.fields())).message)


@click.command()
@click.argument("name")
@click.argument("in_role", metavar="ROLE", type=_role)
@signed
@click.pass_obj
def role(home: Home, name: str, in_role: str, by: Signature) -> None:
    """Give NAME another role; an admin does (--as)."""
    tell(_asked(home, EnrolPerson(name=name, role=in_role, **by.fields())).message)


@click.command()
@click.argument("name")
@_as
@pin_stdin
@click.pass_obj
def pin(home: Home, name: str, person: str, pin_stdin: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Change the PIN of NAME: NAME does, with the present one, or an admin (--as) where it was forgotten.

    With --pin-stdin the first line is the present PIN (or the admin's), the next the new one.
    """
    by = signature(person or name, from_stdin=pin_stdin)
    chosen = new_pin(name, from_stdin=pin_stdin)
    request: Record = ChangePin(new_pin=chosen, **by.fields())
    if person:
        request = EnrolPerson(name=name, new_pin=chosen, **by.fields())
    tell(_asked(home, request).message)


@click.command()
@click.argument("name")
@signed
@click.pass_obj
def remove(home: Home, name: str, by: Signature) -> None:
    """Take NAME off the list; an admin does (--as)."""
    tell(_asked(home, RemovePerson(name=name, **by.fields())).message)


@click.command()
@click.argument("name")
@pin_stdin
@click.pass_obj
def recover(home: Home, name: str, pin_stdin: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Give NAME a new PIN without anybody's, while the appliance is stopped: for when no admin knows theirs.

    Whoever can write the device's database can do this; the ledger says that it was done, and by which user.
    """
    if not home.database.exists():
        raise StorageError(f"no database at {home.database}; nobody is enrolled here")
    try:
        with own(home):
            chosen = new_pin(name, from_stdin=pin_stdin)
            said = _recovered(home, name, chosen)
    except AlreadyRunning as error:
        raise AlreadyRunning("the appliance runs; stop it first: this is for whoever may do that") from error
    tell(said)


def _recovered(home: Home, name: str, chosen: str) -> str:
    import os
    import secrets

    from appliance.agent.clock import SystemClock
    from appliance.agent.people import Asking, People, Refused
    from appliance.storage import database, meta
    from appliance.trust.pin import SALT_BYTES

    db = database.open_database(home.database).db
    try:
        clock = SystemClock(int(meta.get(db, "boot") or 0))
        known = People(db, clock, owner_uid=os.geteuid(), new_salt=lambda: secrets.token_bytes(SALT_BYTES))
        done = known.recover(name, chosen, Asking(os.getuid(), f"uid:{os.getuid()} pid:{os.getpid()}"))
    finally:
        db.close()
    if isinstance(done, Refused):
        raise ApplianceError(done.message)
    return f"{done.name} has a new PIN; is {done.role}."


def _asked(home: Home, request: Record) -> LocalReply:
    reply = LocalClient(home.root).request(request)
    if not reply.ok:
        raise (StorageError if reply.error == "storage" else ApplianceError)(reply.message or str(reply.error))
    return reply
