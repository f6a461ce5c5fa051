"""What a person types to the body of a command: one set of options, whichever way it then leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click
from pydantic import TypeAdapter, ValidationError

from appliance.contracts.envelope import (
    MAX_COMMAND_BYTES,
    MAX_LAWS_BYTES,
    AskBody,
    CallBody,
    CommandBody,
    EventBody,
    PingBody,
    StopBody,
    TrustBody,
    UpdateBody,
)
from appliance.errors import UsageError

_BODY: Final[TypeAdapter[CommandBody]] = TypeAdapter(CommandBody)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_F = TypeVar("_F", bound=Callable[..., Any])


class Wish(NamedTuple):
    """What was typed; each option says another kind of command."""

    words: str
    tool: str | None = None
    arguments: str | None = None
    event: str | None = None
    ping: bool = False
    stop_now: bool = False
    trust: Path | None = None
    update: str | None = None
    body: Path | None = None


def options(function: _F) -> _F:
    """Add the options that say which command is wanted; they arrive as the fields of `Wish`."""
    for option in reversed(
        (
            click.option("--call", "tool", help="Call this tool instead of sending words."),
            click.option("--arguments", help="The call's arguments, a JSON object."),
            click.option("--event", help="Say this event to a workflow."),
            click.option("--ping", is_flag=True, help="Only ask whether it is there."),
            click.option("--stop", "stop_now", is_flag=True, help="Emergency stop: outputs safe at once, latched."),
            click.option(
                "--trust", type=_FILE, help="Bring a signed root of trust or revocation list (`appliance trust`)."
            ),
            click.option(
                "--update",
                type=click.Choice(["install", "activate", "rollback"]),
                help="Install a delivery that lies in the device's bundles/incoming, activate a bundle, or go back;"
                " WORDS name it.",
            ),
            click.option(
                "--body",
                type=_FILE,
                help='A command as JSON, e.g. {"kind": "diagnose"}; docs/reference/wire.md lists them.',
            ),
        )
    ):
        function = option(function)
    return function


def body_of(wish: Wish) -> CommandBody:
    """Return the command that is wished for.

    Raises:
        UsageError: none, more than one, or one that cannot be; it says which, where, and what to write.
    """
    text = wish.words
    is_ask = bool(text) and not wish.stop_now and wish.update is None
    said = (is_ask, wish.tool, wish.event, wish.ping, wish.stop_now, wish.trust, wish.update, wish.body)
    if sum(one is not None and one is not False for one in said) != 1:
        text = "WORDS, --call TOOL, --event NAME, --ping, --stop, --trust FILE, --update WHAT, --body FILE"
        raise UsageError(f"say one of: {text}")
    if wish.arguments is not None and wish.tool is None:
        raise UsageError("--arguments are those of a call: say --call TOOL too")
    if wish.body is not None:
        return _made("--body", _BODY.validate_json, _read(wish.body, MAX_LAWS_BYTES, "--body"))
    if wish.trust is not None:
        try:
            document = _read(wish.trust, MAX_COMMAND_BYTES, "--trust").decode()
        except UnicodeDecodeError as error:
            raise UsageError(f"--trust: {wish.trust} is no text; `appliance trust` writes such documents") from error
        return _made("--trust", lambda: TrustBody(document=document))
    if wish.update is not None:
        return _made("--update", lambda: _update(str(wish.update), text))
    if wish.ping:
        return PingBody()
    if wish.stop_now:
        return _made("--stop", lambda: StopBody(reason=text))
    if wish.event is not None:
        return _made("--event", lambda: EventBody(event=str(wish.event)))
    if wish.tool is None:
        return _made("WORDS", lambda: AskBody(text=text))
    given = _object(wish.arguments or "{}")
    return _made("--call", lambda: CallBody(tool=str(wish.tool), arguments=given))


def _update(action: str, name: str) -> UpdateBody:
    match action:
        case "install" if name:
            return UpdateBody(action="install", delivery=name)
        case "activate" if name:
            return UpdateBody(action="activate", bundle=name)
        case "rollback":
            return UpdateBody(action="rollback", bundle=name or None)
        case _:
            what = (
                "file in the device's bundles/incoming" if action == "install" else "bundle: slot, name/version, hash"
            )
            raise UsageError(f"--update {action}: name the {what}")


def _made(option: str, make: Callable[..., CommandBody], *values: bytes) -> CommandBody:
    try:
        return make(*values)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        text = f"{option}: {place + ': ' if place else ''}{fault['msg'][:300]}"
        raise UsageError(f"{text}; docs/reference/wire.md lists the commands and their bounds") from error


def _object(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--arguments: not JSON: {error}") from error
    if not isinstance(given, dict):
        raise UsageError("--arguments: a JSON object is wanted, such as '{\"level\": 30}'")
    return given


def _read(path: Path, most: int, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{option}: {path}: {error.strerror}") from error
    if len(data) > most:
        raise UsageError(f"{option}: {path}: more than {most} bytes")
    return data
