"""What must be true of a home after the power went, whatever the moment: questions that every rig asks.

Each function returns what is wrong, in words; an empty list is the proof.
"""

import hashlib
import json
from collections import Counter

from appliance.contracts import tree as maths
from appliance.contracts.tree import leaf_hash
from appliance.ledger.verdict import NOTHING, Given
from appliance.ledger.verify import verify
from appliance.storage import audit, checkpoints, database, inbox, outbox, retention, runs, tree
from appliance.trust import keys, notes, rotation

FINAL = {"settled", "indeterminate"}
BELLS = {"ring_bell": "bell", "sound_horn": "horn"}
"""Tools of plant.py without arguments, and what they leave in the world."""


class Ledger:
    """The records of one database, read once; what was read in another image is not parsed again."""

    _facts = {}  # noqa: RUF012 -- shared between images on purpose: most of them hold the same records
    _roots = {}  # noqa: RUF012 -- the same, by everything before

    def __init__(self, db):
        self.wrong = []
        with db.reading() as connection:
            self.rows = [
                tuple(row)
                for row in connection.execute(
                    "select seq, kind, request_id, body, leaf, personal from audit order by seq"
                )
            ]
            self._size = audit.size(connection)
            self._grown = tree.root(connection, self._size).hex()
            pruned = retention.gone(connection)
            runs = pruned.segments if pruned is not None else ()
            self.gone = {n for first, last in runs for n in range(first, last + 1)}
            self._tops = {n: _top(connection, n) for n in self.gone}
        self._leaves = {row[0]: row[4] for row in self.rows}
        self._before, seen = [b""], hashlib.sha256()
        for seq in range(1, self._size + 1):
            seen.update(self._leaves.get(seq) or self._tops.get((seq - 1) // tree.WIDTH, b""))
            self._before.append(seen.digest())
        self.epoch = database.epoch(db)
        self._check()

    def _check(self):
        expected = [seq for seq in range(1, self._size + 1) if (seq - 1) // tree.WIDTH not in self.gone]
        if list(self._leaves) != expected:
            odd = sorted(set(expected) ^ set(self._leaves))
            self.wrong.append(f"ledger: records {odd[:5]} are missing, or here though it says that they were pruned")
            return
        for seq, kind, request_id, body, leaf, _ in self.rows:
            if (body, leaf) not in self._facts:
                if leaf_hash(body.encode()) != leaf:
                    self.wrong.append(f"ledger: the leaf of record {seq} is not its body's")
                said = json.loads(body)
                if (said["seq"], said["kind"], said["request_id"]) != (seq, kind, request_id):
                    self.wrong.append(f"ledger: the columns of record {seq} are not its body's")
                self._facts[body, leaf] = said["facts"]
        if self._grown != self.root(self._size):
            self.wrong.append(f"ledger: the tree's root over {self._size} records is not that of the records")

    @property
    def size(self):
        return self._size

    def facts(self):
        """Return (kind, request id, facts) of each record."""
        return [(row[1], row[2], self._facts[row[3], row[4]]) for row in self.rows]

    def root(self, size):
        """Return the root over the first *size* records, computed from the records and the roots of pruned segments.

        None where a part of a pruned segment is counted: nothing here can say.
        """
        if size % tree.WIDTH and size // tree.WIDTH in self.gone:
            return None
        key = (size, self._before[size])
        if key not in self._roots:
            self._roots[key] = maths.root(size, self._subtree).hex()
        return self._roots[key]

    def _subtree(self, height, n):
        if height > tree.WIDTH_BITS:
            return maths.node_hash(self._subtree(height - 1, 2 * n), self._subtree(height - 1, 2 * n + 1))
        if height == tree.WIDTH_BITS and n in self._tops:
            return self._tops[n]
        return maths.folded([self._leaves[seq] for seq in range((n << height) + 1, ((n + 1) << height) + 1)])

    def decided(self):
        """Return (what is done in the world, request id) of every call to a rig's tool that was decided."""
        found = []
        for row, (kind, request_id, facts) in zip(self.rows, self.facts(), strict=True):
            if kind != "decided":
                continue
            for n, call in enumerate(facts["calls"]):
                name = call["gen_ai.tool.name"]
                if name == "press_button":
                    found.append((_argument(call, row[5], n), request_id))
                elif name in BELLS:
                    found.append((BELLS[name], request_id))
        return found


def _top(connection, n):
    row = connection.execute(
        "select hash from tree where epoch = ? and level = 1 and n = ?", (tree.current(connection), n)
    ).fetchone()
    return bytes(row["hash"])


def _argument(call, personal, n):
    """Return the pressed button: a string is somebody's own words and so lies under `personal`."""
    return call["gen_ai.tool.call.arguments"].get("button") or json.loads(personal)["calls"]["value"][n]["button"]


def acts(ledger, acted):
    """What happened in the world is decided in the ledger, and happened once for each request.

    A request that was decided twice is one request. No rig asks for a button in two requests.
    """
    asked = Counter(word for word, _ in set(ledger.decided()))
    for word, times in Counter(acted).items():
        if not asked[word]:
            yield f"{word} was pressed {times} times, 0 are recorded"
        elif times > (asked[word] if word in BELLS.values() else 1):
            yield f"{word} was pressed {times} times, asked for in {asked[word]} requests"


def walked(db):
    """Every run is where its newest step left it, and each step began where the one before ended."""
    wrong, at, steps = [], {}, {}
    for row in db.rows("select seq, run_id, step_n, before, after from workflow_steps order by seq"):
        run_id = row["run_id"]
        if run_id in at and row["before"] != at[run_id]:
            wrong.append(f"{run_id}: record {row['seq']} goes on from {row['before']}, not from {at[run_id]}")
        if row["step_n"] <= steps.get(run_id, -1):
            wrong.append(f"{run_id}: step {row['step_n']} is there twice")
        at[run_id], steps[run_id] = row["after"], row["step_n"]
    for run in runs.live(db):
        if run.state != at.get(run.run_id):
            wrong.append(f"{run.run_id} is in {run.state}, its newest step led to {at.get(run.run_id)}")
        if run.seq < steps.get(run.run_id, 0):
            wrong.append(f"{run.run_id} has taken {run.seq} steps, the ledger has step {steps[run.run_id]}")
    return wrong


def repeats(db, ledger):
    """Nothing that was decided waits in the queue, from where it would be done again."""
    decided = {request_id for kind, request_id, _ in ledger.facts() if kind == "decided"}
    for request in inbox.queued(db):
        if request.request_id in decided:
            yield f"{request.request_id} was decided and is still in the queue"


def kept_checkpoints(db):
    """Return the checkpoints that the database holds: the console shows them."""
    with db.reading() as connection:
        return [notes.parse(c.note.encode()) for c in checkpoints.history(connection)]


def verified(home, checkpoint=None):
    """What an auditor's verifier finds, given the device's key and a checkpoint that left it, if one did."""
    given = NOTHING if checkpoint is None else Given(keys.load(home.root / keys.DEVICE_KEY).public, checkpoint)
    found = verify(home.database, given)
    if found.state != ("consistent-unanchored" if checkpoint is None else "anchored"):
        yield f"audit verify: {found.state}: {found.reason}"


def promises(db, ledger, told):
    """What somebody was told is still so."""
    for request_id in told.kept:
        if inbox.find(db, request_id) is None:
            yield f"{request_id} was said to be received and is gone"
    refused = {facts["sha256"] for kind, _, facts in ledger.facts() if kind == "refused_message"}
    for request_id, digest in told.taken.items():
        if inbox.find(db, request_id) is None and digest not in refused:
            yield f"{request_id} was acknowledged to the broker and is neither kept nor refused"
    recorded = {request_id: facts for kind, request_id, facts in ledger.facts() if kind in FINAL}
    for request_id, status in told.outcomes.items():
        outcome = inbox.outcome(db, request_id)
        if outcome is None or outcome["status"] != status:
            yield f"{request_id} was said to be {status}, the inbox says {outcome and outcome['status']}"
        if request_id not in recorded and not _is_word_of_a_person(db, request_id):
            yield f"{request_id} was said to be {status}, the ledger has no outcome"
    for epoch, records in told.records.items():
        if epoch != ledger.epoch:
            yield f"records of epoch {epoch} have left, the database is of {ledger.epoch}"
        here = {row[0]: row[3] for row in ledger.rows}
        wrong = [seq for seq, body in records.items() if here.get(seq) != body]
        if wrong:
            yield f"records {wrong[:5]} have left and are not here as they were"
    acked = outbox.mark(db, "evt").acked
    waiting = {row["seq"]: row["envelope_id"] for row in db.rows("select seq, envelope_id from outbox")}
    for events in told.events.values():
        for seq, envelope_id in events.items():
            if seq > acked and waiting.get(seq) != envelope_id:
                yield f"event {seq} ({envelope_id}) has left and is not kept, though no controller has it"


def _is_word_of_a_person(db, request_id):
    request = inbox.find(db, request_id)
    return request is not None and request.body.kind in ("confirm", "answer")


def statements(ledger, given, signed):
    """None of the checkpoints in *given* contradicts the ledger, and the last signed state is not behind one."""
    if signed is not None and signed.epoch != ledger.epoch:
        yield f"the last signed state is of epoch {signed.epoch}, the database of {ledger.epoch}"
    given_out = [notes.parse_checkpoint(note.text) for note in given]
    sizes = [(c.size, c.root.hex(), "a checkpoint") for c in given_out]
    if signed is not None:
        sizes.append((signed.size, signed.root, "the last signed state"))
    for size, root, whose in sizes:
        if size > ledger.size:
            yield f"{whose} has {size} records, the database {ledger.size}"
        elif ledger.root(size) not in (root, None):
            yield f"{whose} has another root over {size} records than the database"
    newest = max((c.size for c in given_out), default=0)
    if newest > (signed.size if signed is not None else 0):
        yield f"a checkpoint of {newest} records was given out, the last signed state knows {signed and signed.size}"


def identity(home, ledger, told):
    """Every key that has signed something is in the ledger, and the newest one is here, or about to be put here."""
    named = [facts["key_id"] for kind, _, facts in ledger.facts() if kind in ("epoch", "key_rotated")]
    if not named:
        return
    if told.keys - set(named):
        yield f"the device signed as {sorted(told.keys)}, its ledger knows {named}"
    here = {
        keys.load(path).key_id for path in (home.root / keys.DEVICE_KEY, home.root / rotation.NEXT_KEY) if path.exists()
    }
    if named[-1] not in here:
        yield f"the device's key is {named[-1]}, here are {sorted(here)}"


def keeping(ledger, told):
    """What was said to be pruned is, what is under a hold is here."""
    if len(ledger.gone) < told.pruned_n:
        yield f"{told.pruned_n} segments were said to be pruned, the ledger says {len(ledger.gone)}"
    here = {row[0] for row in ledger.rows}
    for first, last in told.held.values():
        if gone := [seq for seq in range(first, last + 1) if seq not in here]:
            yield f"records {gone[:5]} are under a hold and gone"


def readable(home):
    """Return every byte that somebody finds in the device's folder."""
    return b"".join(path.read_bytes() for path in sorted(home.root.rglob("*")) if path.is_file())


def erased(home, told):
    """Words whose erasure was answered can be read nowhere in the device's folder; the database is closed."""
    found = readable(home)
    for request_id in told.erased:
        if words_of(request_id).encode() in found:
            yield f"what was said in {request_id} was erased and can be read again"


def words_of(request_id):
    """Return the words of a request that is going to be erased."""
    return f"zebedee {request_id} zebedee"


def latch(home, told):
    """A stop that was confirmed lasts; one that was released does not come back."""
    if told.is_latched is not None and told.is_latched != home.latch.exists():
        yield f"the stop was {'confirmed' if told.is_latched else 'released'}, the latch says otherwise"
