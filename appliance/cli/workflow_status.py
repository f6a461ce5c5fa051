"""workflow status, history: where the workflows are and how they came there."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from appliance.contracts import steps_plainly
from appliance.contracts.home import Home
from appliance.contracts.local import Status
from appliance.contracts.plainly import plain_name, shown_value
from appliance.contracts.record import JsonObject
from appliance.errors import DaemonUnavailable
from appliance.storage.ownership import owner as running
from appliance.terminal import Styled, tell, tell_json
from appliance.transport.local import LocalClient

if TYPE_CHECKING:
    import sqlite3

    from appliance.ledger.run_history import View

PATH_N: Final = 8
"""Moves that are shown of how a workflow came where it is."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
@click.pass_obj
def status(home: Home, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Show where every workflow is: what it allows, what it waits for, and the way here.

    Where no appliance runs it shows where the runs were left; nothing is started for it.
    """
    try:
        found: Any = LocalClient(home.root).request(Status()).result.get("laws") or {}
    except DaemonUnavailable:
        if running(home) is not None:
            raise
        _left(home, as_json=as_json)
        return
    if as_json:
        tell_json(found)
        return
    if found.get("barred"):
        tell(Styled("nothing acts", fg="red", bold=True), f": {found['barred']}")
    if found.get("maintenance"):
        tell(Styled("locked for maintenance", fg="yellow", bold=True), f": {found['maintenance']}")
    for complaint in found.get("complaints", ()):
        tell(Styled("not in force", fg="yellow"), f": {complaint}")
    if found.get("signed_by"):
        tell(f"set {found['number']}, signed by {found['signed_by']}")
    for one in found.get("workflows", ()):
        _tell_workflow(one)
    if not found.get("workflows"):
        tell("No workflow is in force here; `appliance workflow new` shows templates to begin with.")


@click.command()
@click.option("--workflow", help="Only of this workflow.")
@click.option("--run", "run_id", help="Only of this run.")
@click.option("--after", type=click.IntRange(0), help="Records above this number, the oldest first.")
@click.option("--before", type=click.IntRange(1), help="Records below this number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--denials", "view", flag_value="workflow_denials", help="What workflows said no to.")
@click.option("--approvals", "view", flag_value="workflow_approvals", help="Whom they asked, and who approved.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each.")
@click.pass_obj
def history(
    home: Home,
    workflow: str | None,
    run_id: str | None,
    after: int | None,
    before: int | None,
    limit: int,
    view: str | None,
    as_json: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    """Show what workflows did: every step, its cause, its guards and their values.

    Read from the ledger, without the daemon; the newest when neither --after nor --before is given.
    """
    from appliance.ledger import run_history

    if view is not None and run_id is not None:
        raise click.UsageError("--run is of steps; denials and approvals are asked for by --workflow")
    chosen: View = view or "workflow_steps"  # type: ignore[assignment]  # click gives one of ours
    wanted = run_history.Wanted(workflow, run_id, after, before, limit)
    reader = _reader(home)
    try:
        rows = run_history.page(reader, chosen, wanted)
    finally:
        reader.close()
    for row in rows:
        if as_json:
            tell_json(row)
        else:
            _tell_row(chosen, row)
    if not rows:
        tell("(nothing)", err=True)
    elif len(rows) == limit:
        way = f"--after {rows[-1]['seq']}" if after is not None else f"--before {rows[0]['seq']}"
        tell(f"{limit} of them; more with {way}", err=True)


def _left(home: Home, *, as_json: bool) -> None:
    """Show where the runs were left, from the database."""
    from appliance.ledger import run_history

    reader = _reader(home)
    try:
        runs = [run for run in run_history.runs(reader) if run["ended_at"] is None]
        last = {str(run["run_id"]): _moves(reader, str(run["run_id"])) for run in runs}
    finally:
        reader.close()
    if as_json:
        tell_json({"running": False, "workflows": [{**run, "path": last[str(run["run_id"])]} for run in runs]})
        return
    tell("No appliance runs here, so nothing acts; this is where its workflows were left.")
    for run in runs:
        tell("")
        tell(Styled(str(run["workflow"]), bold=True), f" {run['version']}: ", Styled(str(run["state"]), bold=True))
        _tell_path(last[str(run["run_id"])])
    if not runs:
        tell("No workflow was under way.")


def _moves(reader: sqlite3.Connection, run_id: str) -> list[JsonObject]:
    from appliance.ledger import run_history

    found = run_history.page(reader, "workflow_steps", run_history.Wanted(run_id=run_id, limit=4 * PATH_N))
    moved = [row for row in found if row["kind"] in {"started", "moved", "returned"}]
    return [{name: row[name] for name in ("before", "after", "cause", "at")} for row in moved[-PATH_N:]]


def _reader(home: Home) -> sqlite3.Connection:
    from appliance.storage.database import open_reader

    return open_reader(home.database)


def _tell_workflow(one: Any) -> None:
    tell("")
    interrupted = f" (to return to {one['stack'][-1]})" if one["stack"] else ""
    tell(
        Styled(one["title"], bold=True),
        f" ({one['workflow']} {one['version']}): ",
        Styled(one["state"], bold=True, fg="green" if one["danger"] == "safe" else "yellow"),
        f", since {_time(one['since'])}{interrupted}",
    )
    if one["instructions"]:
        tell(f"  {one['instructions']}")
    if one["due_s"] is not None:
        tell(f"  moves on by itself in {_duration(one['due_s'])}")
    if (pending := one["pending"]) is not None:
        given = ", ".join(pending["given"]) or "nobody yet"
        left = "" if pending["expires_s"] is None else f"; {_duration(pending['expires_s'])} left"
        tell(Styled("  waits for approval", fg="yellow"), f": {pending['question']} Approved by {given}{left}")
        tell(f"    appliance workflow approve {pending['approval_id']} --as NAME")
    for act in one["owed"]:
        tell(f"  owes {plain_name(act['tool'])} {_named(act['arguments'])}".rstrip())
    tell(f"  allows  {', '.join(plain_name(tool) for tool in one['allowed']) or 'nothing'}")
    for event in one["events"]:
        tell(f"  say     appliance workflow say {event['event']}   {event['about']} ({', '.join(event['by'])})")
    _tell_path(one["path"])
    if one["swap"]:
        tell(f"  newer   {one['swap']}")


def _tell_path(path: Any) -> None:
    for move in path:
        came = f"{move['before']} to {move['after']}" if move["before"] else f"begins in {move['after']}"
        tell(f"  {_time(move['at'])}  {came}" + (f" ({move['cause']})" if move["cause"] else ""))


def _tell_row(view: View, row: Any) -> None:
    from appliance.ledger import run_history

    number = Styled(f"#{row['seq']}", bold=True)
    request = f"  [{row['request_id']}]" if row["request_id"] else ""
    match view:
        case "workflow_steps":
            step = run_history.as_step(row)
            tell(number, f" {_time(row['at'])}  {steps_plainly.line(step)}{request}")
            for one in step.weighed:
                tell(f"      {steps_plainly.weighed(one)}")
        case "workflow_denials":
            law = f"{row['workflow']} in {row['state']}" if row["workflow"] else "the laws"
            what = plain_name(row["tool"] or "")
            if row["arguments"]:
                what += f" {_named(row['arguments'])}"
            asked = f"{row['person']} ({row['role']})"
            tell(number, f" {_time(row['at'])}  {law}: no to {what} by {asked}{request}")
            tell(f"      {row['rule']}: {row['reason'] or ''}")
        case "workflow_approvals":
            law = f"{row['workflow']} in {row['state']}" if row["workflow"] else "a call"
            by = f" by {row['person']} ({row['role']})" if row["person"] else ""
            reason = f": {row['reason']}" if row["reason"] else ""
            tell(number, f" {_time(row['at'])}  {law}: {row['said']}{by}{reason}  {row['of'] or ''}{request}")


def _named(arguments: Any) -> str:
    return ", ".join(f"{plain_name(name)} {shown_value(value)}" for name, value in arguments.items())


def _time(at: Any) -> str:
    return f"{datetime.fromisoformat(str(at)).astimezone():%Y-%m-%d %H:%M:%S}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
