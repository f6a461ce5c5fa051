"""Whoever watches beside a service sees each thing once, in the order in which it came."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.envelope import Batch, Item, Response, State
from appliance.fleet import ingest
from appliance.fleet.attendance import CollectorLock
from appliance.fleet.home import open_home
from appliance.fleet.watching import Watching

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def state(home, word, at, session=1, said_at=None):
    said = State(
        site="site", device="lamp", state=word, boot=1, session=session, nonce="n", time="trusted", epoch="e",
        at=said_at or at,
    )  # fmt: skip
    ingest.store_state(home, said, at)


def test_states_answers_gaps_and_flags_are_told_once(home):
    watching = Watching(home, NOW)
    state(home, "ready", NOW)
    home.db.execute("insert into commands (correlation, device) values (?, 'lamp')", ["0" * 32])
    answer = Response(device="lamp", correlation="0" * 32, life="executed", status=200, code="pong", at=NOW)
    ingest.store_answer(home, answer, NOW)
    item = Item(seq=4, id="i", kind="turn", at=NOW, body={})
    batch = Batch(device="lamp", epoch="e", stream="evt", after=3, floor=3, items=(item,))
    ingest.store_batch(home, batch, NOW + timedelta(seconds=1))
    ingest.store_fault(home, "lamp", "forked", "two\nhistories", NOW + timedelta(seconds=2))

    found = watching.look()

    assert [(news.what, news.text) for news in found] == [
        ("state", "ready (boot 1, connection 1)"), ("answer", "command executed 200 pong: "),
        ("gap", "3 records of evt are lost, 1 to 3"), ("flag", "forked: two\nhistories (1 times)"),
    ]  # fmt: skip
    assert watching.look() == []


def test_what_comes_later_with_the_same_moment_is_told_too(home):
    watching = Watching(home, NOW)
    state(home, "ready", NOW)
    assert len(watching.look()) == 1

    state(home, "disconnected", NOW, said_at=NOW + timedelta(seconds=1))

    assert [news.text.split()[0] for news in watching.look()] == ["disconnected"]


@pytest.mark.timeout(60)
def test_the_command_shows_what_a_service_collects_while_it_runs(tmp_path, home):
    lock = CollectorLock(home.path)
    lock.take()

    def collect():
        with_own = open_home(home.path)
        state(with_own, "ready", datetime.now(UTC))
        with_own.close()

    timer = threading.Timer(1.0, collect)
    timer.start()
    try:
        shown = CliRunner().invoke(
            cli.group, ["fleet", "watch", "--fleet-home", str(home.path), "--json", "--for", "8"]
        )
    finally:
        timer.join()
        lock.release()

    assert shown.exit_code == 0, shown.output
    assert [json.loads(line)["what"] for line in shown.output.splitlines()] == ["state"]
