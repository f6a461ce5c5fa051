"""Whatever is set fires exactly once, for any interleaving of due, power cut, restart and a clock that is set."""

import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.agent import scheduler
from appliance.contracts.audit import Moment
from appliance.contracts.toolcall import ToolCall
from appliance.storage import database, inbox, schedules
from appliance.storage.schedules import ScheduledKind, Weekly

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
SAY = ToolCall(tool="announce", literals={"text": "Tea."})
ACT = ToolCall(tool="turn_light_on", literals={"room": "hall"})


class FiresExactlyOnce(RuleBasedStateMachine):
    """Set, wait, look, cut the power between any two statements, in any order."""

    @initialize()
    def boot(self):
        self.folder = tempfile.TemporaryDirectory()
        self.generation = 0
        self.db = database.open_database(Path(self.folder.name) / "0" / "a.db").db
        self.at, self.monotonic_s, self.starts = BEGIN, 100.0, 1
        self.once, self.weekly = {}, {}

    def teardown(self):
        if hasattr(self, "db"):
            self.db.close()
            self.folder.cleanup()

    def moment(self):
        return Moment(at=self.at, monotonic_s=self.monotonic_s, boot=self.starts, clock="trusted")

    @rule(seconds=st.integers(1, 4000))
    def set_countdown(self, seconds):
        number = schedules.add_countdown(self.db, "tea", SAY, seconds, self.moment())
        self.once[number] = ScheduledKind.COUNTDOWN

    @rule(seconds=st.integers(1, 400_000))
    def set_reminder(self, seconds):
        number = schedules.add_reminder(self.db, "tea", SAY, self.at + timedelta(seconds=seconds))
        self.once[number] = ScheduledKind.REMINDER

    @rule(days=st.sets(st.integers(0, 6), min_size=1), hour=st.integers(0, 23))
    def set_weekly(self, days, hour):
        weekly = Weekly(at=time(hour), days=tuple(sorted(days)), timezone="UTC")
        number = schedules.add_weekly(self.db, "hall", ACT, weekly, self.moment())
        self.weekly[number] = (weekly, self.at)

    @rule(seconds=st.one_of(st.integers(1, 600), st.integers(600, 400_000)))
    def time_passes(self, seconds):
        self.at += timedelta(seconds=seconds)
        self.monotonic_s += seconds

    @rule(days=st.integers(1, 30))
    def wall_clock_is_set_forward(self, days):
        self.at += timedelta(days=days)

    @rule()
    def look(self):
        scheduler.due(self.db, self)

    @precondition(lambda self: self.once or self.weekly)
    @rule(statement=st.integers(1, 15))
    def look_and_the_power_goes(self, statement):
        """Keep the files as they lie at the n-th statement, and start again from those."""
        self.generation += 1
        image = Path(self.folder.name) / str(self.generation)
        image.mkdir()
        seen = 0

        def cut(_sql):
            nonlocal seen
            seen += 1
            if seen == statement:
                for file in self.db.path.parent.glob("a.db*"):
                    if not file.name.endswith("-shm"):  # shared memory does not survive
                        shutil.copy(file, image / file.name)

        self.db.connection.set_trace_callback(cut)
        scheduler.due(self.db, self)
        self.db.connection.set_trace_callback(None)
        if seen >= statement:
            self.db.close()
            self.db = database.open_database(image / "a.db").db
        self.starts += 1
        self.monotonic_s = 3.0

    @invariant()
    def each_one_waits_or_has_fired_but_never_both(self):
        if not hasattr(self, "db"):
            return
        waiting = {row.schedule_id: row for row in schedules.waiting(self.db)}
        fired = self.fired()
        for number in self.once:
            assert (number in waiting) + len(fired.get(number, [])) == 1
        for number, (weekly, since) in self.weekly.items():
            row = waiting[number]
            acted = [r for r in fired.get(number, []) if r.body.call == ACT]
            missed = sum(_missed(r) for r in fired.get(number, []) if r.body.call != ACT)
            assert len(acted) + missed == _occurrences(weekly, since, row.due_at)
            assert all(r.received_at >= BEGIN for r in acted)

    def fired(self):
        found = {}
        for row in self.db.rows("select request_id from inbox"):
            request = inbox.find(self.db, row["request_id"])
            found.setdefault(int(request.origin.peer.removeprefix("schedule:")), []).append(request)
        return found


def _missed(request):
    words = request.body.call.literals["text"].split()
    return 1 if words[1] == "once," else int(words[1])


def _occurrences(weekly, since, until):
    """Count by walking the calendar: the schedule's own arithmetic is what is under test."""
    day, found = since.date(), 0
    while day <= until.date():
        instant = datetime.combine(day, weekly.at, tzinfo=UTC)
        found += day.weekday() in weekly.days and since < instant < until
        day += timedelta(days=1)
    return found


TestFiresExactlyOnce = FiresExactlyOnce.TestCase
TestFiresExactlyOnce.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)

VICTIM = """
import os, signal, sys
from datetime import datetime, timedelta
from pathlib import Path
from appliance.agent import scheduler
from appliance.contracts.audit import Moment
from appliance.storage import database

db = database.open_database(Path(sys.argv[1])).db
at = datetime.fromisoformat(sys.argv[2])
seen = 0

def cut(sql):
    global seen
    seen += 1
    if seen == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

class Clock:
    def moment(self):
        return Moment(at=at, monotonic_s=5.0, boot=2, clock="trusted")

db.connection.set_trace_callback(cut)
scheduler.due(db, Clock())
"""


def test_a_process_killed_between_any_two_statements_fires_each_once(tmp_path):
    path = tmp_path / "a.db"
    db = database.open_database(path).db
    moment = Moment(at=BEGIN, monotonic_s=1.0, boot=1, clock="trusted")
    countdown = schedules.add_countdown(db, "tea", SAY, 60, moment)
    weekly = schedules.add_weekly(
        db, "hall", ACT, Weekly(at=time(12, 2), days=(0, 1, 2, 3, 4, 5, 6), timezone="UTC"), moment
    )
    db.close()

    killed_n, code, statement = 0, None, 0
    while code != 0:
        statement += 1
        at = (BEGIN + timedelta(minutes=3)).isoformat()
        code = subprocess.run([sys.executable, "-c", VICTIM, str(path), at, str(statement)], check=False).returncode
        killed_n += code == -signal.SIGKILL
        db = database.open_database(path).db
        rung = db.rows("select 1 from inbox where request_id like 'countdown-%'")
        assert len(rung) + len(schedules.waiting(db, ScheduledKind.COUNTDOWN)) == 1
        db.close()

    db = database.open_database(path).db
    peers = [inbox.find(db, r["request_id"]).origin.peer for r in db.rows("select request_id from inbox order by seq")]
    assert killed_n >= 5
    assert sorted(peers) == sorted([f"schedule:{countdown}", f"schedule:{weekly}"])
    assert [row.schedule_id for row in schedules.waiting(db)] == [weekly]
    db.close()
