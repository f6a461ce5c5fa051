"""The log tells what happened and never what a person said."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import journal

CANARY = "Remind Margarete about the blood test"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level, hook = list(root.handlers), root.level, sys.excepthook
    stream = io.StringIO()
    journal.open_journal(stream)
    yield stream
    root.handlers[:], sys.excepthook = before, hook
    root.setLevel(level)


def lines(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_an_event_is_one_line_with_journalds_fields(log: io.StringIO) -> None:
    journal.Journal().info("a turn settled", request_id="0b9f61d2-11", status="done", latency_ms=12.34567)

    (line,) = lines(log)
    assert line["MESSAGE"] == "a turn settled"
    assert line["PRIORITY"] == 6
    assert line["SYSLOG_IDENTIFIER"] == "appliance"
    assert (line["REQUEST_ID"], line["STATUS"], line["LATENCY_MS"]) == ("0b9f61d2-11", "done", 12.346)


def test_levels_become_syslogs_priorities(log: io.StringIO) -> None:
    ours = journal.Journal()
    for write in (ours.info, ours.warning, ours.error, ours.critical):
        write("something")

    assert [line["PRIORITY"] for line in lines(log)] == [6, 4, 3, 2]


def fail(words: str) -> None:
    raise ValueError(words)


def test_an_exception_is_told_by_type_and_place_and_not_by_its_message(log: io.StringIO) -> None:
    try:
        fail(CANARY)
    except ValueError as error:
        journal.Journal().error("a fault", error=error)

    (line,) = lines(log)
    assert line["ERROR"] == "ValueError"
    assert str(line["PLACES"][-1]).endswith(" fail")  # type: ignore[index]
    assert "Margarete" not in log.getvalue()


@pytest.mark.parametrize("field", [*(key for key in journal.FIELDS if key != "MESSAGE"), "TEXT", "NOTE"])
def test_no_field_takes_a_persons_words(log: io.StringIO, field: str) -> None:
    journal.Journal().info("a turn settled", **{field.lower(): CANARY})

    assert "Margarete" not in log.getvalue()


def test_no_library_and_no_message_passes_a_persons_words(log: io.StringIO) -> None:
    logging.getLogger("paho").warning("publishing %s", CANARY)
    logging.getLogger("transitions.core").error(f"no transition for {CANARY}")  # noqa: G004  # that is the hazard
    logging.getLogger("appliance.agent.uplink").error("could not send %s", CANARY)
    logging.getLogger(CANARY).error("a name")

    assert len(lines(log)) == 4
    assert lines(log)[2]["MESSAGE"] == "could not send %s"
    assert "Margarete" not in log.getvalue()


@given(st.text(), st.dictionaries(st.sampled_from(sorted(journal.FIELDS)), st.text()))
def test_a_line_that_is_read_again_holds_only_what_may_be_told(message: str, fields: dict[str, str]) -> None:
    line = json.dumps({"SYSLOG_IDENTIFIER": "appliance", "MESSAGE": message, "WORDS": message, **fields})

    read = journal.read_line(line) or {}

    assert set(read) <= set(journal.FIELDS)
    assert all(value == journal.WITHHELD or journal._told(key, value) == value for key, value in read.items())


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "[1]", '{"MESSAGE": "x"}', "{" * 9000])
def test_a_line_of_somebody_else_is_not_ours(line: str) -> None:
    assert journal.read_line(line) is None


def test_what_is_written_can_be_read_again(log: io.StringIO) -> None:
    journal.Journal().info("boot", boot=3, version="0.1.0", clock="untrusted")

    assert journal.read_line(log.getvalue()) == lines(log)[0]


def test_an_uncaught_exception_of_the_process_or_a_thread_ends_in_the_journal() -> None:
    code = (
        "import threading\nfrom appliance import journal\njournal.open_journal()\n"
        f"def fail(): raise RuntimeError({CANARY!r})\n"
        "t = threading.Thread(target=fail); t.start(); t.join(); fail()"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    told = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["ERROR"] for line in told] == ["RuntimeError", "RuntimeError"]
    assert "Margarete" not in ran.stderr


def test_under_journald_a_line_begins_with_its_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryFile("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        code = "from appliance import journal; journal.open_journal(); journal.Journal().info('boot', boot=1)"
        subprocess.run([sys.executable, "-c", code], stderr=stream, check=True)
        stream.seek(0)

        line = stream.read()

    assert line.startswith("<6>{")
    assert journal.read_line(line) is not None


def test_a_log_that_cannot_be_written_is_no_fault_of_the_daemon() -> None:
    code = "from appliance import journal; journal.open_journal(); journal.Journal().info('boot'); print('alive')"

    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True, check=False)

    assert ran.stdout == "alive\n"
