"""A name and a PIN to an enrolled person, or to a refusal; and who may enrol whom.

Covers: guessing (`guesses`), through any number of sockets at once: PINs are looked at one at a time, a few wait, more
are turned away; names that nobody has (the same answer, the same work, the same wait); two enrolments at once; a device
without an admin, which takes the first from the user that runs it, or from root, and from nobody else.
Does not cover: what a role may do (`policy`); whoever can write the database file; an admin, who can give anybody a new
PIN and act as them: the ledger says so, docs/explanation/people.md says what follows.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from appliance.agent.guesses import FREE_N, Guesses, stranger, wait_after_s
from appliance.contracts.audit import AuditRecord
from appliance.contracts.clock import Clock
from appliance.contracts.people import NAME_RULE, ROLES, Happened, PersonFacts, PersonRole, name_key, spelled
from appliance.storage import audit, people
from appliance.storage.database import Database
from appliance.storage.people import Person
from appliance.trust import pin

WAITING_N: Final = 4
"""PINs that wait to be looked at; on the smallest device each takes half a second and one of the door's threads."""

ROOT_UID: Final = 0


class Identified(NamedTuple):
    """Who a PIN has shown somebody to be."""

    name: str
    role: PersonRole


class Refused(NamedTuple):
    """Why not, for the person to read."""

    message: str
    wait_s: float = 0.0
    is_busy: bool = False


_NOBODY: Final = Refused("Nobody of that name is enrolled.")


class Asking(NamedTuple):
    """Who wants something changed."""

    uid: int
    peer: str
    person: Identified | None = None

    @property
    def name(self) -> str:
        """The person's; empty where no PIN was given."""
        return self.person.name if self.person else ""

    @property
    def told(self) -> str:
        """Who it was, as a record names them: the process, and the person where a PIN has said who that is."""
        return f"{self.peer} person:{self.name}" if self.person else self.peer


