"""A ledger with a signing key and a clock that is set by hand: what pruning, holds and redaction are tried on."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.agent import epochs
from appliance.agent.checkpointing import Checkpointer
from appliance.agent.retaining import Bounds, Retaining
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.request import Ask, Origin, OriginKind, Request
from appliance.ledger.verdict import Given
from appliance.ledger.verify import verify
from appliance.storage import audit, database, inbox
from appliance.trust import notes
from appliance.trust.keys import SigningKey

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


class HandClock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.at, self.s, self.trusted = BEGUN, 1000.0, True

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.s

    def is_trusted(self):
        return self.trusted

    def moment(self):
        clock = "trusted" if self.trusted else "untrusted"
        return Moment(at=self.at, monotonic_s=self.s, boot=1, clock=clock)

    def passes(self, **span):
        self.at += timedelta(**span)
        self.s += timedelta(**span).total_seconds()


class KeptLedger:
    """One home's ledger; `cut_power` leaves what a killed process leaves."""

    def __init__(self, folder, *, enrolled=False, keep_days=0, quota_mb=4096, personal_days=0, key=None):
        private = Ed25519PrivateKey.from_private_bytes(key) if key else Ed25519PrivateKey.generate()
        self.folder, self.clock, self.key = folder, HandClock(), SigningKey(private)
        self.path = folder / "appliance.db"
        self.bounds = Bounds(keep_days=keep_days, quota_mb=quota_mb, personal_days=personal_days)
        self.enrolled, self.full, self.n = enrolled, None, 0
        self._open()

    def _open(self):
        self.db = database.open_database(self.path).db
        signed = self.folder / "signed.jsonl"
        begun = epochs.open_epoch(self.db, signed, device="d", key=self.key, boot=1, clock=self.clock, set_aside=None)
        self.complaint = begun.complaint
        self.checkpointer = Checkpointer(
            self.db, signed, begun.state, key=self.key, clock=self.clock, every_n=256, every_s=60.0,
            on_refused=self._refused,
        )  # fmt: skip
        self.retaining = Retaining(
            self.db, self.clock, self.bounds, enrolled=lambda: self.enrolled, on_full=self._on_full
        )

    def _refused(self, reason):
        raise AssertionError(reason)

    def _on_full(self, text):
        self.full = text

    def cut_power(self):
        """Go on with the file as it lies there, without a close."""
        self._open()

    def close(self):
        self.db.close()

    def decide(self, words, *, settled=True, received_at=None):
        """Write what a request writes: two records and its row in the inbox."""
        self.n += 1
        request_id = f"r{self.n}"
        request = Request(
            request_id=request_id,
            received_at=received_at or self.clock.now(),
            origin=Origin(kind=OriginKind.OPERATOR, peer="uid:1"),
            body=Ask(text=words),
        )
        inbox.submit(self.db, request)
        with self.db.atomic():
            self.write("decided", request_id, text=words)
            inbox.take(self.db, request_id)
        if settled:
            with self.db.atomic():
                self.write("settled", request_id, reason=f"Done: {words}")
                said = {"request_id": request_id, "status": "done", "text": words, "calls": [], "reason": words}
                inbox.done(self.db, request_id, said)
        return request_id

    def write(self, kind, request_id=None, facts=None, **personal):
        return audit.append(
            self.db,
            AuditRecord(
                kind=kind, moment=self.clock.moment(), request_id=request_id, facts=facts or {}, personal=personal
            ),
        )

    def fill(self, records_n, words="hello"):
        """Write so many records fast."""
        with self.db.atomic():
            for _ in range(records_n):
                self.write("note", text=words)

    def sign(self):
        """Return a checkpoint over everything."""
        return self.checkpointer.sign()

    def look_on(self, seconds=600):
        """Let the daemon's ticks happen for so long."""
        for _ in range(int(seconds)):
            self.clock.s += 1.0
            self.retaining.tick()

    def verdict(self, note):
        """Verify the file against a checkpoint kept elsewhere."""
        given = Given(checkpoint=notes.parse(note.encode()), key=self.key.public)
        return verify(self.path, given)

    @property
    def seqs(self):
        return [row["seq"] for row in self.db.rows("select seq from audit order by seq")]

    def raw(self):
        """Return every byte of the database's files."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob("appliance.db*")))
