"""What has arrived to rows, to what is acknowledged of it, and to what whoever watches is shown: in one commit.

Each message is a savepoint of its own, so that one that no row can hold costs nobody else anything, and a commit costs
a disk's flush whatever is in it. Signatures are checked before the transaction begins: nobody waits for that.

Covers: batches, states, descriptions, configurations, answers, checkpoints, changes of keys; messages that nobody can
believe (counted, and written once for each device and kind); a batch whose predecessor a colleague has; a key that
changes between two messages. Does not cover: when the broker is told; that is the collector's, after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from appliance.contracts.envelope import Ack, Batch, Desc, Reported, Response, State
from appliance.contracts.topics import Channel
from appliance.errors import TrustError, WireError
from appliance.fleet import acknowledging, batches, desired, faults, ingest, ledgers, rekeying
from appliance.fleet.early import Early
from appliance.fleet.faults import STRANGERS
from appliance.fleet.hearing import Heard, Wrong, heard
from appliance.fleet.home import FleetHome
from appliance.fleet.keyring import Keyring
from appliance.fleet.store import NOT_UNDERSTOOD
from appliance.transport.messages import Incoming


class Shown(NamedTuple):
    """A checkpoint, or a change of key, that holds."""

    what: str


Said = State | Desc | Reported | Batch | Response | Shown


class Seen(NamedTuple):
    """Something arrived and was committed."""

    device: str
    said: Said
    new: bool


class Taken(NamedTuple):
    """What came of some messages; all of it is committed."""

    seen: Sequence[Seen]
    acks: Sequence[Ack]
    records_n: int
    """New ones."""


class Taking:
    """Commits what one collector is brought; its thread alone uses it."""

    def __init__(
        self, home: FleetHome, *, now: Callable[[], datetime], monotonic: Callable[[], float], shared: bool
    ) -> None:
        self._home = home
        self._now = now
        self._shared = shared
        self._keys = Keyring(home, monotonic)
        self._early = Early(monotonic)
        self._begin()

    @property
    def is_waiting(self) -> bool:
        """Whether a batch waits for the one before it."""
        return bool(self._early)

    def take(self, messages: Sequence[Incoming]) -> Taken:
        """Commit *messages*.

        Raises:
            StorageError: they cannot be kept; nothing of them was.
        """
        self._begin()
        found = [self._heard(message) for message in messages]
        following = self._early.due()
        if found or following:
            with self._home.writing():
                for message, one in zip(messages, found, strict=True):
                    # A key that was replaced counts from there on.
                    again = self._heard(message) if one.device in self._rekeyed else one
                    if isinstance(again, Heard) and isinstance(again.said, Batch):
                        following.append(again.said)
                    else:
                        self._keep_other(again)
                self._keep_batches(following)
                self._faults.store(self._home, self._now())
        return Taken(self._seen, self._acks, self._records_n)

    def forget(self) -> None:
        """Hold nothing back, and read the keys anew: what was not committed comes again."""
        self._early.clear()
        self._keys.forget()

    def look_again(self) -> None:
        """Read the keys anew: somebody may have been forgotten."""
        self._keys.forget()

    def _begin(self) -> None:
        self._seen: list[Seen] = []
        self._acks: list[Ack] = []
        self._records_n = 0
        self._faults = faults.Counted()
        self._rekeyed: set[str] = set()

    def _heard(self, message: Incoming) -> Heard | Wrong:
        found = heard(message, self._keys.of)
        if isinstance(found, Wrong) and found.what == "unknown_key":
            # A colleague may have learnt of a new key, or somebody enrolled the device again.
            before, now = self._keys.of(found.device), self._keys.anew(found.device)
            if before is not None and now is not None and now.raw != before.raw:
                return heard(message, self._keys.of)
            if rekeying.is_retired(self._home, found.device, found.signer):
                text = f"signed by {found.signer}, which was replaced: a message from before, or somebody has that key"
                return found._replace(what="retired_key", text=text)
        return found

    def _keep_batches(self, following: Sequence[Batch]) -> None:
        if not following:
            return
        try:
            stored = batches.store_batches(self._home, following, self._now())
        except NOT_UNDERSTOOD as error:
            if len(following) > 1:
                # One of them is such that no row can hold it; the others shall not suffer.
                for batch in following:
                    self._keep_batches([batch])
                return
            # Left unacknowledged it would come again for ever; what it was is kept with the faults.
            self._note(Wrong(following[0].device, "not_understood", f"{type(error).__name__}: {error}"))
            self._early.settled(following[0])
            return
        for batch, one in zip(following, stored, strict=True):
            if one.resume and self._shared and self._early.put(batch):
                continue
            self._early.settled(batch)
            self._records_n += one.new_n
            if not one.is_silent:
                self._owe(batch, one)
            self._seen.append(Seen(batch.device, batch, one.new_n > 0))

    def _keep_other(self, found: Heard | Wrong) -> None:
        if isinstance(found, Wrong):
            self._note(found)
            return
        try:
            with self._home.writing():
                self._keep(found)
        except TrustError as error:
            self._note(Wrong(found.device, "key_refused", str(error)))
        except WireError as error:
            self._note(Wrong(found.device, "malformed", str(error)))
        except NOT_UNDERSTOOD as error:
            self._note(Wrong(found.device, "not_understood", f"{type(error).__name__}: {error}"))

    def _keep(self, found: Heard) -> None:
        now = self._now()
        match found.said:
            case State() as state:
                self._seen.append(Seen(found.device, state, ingest.store_state(self._home, state, now)))
            case Desc() as desc:
                self._seen.append(Seen(found.device, desc, ingest.store_desc(self._home, desc)))
            case Reported() as reported:
                self._seen.append(Seen(found.device, reported, desired.store_reported(self._home, reported, now)))
            case Response() as answer:
                new = ingest.store_answer(self._home, answer, now)
                if new is None:
                    text = f"to {answer.correlation}, which is no command of this controller"
                    self._note(Wrong(found.device, "unknown_answer", text))
                else:
                    self._seen.append(Seen(found.device, answer, new))
            case ledgers.Root() as root:
                self._keep_checkpoint(found, root, now)
            case _ if found.channel is Channel.KEYS:
                self._keep_keys(found, now)

    def _keep_checkpoint(self, found: Heard, root: ledgers.Root, now: datetime) -> None:
        new, wrong = ingest.store_checkpoint(self._home, found.device, root, found.payload.decode(), now)
        forked = any(fault.what == ledgers.FORKED for fault in wrong)
        text = f"checkpoint of {root.size} records, root {root.root.hex()[:16]}{', FORKED' if forked else ''}"
        self._seen.append(Seen(found.device, Shown(text), new))

    def _keep_keys(self, found: Heard, now: datetime) -> None:
        present = rekeying.take(self._home, found.device, found.key, found.payload, now)
        if present.raw == found.key.raw:
            return
        self._keys.changed(found.device)
        self._rekeyed.add(found.device)
        text = f"key {found.key.key_id} was replaced by {present.key_id}"
        self._seen.append(Seen(found.device, Shown(text), new=True))
        # Whatever came before this with the new key was refused: have it again at once.
        self._acks += acknowledging.again(self._home, found.device)

    def _note(self, wrong: Wrong) -> None:
        if wrong.what == "unknown_device":
            self._faults.add(STRANGERS, wrong.what, f"{wrong.device!r}: {wrong.text}")
        else:
            self._faults.add(wrong.device, wrong.what, wrong.text)

    def _owe(self, batch: Batch, one: batches.Stored) -> None:
        if not self._keys.may_acknowledge(batch.device):
            return
        owed = acknowledging.ack(
            self._home, batch.device, batch.epoch, batch.stream, one.upto, one.of, resume=one.resume
        )
        if owed is not None:
            self._acks.append(owed)
