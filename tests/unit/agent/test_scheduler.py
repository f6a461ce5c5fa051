"""What is due fires once, on time, and late only where late makes sense."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from appliance.agent import scheduler
from appliance.contracts.audit import Moment
from appliance.contracts.request import OriginKind
from appliance.contracts.toolcall import ToolCall
from appliance.storage import database, inbox, schedules
from appliance.storage.schedules import Weekly

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
SAY = ToolCall(tool="announce", literals={"text": "Tea."})
ACT = ToolCall(tool="turn_light_on", literals={"room": "hall"})
EVERY_DAY_AT_SEVEN = Weekly(at=time(7), days=(0, 1, 2, 3, 4, 5, 6), timezone="UTC")


class HandClock:
    """A clock moved by hand: true time passes, the wall is set, the daemon starts anew."""

    def __init__(self):
        self.at, self.since_start_s, self.boot = NOON, 1000.0, 1

    def passes(self, **span):
        self.at += timedelta(**span)
        self.since_start_s += timedelta(**span).total_seconds()

    def off(self, **span):
        self.at += timedelta(**span)
        self.since_start_s, self.boot = 5.0, self.boot + 1

    def moment(self):
        return Moment(at=self.at, monotonic_s=self.since_start_s, boot=self.boot, clock="untrusted")


class Bench:
    def __init__(self, folder):
        self.clock = HandClock()
        self.db = database.open_database(folder / "a.db").db

    def due(self):
        return scheduler.due(self.db, self.clock)

    def fired(self):
        rows = self.db.rows("select request_id from inbox order by seq")
        return [inbox.find(self.db, row["request_id"]) for row in rows]

    def said(self):
        return [r.body.call.literals.get("text", r.body.call.tool) for r in self.fired()]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.db.close()


def test_a_countdown_fires_when_its_time_is_over_and_not_before(bench):
    schedules.add_countdown(bench.db, "tea", SAY, 600, bench.clock.moment())

    bench.clock.passes(seconds=599)
    assert not bench.due()
    bench.clock.passes(seconds=1)
    assert bench.due()

    assert bench.said() == ["Tea."]
    assert bench.fired()[0].origin.kind is OriginKind.TIMER
    assert not bench.due()
    assert schedules.waiting(bench.db) == []


@pytest.mark.parametrize("jump", [timedelta(days=20_000), timedelta(days=-20_000), timedelta(minutes=-5)])
def test_setting_the_wall_clock_neither_fires_nor_delays_a_countdown(bench, jump):
    schedules.add_countdown(bench.db, "tea", SAY, 600, bench.clock.moment())

    bench.clock.passes(seconds=100)
    bench.clock.at += jump
    assert not bench.due()
    bench.clock.passes(seconds=499)
    assert not bench.due()
    bench.clock.passes(seconds=1)

    assert bench.due()
    assert bench.said() == ["Tea."]


def test_a_countdown_goes_on_across_a_restart_also_after_the_clock_was_set(bench):
    schedules.add_countdown(bench.db, "tea", SAY, 600, bench.clock.moment())
    bench.clock.at += timedelta(days=365)
    bench.clock.passes(seconds=100)
    bench.due()

    bench.clock.off(seconds=60)
    assert not bench.due()
    bench.clock.passes(seconds=439)
    assert not bench.due()
    bench.clock.passes(seconds=1)

    assert bench.due()


def test_a_device_that_wakes_up_in_1970_rings_after_the_countdowns_own_length_at_most(bench):
    schedules.add_countdown(bench.db, "tea", SAY, 600, bench.clock.moment())
    bench.clock.at = datetime(1970, 1, 1, tzinfo=UTC)
    bench.clock.off(seconds=3)

    assert not bench.due()
    bench.clock.passes(seconds=600)

    assert bench.due()


def test_a_countdown_that_ended_while_the_device_was_off_fires_at_once_and_says_so(bench):
    schedules.add_countdown(bench.db, "tea", SAY, 600, bench.clock.moment())
    bench.clock.off(hours=3)

    bench.due()

    assert bench.said() == ["Tea. (3 hours late: the device was off or busy)"]


def test_a_reminder_fires_at_its_time_and_late_if_it_must(bench):
    schedules.add_reminder(bench.db, "tea", SAY, NOON + timedelta(hours=1))
    schedules.add_reminder(bench.db, "bob", SAY, NOON + timedelta(hours=2))

    bench.clock.passes(minutes=59)
    assert not bench.due()
    bench.clock.passes(minutes=1)
    bench.due()
    bench.clock.off(days=4)
    bench.due()

    assert bench.said() == ["Tea.", "Tea. (4 days late: the device was off or busy)"]


def test_a_schedule_acts_every_time_and_goes_on(bench):
    schedules.add_weekly(bench.db, "hall light", ACT, EVERY_DAY_AT_SEVEN, bench.clock.moment())

    for _ in range(24 * 3):
        bench.clock.passes(hours=1)
        bench.due()

    assert bench.said() == ["turn_light_on"] * 3
    assert len({r.request_id for r in bench.fired()}) == 3
    assert schedules.waiting(bench.db)[0].due_at == datetime(2026, 11, 26, 7, tzinfo=UTC)


def test_a_schedule_is_still_performed_within_the_grace(bench):
    schedules.add_weekly(bench.db, "hall light", ACT, EVERY_DAY_AT_SEVEN, bench.clock.moment())
    bench.clock.off(hours=19, minutes=5)

    bench.due()

    assert bench.said() == ["turn_light_on"]


def test_a_schedule_missed_beyond_the_grace_is_told_and_not_performed(bench):
    schedules.add_weekly(bench.db, "hall light", ACT, EVERY_DAY_AT_SEVEN, bench.clock.moment())
    bench.clock.off(hours=19, minutes=5, seconds=1)

    bench.due()

    assert bench.said() == ["Missed once, because the device was off or its clock was set: hall light."]
    bench.clock.passes(hours=23, minutes=55)
    bench.due()
    assert bench.said()[1:] == ["turn_light_on"]


def test_after_days_off_only_the_last_one_is_performed_if_it_is_fresh(bench):
    schedules.add_weekly(bench.db, "hall light", ACT, EVERY_DAY_AT_SEVEN, bench.clock.moment())
    bench.clock.off(days=4, hours=19, minutes=2)

    bench.due()

    assert bench.said() == [
        "turn_light_on", "Missed 4 times, because the device was off or its clock was set: hall light.",
    ]  # fmt: skip


def test_setting_the_clock_back_does_not_repeat_an_act(bench):
    schedules.add_weekly(bench.db, "hall light", ACT, EVERY_DAY_AT_SEVEN, bench.clock.moment())
    bench.clock.passes(hours=19)
    bench.due()

    bench.clock.at -= timedelta(hours=1)
    for _ in range(4):
        bench.clock.passes(minutes=30)
        bench.due()

    assert bench.said() == ["turn_light_on"]


def test_a_storage_fault_leaves_neither_a_request_nor_a_spent_timer(bench):
    schedules.add_countdown(bench.db, "tea", SAY, 600, bench.clock.moment())
    bench.clock.passes(seconds=600)
    bench.db.execute("create trigger broken before delete on schedules begin select raise(abort, 'no'); end")

    with pytest.raises(database.StorageError):
        bench.due()
    assert bench.fired() == []
    bench.db.execute("drop trigger broken")

    assert bench.due()
    assert bench.said() == ["Tea."]


def test_every_date_has_one_occurrence_also_when_the_clocks_change():
    berlin = Weekly(at=time(2, 30), days=(0, 1, 2, 3, 4, 5, 6), timezone="Europe/Berlin")
    instant, dates = datetime(2026, 3, 27, tzinfo=UTC), []

    for _ in range(400):
        instant = berlin.next_after(instant)
        assert berlin.last_until(instant) == instant
        dates.append(instant.astimezone(ZoneInfo("Europe/Berlin")).date())

    assert dates == [dates[0] + timedelta(days=n) for n in range(400)]


def test_occurrences_are_counted_as_they_are_enumerated():
    odd = Weekly(at=time(23, 59), days=(0, 3, 4), timezone="America/New_York")
    first = odd.next_after(NOON)
    last = first

    for n in range(1, 60):
        assert odd.count(first, last) == n
        last = odd.next_after(last)


def test_rows_beyond_the_limit_are_refused(bench):
    for _ in range(schedules.MAX_ROWS_N):
        assert schedules.add_reminder(bench.db, "x", SAY, NOON) is not None

    assert schedules.add_reminder(bench.db, "x", SAY, NOON) is None
