"""say, call, confirm, answer, undo, resolve: what an operator does."""

from __future__ import annotations

import json
import sys
from typing import Any, Final, NoReturn

import click

from appliance.cli import background
from appliance.contracts.home import Home
from appliance.contracts.local import CallTool, LocalReply, Outcome, Reply, RequestStatus, Resolve, Say, UndoLast
from appliance.contracts.record import Record
from appliance.contracts.request import MAX_TEXT_CHARS
from appliance.errors import ApplianceError, StorageError, UsageError
from appliance.terminal import Styled, tell, tell_json
from appliance.transport.local import LocalClient

EXIT: Final = {"done": 0, "waiting": 10, "asked": 10, "refused": 11, "failed": 12, "indeterminate": 13}
"""Exit code by what became of a request."""

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
wait = click.option("--wait", "wait_s", default=30.0, show_default=True, help="Seconds to wait for the outcome.")


@click.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Confirm beforehand: do not ask me again.")
@click.option("--id", "request_id", help="Your own id: the same id twice acts once and gives the same answer.")
@wait
@as_json
@click.pass_obj
def say(home: Home, text: tuple[str, ...], yes: bool, request_id: str | None, wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Say what you want in plain words; `-` reads them from standard input.

    On a terminal it asks you for a missing value or a yes; elsewhere it reports and leaves the request waiting.
    """
    try:
        words = _words(text)
        background.ensure(home)
        client = LocalClient(home.root)
        outcome = _outcome(client, Say(text=words, yes=yes, request_id=request_id, wait_s=wait_s), wait_s)
    except ApplianceError as error:
        if as_json:
            _told_as_json(error)
        raise
    while not as_json and sys.stdin.isatty() and sys.stdout.isatty() and outcome.status in ("waiting", "asked"):
        if outcome.code == "in-progress":
            break
        _tell(outcome)
        outcome = _converse(client, outcome, wait_s)
    _finish(outcome, as_json=as_json)


@click.command()
@click.argument("tool")
@click.argument("arguments", default="{}")
@click.option("--yes", is_flag=True, help="Confirm beforehand.")
@wait
@as_json
@click.pass_obj
def call(home: Home, tool: str, arguments: str, yes: bool, wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Call TOOL with ARGUMENTS, a JSON object; no model involved, the same laws."""
    try:
        values = json.loads(arguments)
    except ValueError as error:
        raise UsageError(f'ARGUMENTS is not JSON ({error}); write e.g. \'{{"room": "kitchen"}}\'') from error
    if not isinstance(values, dict):
        raise UsageError('ARGUMENTS must be a JSON object, e.g. \'{"room": "kitchen"}\'')
    request = CallTool(tool=tool, arguments=values, yes=yes, wait_s=wait_s)
    try:
        background.ensure(home)
        outcome = _outcome(LocalClient(home.root), request, wait_s)
    except ApplianceError as error:
        if as_json:
            _told_as_json(error)
        raise
    _finish(outcome, as_json=as_json)


@click.command()
@click.argument("request_id")
@click.option("--no", is_flag=True, help="Decline instead.")
@wait
@as_json
@click.pass_obj
def confirm(home: Home, request_id: str, no: bool, wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Say yes (or --no) to a request that waits."""
    request = Reply(op="confirm", request_id=request_id, yes=not no, wait_s=wait_s)
    _finish(_outcome(LocalClient(home.root), request, wait_s), as_json=as_json)


@click.command()
@click.argument("request_id")
@click.argument("text", nargs=-1, required=True)
@wait
@as_json
@click.pass_obj
def answer(home: Home, request_id: str, text: tuple[str, ...], wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Answer the question of a request that waits."""
    request = Reply(op="answer", request_id=request_id, text=_words(text), wait_s=wait_s)
    _finish(_outcome(LocalClient(home.root), request, wait_s), as_json=as_json)


@click.command()
@wait
@as_json
@click.pass_obj
def undo(home: Home, wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Take back the last act that can be taken back."""
    background.ensure(home)
    _finish(_outcome(LocalClient(home.root), UndoLast(wait_s=wait_s), wait_s), as_json=as_json)


@click.command()
@click.argument("request_id")
@click.option("--happened/--did-not-happen", required=True, help="What you found when you looked.")
@click.option("--note", default="", help="A word for the record.")
@click.pass_obj
def resolve(home: Home, request_id: str, happened: bool, note: str) -> None:  # noqa: FBT001 -- click passes flags
    """Say what became of an act that a power cut left in doubt."""
    request = Resolve(request_id=request_id, happened=happened, note=note)
    tell(_checked(LocalClient(home.root).request(request)).message)


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


def _converse(client: LocalClient, outcome: Outcome, wait_s: float) -> Outcome:
    """Ask the person at the terminal for what is missing, and pass it on."""
    request: Record
    if outcome.status == "asked":
        text = click.prompt("", prompt_suffix="> ", default="", show_default=False)
        request = Reply(op="answer", request_id=outcome.request_id, text=text or "cancel", wait_s=wait_s)
    else:
        yes = click.confirm("Do it?", default=False)
        request = Reply(op="confirm", request_id=outcome.request_id, yes=yes, wait_s=wait_s)
    return _outcome(client, request, wait_s)


def _outcome(client: LocalClient, request: Record, wait_s: float) -> Outcome:
    reply = _checked(client.request(request, timeout_s=wait_s + 10))
    return Outcome.model_validate(reply.result, strict=False)


def _checked(reply: LocalReply) -> LocalReply:
    if not reply.ok:
        kind = {"storage": StorageError, "malformed": UsageError}.get(reply.error or "", ApplianceError)
        raise kind(reply.message or str(reply.error))
    return reply


def _finish(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        tell_json(outcome)
    else:
        _tell(outcome)
    raise click.exceptions.Exit(EXIT[outcome.status])


_MARKS: Final = {
    "done": ("done", "green"),
    "waiting": ("waits for your yes", "yellow"),
    "asked": ("asks", "yellow"),
    "refused": ("not done", "red"),
    "failed": ("failed", "red"),
    "indeterminate": ("in doubt", "magenta"),
}


def _tell(outcome: Outcome) -> None:
    """Say in a few lines what was understood and what came of it."""
    for made in outcome.calls:
        arguments: Any = made.get("arguments") or {}
        shown = ", ".join(f"{k}={v}" for k, v in arguments.items())
        tell(f"  {made['name']}({shown})" + _words_of(outcome.text, made.get("spans")))
    mark, colour = _MARKS[outcome.status]
    said = outcome.question or outcome.reason
    tell(Styled(mark, fg=colour, bold=True), f": {said}" if said else "")
    if outcome.choices:
        tell("  " + " / ".join(outcome.choices))
    if outcome.status in ("waiting", "asked") and not sys.stdin.isatty():
        verb = "confirm" if outcome.status == "waiting" else "answer"
        tell(f"  appliance {verb} {outcome.request_id}" + (" TEXT" if verb == "answer" else ""))


def _words_of(text: str, spans: Any) -> str:
    if not text or not isinstance(spans, dict):
        return ""
    found = [text[start:end] for ranges in spans.values() for start, end in ranges]
    return "   from " + ", ".join(f"“{w}”" for w in dict.fromkeys(found)) if found else ""
