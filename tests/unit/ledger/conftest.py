"""A ledger in a real file, of a device whose key is known, with signed checkpoints, and hands that tamper with it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.tree import leaf_hash
from appliance.ledger.verdict import Given
from appliance.ledger.verify import verify
from appliance.storage import audit, checkpoints, database, tree
from appliance.trust import keys, notes
from appliance.trust.notes import Checkpoint

BEGAN = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Device:
    """Writes records and signs, without a daemon around it."""

    def __init__(self, folder: Path, epoch: str = "e1"):
        self.path = folder / "a.db"
        self.key = keys.load_or_make(folder / "keys" / "device.key")
        self.db = database.open_database(self.path, epoch=epoch).db
        self.db.connection.execute("pragma synchronous = off")  # quick; nobody cuts the power here
        self.epoch = epoch
        self.origin = f"edge-agent-appliance/barn/{epoch}"
        self.notes = {}

    def begin(self):
        self.write(1, kind="epoch", facts=lambda _: {"device": "barn", "epoch": self.epoch, "origin": self.origin})

    def write(self, n, *, kind="note", facts=lambda seq: {"n": seq}):
        with self.db.atomic():
            for _ in range(n):
                seq = audit.size(self.db.connection) + 1
                at = BEGAN + timedelta(seconds=seq / 7)
                words = f"words {seq}"
                record = AuditRecord(
                    kind=kind,
                    moment=Moment(at=at, monotonic_s=float(seq), boot=1, clock="trusted"),
                    request_id=f"r{seq}",
                    facts=facts(seq),
                    personal={"text": words, "calls": [{"arguments": {"who": words, "level": seq / 4}}]},
                )
                audit.append(self.db, record)

    def sign(self, *, by=None, keep=True):
        size = audit.size(self.db.connection)
        text = str(Checkpoint(self.origin, size, tree.root(self.db.connection, size)))
        self.notes[size] = notes.sign(text, self.origin, by or self.key)
        if keep:
            checkpoints.add(self.db, size, BEGAN, str(self.notes[size]))
        return self.notes[size]

    def tamper(self, script):
        self.db.connection.executescript(script)

    def rewrite(self, seq, change, *, leaf=False, roots=False):
        """Change a record as somebody would who has the file and knows its form."""
        connection = self.db.connection
        body = change(json.loads(connection.execute("select body from audit where seq = ?", (seq,)).fetchone()[0]))
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        connection.execute("update audit set body = ? where seq = ?", (text, seq))
        if leaf:
            connection.execute("update audit set leaf = ? where seq = ?", (leaf_hash(text.encode()), seq))
        if roots:
            self.regrow()

    def regrow(self):
        """Compute every kept root anew from the leaves."""
        connection = self.db.connection
        connection.execute("delete from tree")
        for size in range(tree.WIDTH, audit.size(connection) + 1, tree.WIDTH):
            tree.grow(connection, size)

    def copy(self, folder):
        """Return the same device on a copy of its files, as they are now."""
        self.db.checkpoint()
        folder.mkdir()
        shutil.copytree(self.path.parent / "keys", folder / "keys")
        shutil.copy2(self.path, folder / "a.db")
        other = Device(folder, self.epoch)
        other.notes = dict(self.notes)
        return other

    def look(self, **given):
        return verify(self.path, Given(**given))

    def look_with(self, note, key=None):
        return verify(self.path, Given(key=key or self.key.public, checkpoint=note))


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A ledger of 700 records: two whole segments and a part, signed at 100, 256, 300, 512, 600 and 700."""
    made = Device(tmp_path_factory.mktemp("written"))
    made.begin()
    for upto in (100, 256, 300, 512, 600, 700):
        made.write(upto - audit.size(made.db.connection))
        made.sign()
    yield made
    made.db.close()


@pytest.fixture
def device(written, tmp_path):
    """A copy of that ledger for one test."""
    made = written.copy(tmp_path / "device")
    yield made
    made.db.close()
