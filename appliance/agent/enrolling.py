"""The local protocol's requests about people to changes of the list, and answers; and who signs a request."""

from __future__ import annotations

from typing import assert_never

from appliance.agent.people import Asking, People, Refused
from appliance.contracts.known import Known
from appliance.contracts.local import ChangePin, EnrolPerson, LocalReply, RemovePerson
from appliance.storage.people import Person

Enrolling = EnrolPerson | RemovePerson | ChangePin


def signer(people: People, request: Known, *, uid: int, peer: str) -> Asking | LocalReply:
    """Return who makes *request*, or the answer to a PIN that does not show it.

    Raises:
        StorageError: a wrong PIN could not be recorded; it counts all the same.
    """
    if request.person:
        found = people.identify(request.person, request.pin, peer)
        return _refusal(found) if isinstance(found, Refused) else Asking(uid, peer, found)
    if request.pin:
        return _refusal(Refused("A PIN goes with a name; nothing was done."))
    return Asking(uid, peer)


def change(people: People, request: Enrolling, by: Asking) -> LocalReply:
    """Do what *by* wants done to the list.

    Raises:
        StorageError: it could not be recorded, and was not done.
    """
    done: Person | Refused
    match request:
        case EnrolPerson():
            done = people.enrol(request.name, request.role, request.new_pin, by)
            what = "is enrolled as" if request.role else "has a new PIN; is"
        case RemovePerson():
            done, what = people.remove(request.name, by), "is no longer enrolled; was"
        case ChangePin():
            done, what = people.change_pin(request.new_pin, by), "has a new PIN; is"
        case _ as never:
            assert_never(never)
    if isinstance(done, Refused):
        return _refusal(done)
    return LocalReply(
        ok=True, message=f"{done.name} {what} {done.role}.", result={"name": done.name, "role": done.role}
    )


def everybody(people: People, unnamed: str) -> LocalReply:
    """Say who is enrolled, and as what somebody counts who gives no PIN."""
    return LocalReply(
        ok=True,
        result={
            "people": [{"name": p.name, "role": p.role, "enrolled_at": p.enrolled_at} for p in people.every()],
            "unnamed": unnamed,
        },
    )


def _refusal(refused: Refused) -> LocalReply:
    error = "busy" if refused.is_busy else "not_allowed"
    return LocalReply(ok=False, error=error, message=refused.message, result={"wait_s": round(refused.wait_s, 1)})
