"""What is brought to a device, by stick or by network, to yes or no, and the memory that takes.

Cooldown: a bundle counts the time that this device has *run* since it first saw the bundle's hash, by a clock that only
moves while it runs. A signing date can be backdated, a wall clock set, a power cut repeated: none shortens it. What
was counted is written every quarter of an hour, and only while a bundle waits; a cut loses at most that much of waiting
time, to the side of waiting longer.

Covers: power cuts between any two writes, clocks that jump, reboots, a database that was salvaged (what was lost is
waited for again; without a root nothing is taken). Does not cover: somebody who may write this device's database.
"""

from __future__ import annotations

import sqlite3
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from appliance.contracts.bundle import Accepted, Admitted, DocumentKind, NotAdmitted
from appliance.contracts.clock import Clock
from appliance.contracts.pinned import Pinned
from appliance.contracts.trustroot import MAX_COOLDOWN_DAYS, Revocations, Root, Urgent
from appliance.storage import bundles as kept
from appliance.storage.bundles import Document
from appliance.storage.database import Database
from appliance.trust import admission, bundles, documents, opening, revocation, roots
from appliance.trust.admission import Floor, Standing, Vouched
from appliance.trust.bundles import WholeBundle
from appliance.trust.dsse import Envelope
from appliance.trust.untrusted import Untrusted

DAY_S: Final = 86_400.0
WRITE_EVERY_S: Final = 900.0

_RECORDS: Final[dict[DocumentKind, type[Root | Revocations]]] = {"root": Root, "revocations": Revocations}
_CALLED: Final = {Root: "root of trust", Revocations: "revocation list", Urgent: "word that a bundle cannot wait"}


class Looked(NamedTuple):
    """What a delivery is, in lines as far as it can be read, and whether it would be taken."""

    lines: tuple[str, ...]
    found: Admitted | NotAdmitted


