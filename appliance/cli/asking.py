"""say, call, confirm, answer, undo, resolve: what an operator does."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

import click

from appliance.cli import background
from appliance.cli.outcomes import as_json, checked, finish, outcome_of, tell_outcome, wait
from appliance.cli.signing import Signature, signed
from appliance.contracts.home import Home
from appliance.contracts.local import CallTool, Outcome, Reply, RequestStatus, Resolve, Say, UndoLast
from appliance.contracts.record import Record
from appliance.contracts.request import MAX_TEXT_CHARS
from appliance.errors import ApplianceError, UsageError
from appliance.terminal import tell, tell_json
from appliance.transport.local import LocalClient


@click.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Confirm beforehand: do not ask me again.")
@click.option("--id", "request_id", help="Your own id: the same id twice acts once and gives the same answer.")
@signed
@wait
@as_json
@click.pass_obj
def say(
    home: Home,
    text: tuple[str, ...],
    yes: bool,  # noqa: FBT001 -- click passes flags
    request_id: str | None,
    by: Signature,
    wait_s: float,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Say what you want in plain words; `-` reads them from standard input.

    On a terminal it asks you for a missing value or a yes; elsewhere it reports and leaves the request waiting.
    """
    try:
        words = _words(text)
        background.ensure(home)
        client = LocalClient(home.root)
        request = Say(text=words, yes=yes, request_id=request_id, wait_s=wait_s, **by.fields())
        outcome = outcome_of(client, request, wait_s)
    except ApplianceError as error:
        if as_json:
            _told_as_json(error)
        raise
    while not as_json and sys.stdin.isatty() and sys.stdout.isatty() and outcome.status in ("waiting", "asked"):
        if outcome.code == "in-progress" or outcome.approval:
            break
        tell_outcome(outcome)
        outcome = _converse(client, outcome, wait_s, by)
    finish(outcome, as_json=as_json)


@click.command()
@click.argument("tool")
@click.argument("arguments", default="{}")
@click.option("--yes", is_flag=True, help="Confirm beforehand.")
@signed
@wait
@as_json
@click.pass_obj
def call(
    home: Home,
    tool: str,
    arguments: str,
    yes: bool,  # noqa: FBT001 -- click passes flags
    by: Signature,
    wait_s: float,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Call TOOL with ARGUMENTS, a JSON object; no model involved, the same laws."""
    try:
        values = json.loads(arguments)
    except ValueError as error:
        raise UsageError(f'ARGUMENTS is not JSON ({error}); write e.g. \'{{"room": "kitchen"}}\'') from error
    if not isinstance(values, dict):
        raise UsageError('ARGUMENTS must be a JSON object, e.g. \'{"room": "kitchen"}\'')
    request = CallTool(tool=tool, arguments=values, yes=yes, wait_s=wait_s, **by.fields())
    try:
        background.ensure(home)
        outcome = outcome_of(LocalClient(home.root), request, wait_s)
    except ApplianceError as error:
        if as_json:
            _told_as_json(error)
        raise
    finish(outcome, as_json=as_json)


@click.command()
@click.argument("request_id")
@click.option("--no", is_flag=True, help="Decline instead.")
@signed
@wait
@as_json
@click.pass_obj
def confirm(
    home: Home,
    request_id: str,
    no: bool,  # noqa: FBT001 -- click passes flags
    by: Signature,
    wait_s: float,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Say yes (or --no) to a request that waits."""
    request = Reply(op="confirm", request_id=request_id, yes=not no, wait_s=wait_s, **by.fields())
    finish(outcome_of(LocalClient(home.root), request, wait_s), as_json=as_json)


@click.command()
@click.argument("request_id")
@click.argument("text", nargs=-1, required=True)
@signed
@wait
@as_json
@click.pass_obj
def answer(
    home: Home,
    request_id: str,
    text: tuple[str, ...],
    by: Signature,
    wait_s: float,
    as_json: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    """Answer the question of a request that waits."""
    request = Reply(op="answer", request_id=request_id, text=_words(text), wait_s=wait_s, **by.fields())
    finish(outcome_of(LocalClient(home.root), request, wait_s), as_json=as_json)


@click.command()
@signed
@wait
@as_json
@click.pass_obj
def undo(home: Home, by: Signature, wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Take back the last act that can be taken back."""
    background.ensure(home)
    finish(outcome_of(LocalClient(home.root), UndoLast(wait_s=wait_s, **by.fields()), wait_s), as_json=as_json)


@click.command()
@click.argument("request_id")
@click.option("--happened/--did-not-happen", required=True, help="What you found when you looked.")
@click.option("--note", default="", help="A word for the record.")
@signed
@click.pass_obj
def resolve(home: Home, request_id: str, happened: bool, note: str, by: Signature) -> None:  # noqa: FBT001 -- click passes flags
    """Say what became of an act that a power cut left in doubt."""
    request = Resolve(request_id=request_id, happened=happened, note=note, **by.fields())
    tell(checked(LocalClient(home.root).request(request)).message)


def _told_as_json(error: ApplianceError) -> NoReturn:
    """Give a program its one object also when nothing came of the request."""
    status: RequestStatus = "refused" if isinstance(error, UsageError) else "failed"
    outcome = Outcome(request_id="", status=status, reason=str(error), code=type(error).__name__)
    tell_json(outcome)
    raise click.exceptions.Exit(error.exit_code)


def _words(text: tuple[str, ...]) -> str:
    # Read one character more than is allowed, so that 10 MB on standard input cost no memory and get a clear no.
    words = sys.stdin.read(MAX_TEXT_CHARS + 1) if text == ("-",) else " ".join(text)
    if len(words) > MAX_TEXT_CHARS:
        raise UsageError(f"that is more than {MAX_TEXT_CHARS} characters; say it shorter")
    try:
        words.encode()
    except UnicodeEncodeError as error:
        raise UsageError("that is not UTF-8 text; say it in words") from error
    return words


def _converse(client: LocalClient, outcome: Outcome, wait_s: float, by: Signature) -> Outcome:
    """Ask the person at the terminal for what is missing, and pass it on."""
    request: Record
    if outcome.status == "asked":
        text = click.prompt("", prompt_suffix="> ", default="", show_default=False)
        request = Reply(op="answer", request_id=outcome.request_id, text=text or "cancel", wait_s=wait_s, **by.fields())
    else:
        yes = click.confirm("Do it?", default=False)
        request = Reply(op="confirm", request_id=outcome.request_id, yes=yes, wait_s=wait_s, **by.fields())
    return outcome_of(client, request, wait_s)
