"""What the devices of a rollout are told, and what they answered; each part of its caller's transaction.

Covers: a device of which nothing can be made (it ends there, with what is wrong; the others are told). Does not cover:
a device that is told and does something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from appliance.contracts.envelope import CommandBody
from appliance.errors import UsageError
from appliance.fleet import desired, outgoing, rollout_rows
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.rollout import seconds
from appliance.fleet.rollout_rows import Standing
from appliance.fleet.store import NOT_UNDERSTOOD, Row, storable

ASK_N: Final = 100
"""Devices that are told in one look: as long as nobody has to wait for the database."""

_CODE_CHARS: Final = 64
_TEXT_CHARS: Final = 300
_ENDS: Final = {
    "executed": "done",
    "rejected": "refused",
    "expired": "unreached",
    "failed": "failed",
    "indeterminate": "failed",
}


def ask(home: FleetHome, one: Standing, now: datetime) -> None:
    """Tell the next devices of the present ring."""
    rows = rollout_rows.members(home, one.rollout, "waiting", ring=one.ring, limit=ASK_N)
    wrong = rollout_rows.ailments(home, [row["device"] for row in rows], now) if rows else {}
    for row in rows:
        known = wrong.get(row["device"], "")
        if one.declared.what.configuration is not None:
            tell: Callable[[], None] = partial(_configure, home, one, row, known, now)
        else:
            body = one.declared.what.steps()[int(row["step"])]
            tell = partial(_command, home, one, row, body, "asked", known, now)
        _tell(home, one, row["device"], tell, "unreached", now)


def _tell(home: FleetHome, one: Standing, device: str, tell: Callable[[], None], otherwise: str, now: datetime) -> None:
    """Tell a device; one that cannot be told ends as *otherwise*, and stops nobody else."""
    try:
        with home.writing():
            tell()
    except (UsageError, *NOT_UNDERSTOOD) as error:
        # It is not enrolled any more, or something that it said of itself fits into no command.
        _end(home, one, device, otherwise, "cannot_be_told", str(error), now)


def _configure(home: FleetHome, one: Standing, row: Row, known: str, now: datetime) -> None:
    what = one.declared.what
    assert what.configuration is not None
    before = desired.wanted(home, row["device"])
    version = desired.want(
        home,
        row["device"],
        desired.changed(before, what.configuration),
        now=now,
        because=f"rollout {one.rollout}",
        restart=what.restart,
    )
    home.db.execute(
        "update rollout_members set state = 'asked', version = ?, wanted_before = ?, known = ?, asked_at = ?"
        " where rollout = ? and device = ?",
        [version, json.dumps(before), known, iso(now), one.rollout, row["device"]],
    )


def _command(
    home: FleetHome, one: Standing, row: Row, body: CommandBody, state: str, known: str, now: datetime
) -> None:
    correlation = outgoing.queue(
        home,
        row["device"],
        body,
        now=now,
        expires_s=seconds(one.declared.answer_within),
        because=f"rollout {one.rollout}",
    )
    home.db.execute(
        "update rollout_members set state = ?, correlation = ?, known = ?, asked_at = ?"
        " where rollout = ? and device = ?",
        [state, correlation, known, iso(now), one.rollout, row["device"]],
    )


def take_answers(home: FleetHome, one: Standing, now: datetime) -> None:
    """Note what devices answered, and who has let the time go by."""
    if one.declared.what.configuration is not None:
        _take_reports(home, one, now)
    else:
        _take_finals(home, one, now)
    for row in rollout_rows.late(home, one.rollout, now - timedelta(seconds=seconds(one.declared.answer_within))):
        text = f"no answer within {one.declared.answer_within}"
        state = "unreached" if row["state"] == "asked" else "not returned"
        _end(home, one, row["device"], state, "no_answer", text, now)


def _take_finals(home: FleetHome, one: Standing, now: datetime) -> None:
    marks = ", ".join("?" * len(_ENDS))
    rows = home.db.rows(
        "select m.device, m.state, m.step, a.life, a.code, a.text from rollout_members m join answers a"  # noqa: S608 -- only marks
        " on a.device = m.device and a.correlation = m.correlation where m.rollout = ?"
        # An answer may come late: what was carried out in time counts.
        f" and m.state in ('asked', 'returning', 'unreached', 'not returned') and a.life in ({marks})"
        " order by m.device",
        [one.rollout, *_ENDS],
    )
    for row in rows:
        end = _ENDS[row["life"]]
        if row["state"] in ("returning", "not returned"):
            end = "returned" if end == "done" else "not returned"
        elif row["state"] == "unreached" and end == "done" and int(row["step"]) + 1 < len(one.declared.what.steps()):
            continue  # it did a part of it, when everybody had gone on: it was not reached with the rest
        elif end == "done" and int(row["step"]) + 1 < len(one.declared.what.steps()):
            # The next step is asked like the first one, unless somebody has stopped everything meanwhile.
            home.db.execute(
                "update rollout_members set state = 'waiting', step = step + 1, correlation = null"
                " where rollout = ? and device = ?",
                [one.rollout, row["device"]],
            )
            continue
        if end != row["state"]:
            _end(home, one, row["device"], end, row["code"], row["text"], now)


def _take_reports(home: FleetHome, one: Standing, now: datetime) -> None:
    rows = home.db.rows(
        "select m.device, m.state, m.version, r.version as in_force, r.accepted, r.refused, r.body"
        " from rollout_members m join reported r on r.device = m.device where m.rollout = ?"
        " and m.state in ('asked', 'returning', 'unreached', 'not returned') and m.version is not null"
        " and (r.accepted >= m.version or r.refused >= m.version) order by m.device",
        [one.rollout],
    )
    for row in rows:
        back = row["state"] in ("returning", "not returned")
        if row["refused"] >= row["version"]:
            no = json.loads(row["body"]).get("refused") or {}
            state = "not returned" if back else "refused"
            _end(home, one, row["device"], state, str(no.get("code", "")), str(no.get("text", "")), now)
        elif not one.declared.what.restart or row["in_force"] >= row["version"]:
            _end(home, one, row["device"], "returned" if back else "done", "configured", "", now)


def _end(home: FleetHome, one: Standing, device: str, state: str, code: str, text: str, now: datetime) -> None:
    home.db.execute(
        "update rollout_members set state = ?, code = ?, text = ?, ended_at = ? where rollout = ? and device = ?",
        # Code and text may be the device's own.
        [state, storable(code, _CODE_CHARS), storable(text, _TEXT_CHARS), iso(now), one.rollout, device],
    )


def take_back(home: FleetHome, rollout: str) -> None:
    """Let nothing more leave; a device whose command cannot have left was not told."""
    for row in rollout_rows.members(home, rollout, "asked"):
        if row["correlation"] is not None and outgoing.take_back(home, row["correlation"]):
            home.db.execute(
                "update rollout_members set state = 'waiting', correlation = null where rollout = ? and device = ?",
                [rollout, row["device"]],
            )


def send_back(home: FleetHome, one: Standing, now: datetime) -> str | None:
    """Tell those that did it how it was before; of a configuration, also those of whom it is not known.

    Returns:
        What came of it, once nothing is awaited any more.
    """
    configured = one.declared.what.configuration is not None
    # A wish stands until another takes its place: also those that have not answered to it must be told.
    told = ("done", "asked", "refused", "failed", "unreached") if configured else ("done",)
    rows = rollout_rows.members(home, one.rollout, *told, limit=ASK_N)
    for row in rows:
        if configured:
            tell: Callable[[], None] = partial(_configure_back, home, one, row, now)
        else:
            tell = partial(_command, home, one, row, one.declared.undoing()[0], "returning", row["known"], now)
        _tell(home, one, row["device"], tell, "not returned", now)
    if rows or rollout_rows.members(home, one.rollout, "asked", "returning", limit=1):
        return None
    ended = {state: len(rollout_rows.members(home, one.rollout, state)) for state in ("returned", "not returned")}
    return f"{ended['returned']} devices have taken it back, {ended['not returned']} have not"


def _configure_back(home: FleetHome, one: Standing, row: Row, now: datetime) -> None:
    version = desired.want(
        home,
        row["device"],
        json.loads(row["wanted_before"] or "{}"),
        now=now,
        because=f"rollout {one.rollout}, returned",
        restart=one.declared.what.restart,
    )
    home.db.execute(
        "update rollout_members set state = 'returning', version = ?, asked_at = ? where rollout = ? and device = ?",
        [version, iso(now), one.rollout, row["device"]],
    )
