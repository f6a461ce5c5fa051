"""An archive of an earlier epoch: whole where a backup was brought back, and honest about what a damaged file lost."""

import json
from datetime import UTC, datetime

import pytest

from appliance.contracts.selection import Selection
from appliance.errors import UsageError
from appliance.ledger import archive_check, archive_format
from appliance.ledger import export as exporting
from appliance.storage import audit, checkpoints, past
from appliance.storage.past import Cited

from .conftest import BEGAN
from .test_archive import again, changed_lines, check

EARLIER = "0123456789abcdef"
ALL = Selection(after=0, epoch=EARLIER)


@pytest.fixture
def ended(night):
    """The night went on to 600 records, signed at 256, 512 and 600; then a new epoch began."""
    night.db.connection.execute("pragma synchronous = off")  # quick; nobody cuts the power here
    for size in (256, 512, 600):
        with night.db.atomic():
            while audit.size(night.db.connection) < size:
                night.write("note", facts={"n": 1})
        checkpoints.add(night.db, size, BEGAN, night.checkpoint().decode())
    past.end_epoch(night.db, datetime(2026, 11, 23, tzinfo=UTC), Cited("damaged", None))
    night.write("epoch", facts={"device": "barn", "epoch": "e2", "origin": "edge-agent-appliance/barn/e2"})
    return night


def lose(night, condition):
    """Take records of the earlier epoch away, as a damaged page does."""
    night.db.execute(f"delete from past where epoch = '{EARLIER}' and {condition}")


def lines(done):
    return [json.loads(line) for line in archive_format.unpack(done.data)["records.jsonl"].splitlines()]


def export(night, *selections, **occasion):
    with night.db.reading() as connection:
        given = exporting.Occasion(at=BEGAN, clock_trusted=True, software="0.1.0", **occasion)
        return exporting.export(connection, selections or [ALL], None, night.key, given)


def test_an_epoch_that_ended_whole_is_proven_whole(ended):
    done = export(ended)

    found = check(ended, done.data)

    assert (found.state, found.records_n, found.unproven_n, found.size) == ("verified", 600, 0, 600)
    assert (done.manifest.epoch, done.manifest.origin) == (EARLIER, ended.origin)


def test_a_request_of_an_earlier_epoch_brings_what_explains_it(ended):
    done = export(ended, Selection(request_id="r1", epoch=EARLIER), with_words=True)

    assert [line["seq"] for line in lines(done)] == [1, 2, 3, 4, 5, 6, 7]
    assert check(ended, done.data).state == "verified"
    assert b"unlock the front door" in done.data


def test_a_time_of_an_earlier_epoch_can_be_asked_for(ended):
    done = export(ended, Selection(since=BEGAN, until=BEGAN.replace(minute=14), epoch=EARLIER))

    assert [line["seq"] for line in lines(done) if line["asked"]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("lost", "roots_lost", "size", "proven"),
    [
        ("seq between 300 and 310", "n < 0", 600, {*range(1, 257), *range(513, 601)}),
        ("seq between 300 and 310 or seq > 550", "n < 0", 512, set(range(1, 257))),
        ("seq between 300 and 310", "n = 1", 256, set(range(1, 257))),
        ("seq between 10 and 12", "n = 0", 0, set()),
    ],
    ids=["a hole", "a hole and the end", "a hole and the root over it", "everything that joins"],
)
def test_of_a_damaged_epoch_what_can_be_joined_is_proven_and_the_rest_is_marked(ended, lost, roots_lost, size, proven):
    lose(ended, f"({lost})")
    ended.db.execute(f"delete from tree where epoch = '{EARLIER}' and {roots_lost}")
    left = {row["seq"] for row in ended.db.rows("select seq from past where epoch = ?", (EARLIER,))}

    done = export(ended)
    found = check(ended, done.data)

    assert (found.state, found.faults, found.size) == ("partial", (), size)
    assert (found.records_n, found.unproven_n) == (len(left), len(left - proven))
    assert {line["seq"] for line in lines(done) if "leaf" not in line} == proven
    assert ("checkpoint.note" in archive_format.unpack(done.data)) == (size > 0)
    assert b"have no proof" in done.data


def test_what_has_no_proof_is_left_out_where_that_is_wished(ended):
    lose(ended, "seq between 300 and 310")

    done = export(ended, proven_only=True)

    assert (check(ended, done.data).state, done.manifest.records_n, done.manifest.unproven_n) == ("verified", 344, 0)
    with pytest.raises(UsageError, match="none of these records can be proven"):
        export(ended, Selection(after=320, before=330, epoch=EARLIER), proven_only=True)


def test_without_its_first_record_an_epoch_still_has_its_name(ended):
    lose(ended, "seq < 20")
    ended.db.execute("delete from checkpoints")

    done = export(ended)

    assert done.manifest.origin == ended.origin
    assert check(ended, done.data).unproven_n == 581


def test_a_checkpoint_that_only_the_next_epoch_cites_still_proves(ended):
    note = ended.db.row("select note from checkpoints where size = 512")["note"]
    ended.db.execute("delete from checkpoints")
    facts = {"predecessor": {"epoch": EARLIER, "checkpoint": note}}
    ended.db.execute("update audit set body = json_set(body, '$.facts', json(?)) where seq = 1", (json.dumps(facts),))

    found = check(ended, export(ended).data)

    assert (found.state, found.size, found.unproven_n) == ("partial", 512, 88)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda line: line | {"leaf": "0" * 64} if "leaf" in line else line, "its leaf is not its hash"),
        (lambda line: {k: v for k, v in line.items() if k != "leaf"}, "the proof of record"),
        (lambda line: None if line["seq"] == 400 else line, "MANIFEST.json says 589"),
    ],
)
def test_even_whoever_has_the_key_cannot_pass_a_record_without_proof_off_as_another(ended, change, says):
    lose(ended, "seq between 300 and 310")
    parts = archive_format.unpack(export(ended).data)

    spoilt = again(ended, parts | {"records.jsonl": changed_lines(parts["records.jsonl"], change)})

    assert check(ended, spoilt).state == "broken"
    assert says in check(ended, spoilt).faults[0]


def test_a_manifest_that_is_silent_about_what_has_no_proof_is_found(ended):
    lose(ended, "seq between 300 and 310")
    parts = archive_format.unpack(export(ended).data)

    found = check(ended, again(ended, parts, manifest={"unproven_n": 0}))

    assert "245 without proof; MANIFEST.json says 0" in found.faults[0]


def test_a_checkpoint_that_is_taken_out_is_missing(ended):
    parts = archive_format.unpack(export(ended).data)

    found = check(ended, again(ended, {name: data for name, data in parts.items() if name != "checkpoint.note"}))

    assert found == archive_check.ArchiveVerdict(state="broken", faults=("checkpoint.note: missing",))


def test_two_epochs_are_two_archives(ended):
    with pytest.raises(UsageError, match="one epoch at a time"):
        export(ended, ALL, Selection(after=0))
