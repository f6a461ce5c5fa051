"""Carries rollouts on: one look at a rollout is one transaction, and whatever is decided in it is written with it.

    what has come of it -> is anything too bad -> ask the next devices, wait, soak, go to the next ring, or halt

Nothing is sent here. A command that is to leave is a row of `outgoing`, written in the same transaction as the device
that it is for; so a service that dies at any point finds on its return exactly what was decided, and asks nobody twice.

Covers: several services on one database (the rollout's row is the lock), answers that come late, a pause or an end
while commands are on their way (what cannot have left is taken back, the rest is awaited).
Does not cover: a device that is not enrolled any more; it stays unreached.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from appliance.errors import UsageError
from appliance.fleet import rollout_devices, rollout_rows
from appliance.fleet.home import FleetHome
from appliance.fleet.rollout import seconds
from appliance.fleet.rollout_judging import FINE, Figures, Verdict, judge
from appliance.fleet.rollout_rows import Standing
from appliance.fleet.rollout_states import State, after

SERVICE: Final = "the service"


def look(home: FleetHome, rollout: str, now: datetime) -> Standing:
    """Carry *rollout* on by as much as is due, and return how far it is."""
    with home.writing():
        one = rollout_rows.locked(home, rollout, now)
        rollout_devices.take_answers(home, one, now)
        if one.state in (State.ASKING, State.SOAKING):
            one = _judged(home, one, now)
        if one.state is State.ASKING:
            rollout_devices.ask(home, one, now)
        elif one.state is State.RETURNING:
            came = rollout_devices.send_back(home, one, now)
            one = one if came is None else _go(home, one, "arrive", reason=came, now=now)
    return one


def say(home: FleetHome, rollout: str, trigger: str, *, who: str, reason: str, now: datetime) -> Standing:
    """Let a person's word count: `pause`, `resume`, `abort`, or `go_back`, which is an abort with return.

    Raises:
        UsageError: there is no such way from where the rollout is.
    """
    with home.writing():
        one = rollout_rows.locked(home, rollout, now)
        if trigger == "go_back" and not one.declared.returns:
            raise UsageError(f"{rollout}: its file does not say how a device takes it back; abort it without --return")
        if after(one.state, trigger) is None:
            raise UsageError(f"{rollout} is {one.state}; there is no way to {trigger.replace('_', ' ')} from there")
        rollout_devices.take_answers(home, one, now)
        if trigger != "resume":
            rollout_devices.take_back(home, rollout)
        return _go(home, one, trigger, who=who, reason=reason, now=now)


def excuse(home: FleetHome, rollout: str, *, who: str, reason: str, now: datetime) -> Standing:
    """Let a halted or paused rollout go on, and judge the ring that it is in, and those before, no more.

    Raises:
        UsageError: it is neither.
    """
    with home.writing():
        one = rollout_rows.locked(home, rollout, now)
        if after(one.state, "resume") is None:
            raise UsageError(f"{rollout} is {one.state}; only what is halted or paused goes on in spite of its figures")
        rollout_rows.move(home, rollout, one.state, one.ring, one.soak_at, one.ring)
        return _go(home, one._replace(excused=one.ring), "resume", who=who, reason=reason, now=now)


def _judged(home: FleetHome, one: Standing, now: datetime) -> Standing:
    """Halt where a ring is too bad; else go from asking to soaking, and on from there, when it is time."""
    for ring in range(one.excused + 1, one.ring):
        found = rollout_rows.figures(home, one.rollout, ring, now)
        verdict = judge(found, one.declared.expected(ring), soaked=False)
        if verdict.means == "too bad":
            return _halt(home, one, ring, verdict.reason, found, now)
    found = rollout_rows.figures(home, one.rollout, one.ring, now)
    if one.state is State.ASKING and found.ended:
        soak_at = one.soak_at or now
        over = "" if seconds(one.declared.rings[one.ring].soak) else ", without a soak"
        reason = f"every device of ring {one.name} has ended{over}"
        one = _go(home, one._replace(soak_at=soak_at), "settle", reason=reason, now=now, figures=found)
    soaked_s = None if one.soak_at is None else (now - one.soak_at).total_seconds()
    soaked = one.state is State.SOAKING and soaked_s is not None
    soaked = soaked and soaked_s is not None and soaked_s >= seconds(one.declared.rings[one.ring].soak)
    if one.ring > one.excused:
        expect = one.declared.expected(one.ring)
        verdict = judge(found, expect, soaked=soaked)
        if soaked and verdict.means == "fine":
            verdict = _counted(home, one, now)
        if verdict.means == "too bad":
            return _halt(home, one, one.ring, verdict.reason, found, now)
        if verdict.means == "too little":
            limit_s = seconds(one.declared.rings[one.ring].soak) + seconds(expect.patience)
            if soaked_s is not None and soaked_s >= limit_s:
                return _halt(home, one, one.ring, verdict.reason, found, now)
            return one
    return _onward(home, one, found, now) if soaked else one


def _counted(home: FleetHome, one: Standing, now: datetime) -> Verdict:
    """Say whether all is added up that the devices had sent when the soak was over: else it is judged by a part."""
    over = (one.soak_at or now) + timedelta(seconds=seconds(one.declared.rings[one.ring].soak))
    uncounted_n = rollout_rows.uncounted(home, one.rollout, one.ring, over)
    if not uncounted_n:
        return FINE
    return Verdict("too little", f"what {uncounted_n} devices have sent is not added up yet")


def _onward(home: FleetHome, one: Standing, found: Figures, now: datetime) -> Standing:
    soaked = f"{one.name} has soaked for {one.declared.rings[one.ring].soak}"
    if one.ring + 1 == len(one.declared.rings):
        return _go(home, one, "complete", reason=f"ring {soaked}, and it is the last", now=now, figures=found)
    following = one._replace(ring=one.ring + 1, soak_at=None)
    return _go(home, following, "advance", reason=f"ring {soaked}; on to {following.name}", now=now, figures=found)


def _halt(home: FleetHome, one: Standing, ring: int, reason: str, found: Figures, now: datetime) -> Standing:
    rollout_devices.take_back(home, one.rollout)
    told = f"ring {one.declared.rings[ring].name}: {reason}"
    one = _go(home, one, "halt", reason=told, now=now, figures=found)
    if one.declared.return_when_halted:
        one = _go(home, one, "go_back", reason="its file says so: return_when_halted", now=now)
    return one


def _go(
    home: FleetHome,
    one: Standing,
    trigger: str,
    *,
    reason: str,
    now: datetime,
    who: str = SERVICE,
    figures: Figures | None = None,
) -> Standing:
    state = after(one.state, trigger)
    assert state is not None, f"no arrow {trigger} from {one.state}"
    rollout_rows.move(home, one.rollout, state, one.ring, one.soak_at, one.excused)
    rollout_rows.decided(home, one.rollout, trigger, state, one.ring, who=who, reason=reason, now=now, figures=figures)
    return one._replace(state=state)