class People:
    """The people of one device; may be asked by several threads at once."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        owner_uid: int,
        new_salt: Callable[[], bytes],
        cost: pin.Cost = pin.COST,
        matches: Callable[[str, str], bool] = pin.matches,
    ) -> None:
        self._db = db
        self._clock = clock
        self._owner_uid = owner_uid
        self._new_salt = new_salt
        self._cost = cost
        self._matches = matches
        self._nobodys = pin.nobodys(cost)
        self._guesses = Guesses(people.failures(db), clock)
        self._room = threading.BoundedSemaphore(WAITING_N)
        self._one_at_a_time = threading.Lock()

    def identify(self, name: str, given: str, peer: str) -> Identified | Refused:
        """Return who gave *given* as the PIN of *name*.

        Raises:
            StorageError: a wrong PIN could not be recorded; it counts all the same.
        """
        if not given:
            return Refused("The PIN is missing; nothing was done.")
        # Before anything is hashed: whoever has to wait costs nothing.
        if (wait_s := self._guesses.wait_s(self._counted_as(name))) > 0:
            return _patience(wait_s)
        if not self._room.acquire(blocking=False):
            return Refused("Too many PINs at once; try again in a moment.", is_busy=True)
        try:
            with self._one_at_a_time:
                return self._identify(name, given, peer)
        finally:
            self._room.release()

    def enrol(self, name: str, role: str, new_pin: str, by: Asking) -> Person | Refused:
        """Enrol somebody; of somebody who is enrolled change the role, or the PIN, whichever is given.

        Raises:
            StorageError: it could not be recorded, and was not done.
        """
        with self._one_at_a_time:
            everybody = {person.key: person for person in people.every(self._db)}
            if (refused := self._may_change(everybody, by)) is not None:
                return refused
            if (key := name_key(name)) is None:
                return Refused(NAME_RULE)
            if role and role not in ROLES:
                return Refused(f"There is no role {role!r}; there are {', '.join(ROLES)}.")
            known = everybody.get(key)
            if known is None:
                return self._enrol(everybody, key, name, role, new_pin, by)
            if role and new_pin:
                return Refused(f"{known.name} is enrolled already; change the role or the PIN, one at a time.")
            if role:
                return self._change_role(everybody, known, role, by)
            return self._change_pin(known, new_pin, by)

    def change_pin(self, new_pin: str, by: Asking) -> Person | Refused:
        """Give whoever asks another PIN.

        Raises:
            StorageError: it could not be recorded, and was not done.
        """
        with self._one_at_a_time:
            known = self._enrolled(by)
            if known is None:
                return Refused("Say who you are and give your present PIN to change it.")
            return self._change_pin(known, new_pin, by)

    def remove(self, name: str, by: Asking) -> Person | Refused:
        """Take somebody off the list.

        Raises:
            StorageError: it could not be recorded, and was not done.
        """
        with self._one_at_a_time:
            everybody = {person.key: person for person in people.every(self._db)}
            if (refused := self._may_change(everybody, by)) is not None:
                return refused
            known = everybody.get(name_key(name) or "")
            if known is None:
                return _NOBODY
            if len(everybody) > 1 and _is_last_admin(everybody, known):
                return Refused(f"{known.name} is the last admin: enrol another first, or remove the others first.")
            with self._db.atomic():
                people.remove(self._db, known.key)
                people.count(self._db, known.key, 0)
                self._record(_told("removed", known, by))
            self._guesses.forget(known.key)
            return known

    def recover(self, name: str, new_pin: str, by: Asking) -> Person | Refused:
        """Give somebody who is enrolled another PIN, without anybody's; for whoever can write the database anyway.

        Raises:
            StorageError: it could not be recorded, and was not done.
        """
        with self._one_at_a_time:
            known = people.find(self._db, name_key(name) or "")
            return _NOBODY if known is None else self._change_pin(known, new_pin, by, what="recovered")

    def has_admin(self) -> bool:
        """Return whether an admin is enrolled."""
        return "admin" in people.roles(self._db).values()

    def every(self) -> list[Person]:
        """Return everybody who is enrolled."""
        return people.every(self._db)

    def _identify(self, name: str, given: str, peer: str) -> Identified | Refused:
        person = people.find(self._db, name_key(name) or "")
        who = person.key if person else stranger(name_key(name) or name)
        # Again: others who asked at the same time may have been wrong.
        if (wait_s := self._guesses.wait_s(who)) > 0:
            return _patience(wait_s)
        is_right = self._matches(given, person.pin if person else self._nobodys)
        if person is not None and is_right:
            if self._guesses.failures_n(who):
                people.count(self._db, who, 0)
                self._guesses.forget(who)
            return Identified(person.name, person.role)
        # In memory first: a disk that is full, or made so, gives no free guesses.
        failures_n = self._guesses.failed(who)
        wait_s = wait_after_s(failures_n)
        with self._db.atomic():
            people.count(self._db, who, failures_n)
            self._record(
                PersonFacts(
                    what="wrong",
                    name=person.name if person else "",
                    role=person.role if person else "",
                    by_peer=peer,
                    failures=failures_n,
                    wait_s=wait_s,
                )
            )
        if wait_s:
            return _patience(wait_s)
        left_n = FREE_N - failures_n
        tries = "One more try" if left_n == 1 else f"{left_n} more tries"
        return Refused(
            f"That name and that PIN do not belong together; nothing was done. {tries} before you have to wait."
        )

    def _counted_as(self, name: str) -> str:
        key = name_key(name)
        return key if key and people.find(self._db, key) else stranger(key or name)

    def _may_change(self, everybody: dict[str, Person], by: Asking) -> Refused | None:
        if not any(person.role == "admin" for person in everybody.values()):
            if by.uid in (ROOT_UID, self._owner_uid):
                return None
            return Refused("No admin is enrolled yet; the user that runs the appliance, or root, enrols the first.")
        known = self._enrolled(by)
        if known is None:
            return Refused("Only an admin may do that: say who you are, and give your PIN.")
        return None if known.role == "admin" else Refused(f"{known.name} is no admin; only an admin may do that.")

    def _enrolled(self, by: Asking) -> Person | None:
        """Return who asks as enrolled now: since the PIN was looked at somebody may have been removed."""
        return None if by.person is None else people.find(self._db, name_key(by.person.name) or "")

    def _enrol(
        self, everybody: dict[str, Person], key: str, name: str, role: str, new_pin: str, by: Asking
    ) -> Person | Refused:
        if not any(person.role == "admin" for person in everybody.values()) and role != "admin":
            return Refused("The first to be enrolled is an admin: nobody else could enrol the others.")
        if not role:
            return Refused(f"{name} is not enrolled yet: say in which role, one of {', '.join(ROLES)}.")
        if len(everybody) >= people.MOST_N:
            return Refused(f"{people.MOST_N} people are enrolled; remove somebody first.")
        if (fault := pin.fault(new_pin, key)) is not None:
            return Refused(fault)
        person = Person.model_validate(
            {
                "key": key,
                "name": spelled(name),
                "role": role,
                "pin": pin.keep(new_pin, self._new_salt(), self._cost),
                "enrolled_at": self._clock.now().isoformat(),
            }
        )
        self._save(person, _told("enrolled", person, by))
        return person

    def _change_role(self, everybody: dict[str, Person], known: Person, role: str, by: Asking) -> Person | Refused:
        if role == known.role:
            return known
        if _is_last_admin(everybody, known):
            return Refused(f"{known.name} is the last admin: enrol another first.")
        changed = Person.model_validate({**known.model_dump(), "role": role})
        self._save(changed, _told("role", changed, by, role_before=known.role))
        return changed

    def _change_pin(
        self, known: Person, new_pin: str, by: Asking, what: Literal["pin", "recovered"] = "pin"
    ) -> Person | Refused:
        if (fault := pin.fault(new_pin, known.key)) is not None:
            return Refused(fault)
        changed = known.model_copy(update={"pin": pin.keep(new_pin, self._new_salt(), self._cost)})
        self._save(changed, _told(what, changed, by))
        self._guesses.forget(known.key)
        return changed

    def _save(self, person: Person, facts: PersonFacts) -> None:
        with self._db.atomic():
            people.save(self._db, person)
            if facts.what != "role":
                people.count(self._db, person.key, 0)
            self._record(facts)

    def _record(self, facts: PersonFacts) -> None:
        audit.append(self._db, AuditRecord(kind="people", moment=self._clock.moment(), facts=facts.to_json()))


def _patience(wait_s: float) -> Refused:
    waits = f"{math.ceil(wait_s / 60)} minutes" if wait_s > 90 else f"{math.ceil(wait_s)} seconds"
    return Refused(f"Too many wrong PINs for that name; nothing was done. Wait {waits}, then try again.", wait_s)


def _is_last_admin(everybody: dict[str, Person], person: Person) -> bool:
    return [p.key for p in everybody.values() if p.role == "admin"] == [person.key]


def _told(what: Happened, person: Person, by: Asking, *, role_before: str = "") -> PersonFacts:
    return PersonFacts(
        what=what, name=person.name, role=person.role, role_before=role_before, by_peer=by.peer, by_person=by.name
    )
