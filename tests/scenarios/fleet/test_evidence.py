"""An incident fetched from a device over a broker: a whole appliance, the real archive, interruptions."""

import json
import random
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import ExportAuditBody
from appliance.contracts.evidence import ANSWER_PART_BYTES
from appliance.errors import LinkError, UsageError
from appliance.fleet import enrolling
from appliance.fleet.evidence_fetching import Fetching
from appliance.ledger import archive_check

ALL = ExportAuditBody(after=0)
NOTES_N = 300


@pytest.fixture
def lamp(fleet, bench):
    """A device at the broker with a ledger that takes several parts."""
    bench.configure("[uplink]\npoll_s = 0.02\n")
    enrolling.enrol_here(
        fleet.home, bench.home.root, device="lamp", role=Role.OPERATOR, replace=False, now=datetime.now(UTC)
    )
    bench.start()
    for n in range(NOTES_N):
        bench.daemon._keeper.append("note", {"event": "x" * 400, "n": n})
    return bench


@pytest.fixture
def fetch(fleet):
    def go(out, body=ALL, *, patience_s=20.0, on_progress=lambda _had, _of: None):
        fetching = Fetching(
            fleet.home, "lamp", now=fleet.now, chance=random.Random(1), patience_s=patience_s, on_progress=on_progress
        )
        try:
            return fetching.fetch(body, out)
        finally:
            fetching.close()

    return go


def handed_out(bench):
    """The parts that the device's ledger says it gave."""
    found = [json.loads(row.body)["facts"] for row in bench.records if row.kind == "command"]
    return [facts["part"] for facts in found if facts["code"] == "part"]


def verdict(bench, path):
    return archive_check.verify_archive(path, [bench.daemon._custody._public])


def interrupted_after(n):
    seen = []

    def progress(had, _of):
        seen.append(had)
        if len(seen) == n:
            raise KeyboardInterrupt

    return progress


def test_an_incident_comes_whole_over_the_broker_and_proves_itself(fleet, lamp, tmp_path):
    out = tmp_path / "incident.zip"
    words = ["fleet", "evidence", "lamp", "--fleet-home", fleet.home.path, "--after", "0", "--out", out, "--json"]

    result = CliRunner().invoke(cli.group, [str(word) for word in words])

    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["parts"] > 4
    assert told["bytes"] == out.stat().st_size
    assert out.stat().st_mode & 0o777 == 0o600
    assert verdict(lamp, out).state == "verified"
    assert verdict(lamp, out).records_n >= NOTES_N
    assert handed_out(lamp) == list(range(told["parts"]))
    assert list(tmp_path.glob(".incident*")) == []
    kinds = {row["kind"] for row in fleet.home.db.rows("select kind from commands")}
    assert kinds == {"export-audit"}
    assert len(fleet.home.db.rows("select * from answers")) == 1


def test_a_collector_that_hears_the_parts_after_us_accuses_nobody_and_they_do_not_stay(fleet, lamp, fetch, tmp_path):
    fleet.collect()
    told = fetch(tmp_path / "incident.zip").told
    parts = "select correlation from answers where code = 'part'"
    fleet.until(lambda: len(fleet.home.db.rows(parts)) == told.parts)
    assert fleet.home.db.rows("select * from faults") == []
    before = {row["correlation"] for row in fleet.home.db.rows(parts)}
    fleet.home.db.execute("update commands set expires_at = '2026-01-01'")

    again = fetch(tmp_path / "again.zip").told

    assert fleet.home.db.rows(parts) == []
    left = {row["correlation"] for row in fleet.home.db.rows("select correlation from commands")}
    assert len(left) == again.parts + 2, "those that made the two archives stay"
    assert not left & before


def test_what_was_interrupted_goes_on_where_it_was(lamp, fetch, tmp_path):
    out = tmp_path / "incident.zip"
    with pytest.raises(KeyboardInterrupt):
        fetch(out, on_progress=interrupted_after(3))
    assert not out.exists()

    fetched = fetch(out)

    assert fetched.resumed_at == 3 * ANSWER_PART_BYTES
    assert verdict(lamp, out).state == "verified"
    assert {0, 1, 2, fetched.told.parts - 1} <= set(handed_out(lamp))
    assert [handed_out(lamp).count(part) for part in (0, 1, 2)] == [1, 1, 1]


def test_an_archive_that_the_device_gave_up_is_made_again(lamp, fetch, tmp_path):
    out = tmp_path / "incident.zip"
    with pytest.raises(KeyboardInterrupt):
        fetch(out, on_progress=interrupted_after(2))
    for archive in lamp.home.exports.glob("*.zip"):
        archive.unlink()

    assert fetch(out).resumed_at == 0
    assert verdict(lamp, out).state == "verified"
    assert list(tmp_path.glob(".incident*")) == []


def test_a_device_that_goes_in_the_middle_is_waited_for_and_then_named(lamp, fetch, tmp_path):
    out = tmp_path / "incident.zip"
    parts = []

    def progress(had, _of):
        parts.append(had)
        if len(parts) == 2:
            lamp.stop()

    with pytest.raises(LinkError, match="lamp did not answer in 2 s"):
        fetch(out, patience_s=2.0, on_progress=progress)

    assert not out.exists()
    assert len(list(tmp_path.glob(".incident.zip.*.part"))) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (ExportAuditBody(), "422 say_which"),
        (ExportAuditBody(requests=("nobody-has-this",)), "422 say_which"),
        (ExportAuditBody(fetch="0" * 64), "404 no_archive"),
    ],
)
def test_what_the_device_does_not_export_is_said_in_its_words(lamp, fetch, tmp_path, body, why):
    with pytest.raises(UsageError, match=why):
        fetch(tmp_path / "incident.zip", body)

    assert list(tmp_path.glob("*incident*")) == []


def test_a_file_that_is_there_is_not_written_over_and_a_stranger_is_not_asked(fleet, lamp, fetch, tmp_path):
    out = tmp_path / "incident.zip"
    out.write_bytes(b"mine")

    with pytest.raises(UsageError, match="there already"):
        fetch(out)
    with pytest.raises(UsageError, match="no device 'fan'"):
        Fetching(fleet.home, "fan", now=fleet.now, chance=random.Random(1), patience_s=1.0)

    assert out.read_bytes() == b"mine"
