"""What a request came to, for a person or a program, and the exit code that says so."""

from __future__ import annotations

import sys
from typing import Any, Final, NoReturn

import click

from appliance.contracts.local import LocalReply, Outcome
from appliance.contracts.record import Record
from appliance.errors import ApplianceError, StorageError, UsageError
from appliance.terminal import Styled, tell, tell_json
from appliance.transport.local import LocalClient

EXIT: Final = {"done": 0, "waiting": 10, "asked": 10, "refused": 11, "failed": 12, "indeterminate": 13}
"""Exit code by what became of a request."""

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
wait = click.option("--wait", "wait_s", default=30.0, show_default=True, help="Seconds to wait for the outcome.")


def outcome_of(client: LocalClient, request: Record, wait_s: float) -> Outcome:
    """Submit *request* and return what becomes of it within *wait_s*.

    Raises:
        ApplianceError: the daemon could not take it.
    """
    reply = checked(client.request(request, timeout_s=wait_s + 10))
    return Outcome.model_validate(reply.result, strict=False)


def checked(reply: LocalReply) -> LocalReply:
    """Return *reply* if the daemon did what was asked.

    Raises:
        ApplianceError: it did not; the message is the daemon's.
    """
    if not reply.ok:
        kind = {"storage": StorageError, "malformed": UsageError}.get(reply.error or "", ApplianceError)
        raise kind(reply.message or str(reply.error))
    return reply


def finish(outcome: Outcome, *, as_json: bool) -> NoReturn:
    """Tell *outcome* and end with its exit code."""
    if as_json:
        tell_json(outcome)
    else:
        tell_outcome(outcome)
    raise click.exceptions.Exit(EXIT[outcome.status])


_ALLOWED_N: Final = 8
"""Tools that are named as allowed; a house has dozens."""

_MARKS: Final = {
    "done": ("done", "green"),
    "waiting": ("waits for your yes", "yellow"),
    "asked": ("asks", "yellow"),
    "refused": ("not done", "red"),
    "failed": ("failed", "red"),
    "indeterminate": ("in doubt", "magenta"),
}


def tell_outcome(outcome: Outcome) -> None:
    """Say in a few lines what was understood and what came of it."""
    for made in outcome.calls:
        arguments: Any = made.get("arguments") or {}
        shown = ", ".join(f"{k}={v}" for k, v in arguments.items())
        tell(f"  {made['name']}({shown})" + _words_of(outcome.text, made.get("spans")))
    mark, colour = _MARKS[outcome.status]
    said = outcome.question or outcome.reason
    tell(Styled(mark, fg=colour, bold=True), f": {said}" if said else "")
    if outcome.status == "refused":
        _tell_how(outcome)
    if outcome.choices:
        tell("  " + " / ".join(outcome.choices))
    if outcome.approval:
        given = outcome.approval.get("given")
        names = ", ".join(map(str, given)) if isinstance(given, list) and given else "nobody yet"
        tell(f"  approved by: {names}; the next one: appliance workflow approve {outcome.request_id} --as NAME")
    elif outcome.status in ("waiting", "asked") and not sys.stdin.isatty():
        verb = "confirm" if outcome.status == "waiting" else "answer"
        tell(f"  appliance {verb} {outcome.request_id}" + (" TEXT" if verb == "answer" else ""))


def _tell_how(outcome: Outcome) -> None:
    """Say what may be done instead, and how to get to what was wanted."""
    if outcome.remedy:
        tell(f"  {outcome.remedy}")
    if outcome.allowed:
        shown, more = outcome.allowed[:_ALLOWED_N], len(outcome.allowed) - _ALLOWED_N
        tell(f"  allowed now: {', '.join(shown)}" + (f" and {more} more" if more > 0 else ""))
    elif outcome.allows_nothing:
        tell("  allowed now: nothing")


def _words_of(text: str, spans: Any) -> str:
    if not text or not isinstance(spans, dict):
        return ""
    found = [text[start:end] for ranges in spans.values() for start, end in ranges]
    return "   from " + ", ".join(f"“{w}”" for w in dict.fromkeys(found)) if found else ""