class Admission:
    """Decides what this device takes; call it on the thread that writes the database."""

    def __init__(
        self, db: Database, clock: Clock, *, software: str, shipped: Pinned | None = None, cooldown_days: int = 0
    ) -> None:
        """Keep what is handed in.

        Args:
            cooldown_days: what the owner of this device wants at least; the root's counts where it is longer.
        """
        self._db = db
        self._clock = clock
        self._software = software
        self._shipped = shipped
        self._own_cooldown_days = cooldown_days
        self._looked_s = clock.monotonic_s()
        self._unwritten_s = 0.0

    def admit(self, source: Path, into: Path) -> Admitted | NotAdmitted:
        """Copy the delivery at *source* (a folder or a tar) into *into* and judge the copy.

        Args:
            into: absent or empty; what is in it after a no is nobody's.
        """
        try:
            opening.open_delivery(source, into)
            bundle = bundles.check(into / opening.BUNDLE)
            vouched = admission.judge(bundle, into, self._standing(bundle.manifest.name))
        except Untrusted as no:
            return NotAdmitted(code=no.code, reason=no.reason)
        # What was counted until now is other bundles' time, not this one's.
        self.ran()
        self.write_time()
        manifest = bundle.manifest
        kept.see(self._db, bundle.sha256, manifest.name, manifest.release, self._clock.now())
        return self._admitted(bundle, vouched)

    def look(self, source: Path) -> Looked:
        """Say what the delivery at *source* is and whether `admit` would take it; nothing is remembered."""
        lines: tuple[str, ...] = ()
        try:
            with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
                copy = Path(folder) / "copy"
                opening.open_delivery(source, copy)
                bundle = bundles.check(copy / opening.BUNDLE)
                lines = tuple(bundles.told(bundle))
                vouched = admission.judge(bundle, copy, self._standing(bundle.manifest.name))
                return Looked(lines, self._admitted(bundle, vouched))
        except Untrusted as no:
            return Looked(lines, NotAdmitted(code=no.code, reason=no.reason))
        except OSError as error:
            return Looked(lines, NotAdmitted(code="unreadable", reason=f"there is no room to look: {error.strerror}"))

    def may_activate(self, slot: Path) -> Admitted | NotAdmitted:
        """Judge the copy in *slot* again, all of it, and whether it has waited long enough."""
        try:
            bundle = bundles.check(slot / opening.BUNDLE)
            vouched = admission.judge(bundle, slot, self._standing(bundle.manifest.name))
        except Untrusted as no:
            return NotAdmitted(code=no.code, reason=no.reason)
        self.ran()
        admitted = self._admitted(bundle, vouched)
        if admitted.waits_s > 0:
            return NotAdmitted(
                code="cooldown",
                reason=f"{admitted.name} release {admitted.release} has to lie here for another"
                f" {_days(admitted.waits_s)} of running time before it may decide anything; what is wrong with a"
                " release mostly shows within days",
            )
        return admitted

    def still_good(self, slot: Path) -> str | None:
        """Say why the bundle in *slot*, which runs here already, must go; None when it may stay.

        Its age is no reason, nor that the root expired: only that it was altered or revoked, or its keys were.
        """
        try:
            bundle = bundles.check(slot / opening.BUNDLE)
            root = self.root()
            if root is None:
                return (
                    "this device trusts nobody's bundles any more; install your site's root: `appliance trust install`"
                )
            admission.vouch(bundle, slot, root, self.revocations())
        except Untrusted as no:
            return no.reason
        return None

    def activated(self, admitted: Admitted) -> None:
        """Go on from this release: no older one is taken any more. Said when a bundle has passed its trial."""
        kept.raise_floor(self._db, admitted.name, admitted.release, admitted.sha256, self._clock.now())

    def ran(self) -> None:
        """Count the time since this was last called; often enough is once a minute."""
        now_s = self._clock.monotonic_s()
        elapsed_s, self._looked_s = now_s - self._looked_s, now_s
        self._unwritten_s += max(0.0, elapsed_s)
        if self._unwritten_s >= WRITE_EVERY_S:
            self.write_time()

    def write_time(self) -> None:
        """Keep what was counted; said before an orderly end."""
        powered_s, self._unwritten_s = self._unwritten_s, 0.0
        if powered_s and kept.is_counting(self._db, self._cooldown_s()):
            kept.ran(self._db, powered_s, until_s=self._cooldown_s())

    def accept(
        self, data: bytes, *, fingerprint: str = "", replace: bool = False, kind: DocumentKind | None = None
    ) -> Accepted | NotAdmitted:
        """Take a root of trust or a revocation list: a file's content, or a message's.

        Args:
            fingerprint: of a root that begins a chain, as a person was told it; others are signed by the one before.
            replace: the device changes hands: *fingerprint* counts although it has a root.
            kind: what a person has signed for; nothing else is taken.
        """
        try:
            found = documents.envelope(data)
            record = documents.kind_of(found)
            if kind is not None and record is not _RECORDS[kind]:
                raise Untrusted(
                    "document", f"it is a {_CALLED[record]}; what was signed for is a {_CALLED[_RECORDS[kind]]}"
                )
            # One transaction: what is compared with is what is replaced, whichever thread brings the next one.
            with self._db.atomic():
                if record is Root:
                    return self._accept_root(found, data, fingerprint, replace=replace)
                return self._accept_revocations(found, data)
        except Untrusted as no:
            return NotAdmitted(code=no.code, reason=no.reason)

    def root(self) -> Root | None:
        """Return the root of trust in force.

        Raises:
            Untrusted: what the database holds is none any more.
        """
        document = kept.newest(self._db, "root")
        return None if document is None else documents.read(documents.envelope(document.body), Root)

    def revocations(self) -> Revocations | None:
        """Return the revocation list in force.

        Raises:
            Untrusted: what the database holds is none any more.
        """
        document = kept.newest(self._db, "revocations")
        return None if document is None else documents.read(documents.envelope(document.body), Revocations)

    def why_revoked(self, sha256: str) -> str | None:
        """Return why the bundle *sha256* must not run, also the one that came with the software; None when it may.

        Raises:
            Untrusted: the list in the database cannot be read any more.
        """
        return revocation.why_revoked(self.revocations(), sha256)

    def waits_s(self, sha256: str, *, urgent: bool) -> float:
        """Return how much longer the bundle *sha256* has to lie here before it may decide anything."""
        if urgent:
            return 0.0
        seen = kept.seen(self._db, sha256)
        lain_s = 0.0 if seen is None else seen.powered_s + self._unwritten_s
        return max(0.0, self._cooldown_s() - lain_s)

    def _accept_root(self, found: Envelope, data: bytes, fingerprint: str, *, replace: bool) -> Accepted:
        present = None if replace else self.root()
        if present is not None and documents.read(found, Root) == present:
            # A message that came twice, or a stick that was put in again: nothing happens a second time.
            return Accepted(
                kind="root", number=present.version, signers=documents.signers(found, present, present.root)
            )
        root = roots.first(found, fingerprint) if present is None else roots.next_(found, present)
        kept.keep_root(
            self._db,
            Document(root.version, data),
            self._clock.now(),
            root.floors,
            forget_list=root.forget_revocations or present is None,
        )
        return Accepted(kind="root", number=root.version, signers=documents.signers(found, root, root.root))

    def _accept_revocations(self, found: Envelope, data: bytes) -> Accepted:
        root = self.root()
        if root is None:
            raise Untrusted("no-root", "this device has no root of trust yet, so it knows nobody who may revoke")
        present = self.revocations()
        revocations, signers = revocation.next_(found, root, present)
        if revocations != present:
            kept.keep_revocations(self._db, Document(revocations.number, data), self._clock.now())
        return Accepted(kind="revocations", number=revocations.number, signers=signers)

    def _standing(self, name: str) -> Standing:
        root, revocations = self.root(), self.revocations()
        return Standing(root, revocations, self._floor(name), self._now(root, revocations), self._software)

    def _floor(self, name: str) -> Floor | None:
        found = kept.floor(self._db, name)
        here = None if found is None else Floor(*found)
        if self._shipped is None or self._shipped.name != name:
            return here
        shipped = Floor(self._shipped.release, self._shipped.sha256)
        return shipped if here is None or here.release < shipped.release else here

    def _now(self, root: Root | None, revocations: Revocations | None) -> datetime:
        """Return the latest moment that is known to be past: a clock that was set back does not make anything younger.

        A clock that was set ahead makes things old; setting it right makes them young again, for nothing is kept.
        """
        signed = [document.issued_at for document in (root, revocations) if document is not None]
        return max([self._clock.now(), *signed])

    def _admitted(self, bundle: WholeBundle, vouched: Vouched) -> Admitted:
        manifest = bundle.manifest
        waits_s = self.waits_s(bundle.sha256, urgent=vouched.urgent is not None)
        return Admitted(
            sha256=bundle.sha256,
            name=manifest.name,
            version=manifest.version,
            release=manifest.release,
            expires_at=manifest.expires_at,
            signers=vouched.signers,
            urgent=vouched.urgent is not None,
            waits_s=waits_s,
        )

    def _cooldown_s(self) -> float:
        try:
            root = self.root()
        except Untrusted:
            return MAX_COOLDOWN_DAYS * DAY_S  # whatever it was, it is not over because nobody knows it any more
        return 0.0 if root is None else max(root.cooldown_days, self._own_cooldown_days) * DAY_S


def in_force(reader: sqlite3.Connection) -> tuple[Root | None, Revocations | None]:
    """Return the root and the revocation list that a device has, by any connection to its database.

    Raises:
        Untrusted: what the database holds is none any more.
    """
    root, revocations = kept.in_force(reader, "root"), kept.in_force(reader, "revocations")
    return (
        None if root is None else documents.read(documents.envelope(root.body), Root),
        None if revocations is None else documents.read(documents.envelope(revocations.body), Revocations),
    )


def _days(seconds: float) -> str:
    return f"{seconds / DAY_S:.1f} days" if seconds >= DAY_S else f"{seconds / 3600:.1f} hours"
