"""`--as NAME` to a name and a PIN: asked for on the terminal without showing it, or read from a program.

Covers: a PIN in the shell's history, among the processes and in the environment: there is no option that takes one.
Does not cover: what the program that writes to `--pin-stdin` does with it.
"""

from __future__ import annotations

import functools
import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import click

from appliance.errors import UsageError
from appliance.terminal import visible

_LINE_CHARS: Final = 200
"""More than any PIN; bounds what is read from a stream that is none."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who asks, and the PIN that shows it; nobody in particular when empty."""

    person: str = ""
    pin: str = field(default="", repr=False)

    def fields(self) -> dict[str, Any]:
        """Return what a request of the local protocol wants of it."""
        return {"person": self.person, "pin": self.pin}


def signed(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options `--as` and `--pin-stdin`, and what comes of them as `by`."""

    @functools.wraps(command)
    def asked(*args: Any, person: str, pin_stdin: bool, **more: Any) -> None:
        command(*args, by=signature(person, from_stdin=pin_stdin), **more)

    option = click.option("--as", "person", default="", metavar="NAME", help="Who you are; your PIN is asked for.")
    return option(pin_stdin(asked))


pin_stdin = click.option("--pin-stdin", is_flag=True, help="Read each PIN as a line of standard input.")


def signature(person: str, *, from_stdin: bool) -> Signature:
    """Return *person* with the PIN.

    Raises:
        UsageError: there is no terminal to ask on, or no line to read.
    """
    if not person:
        return Signature()
    return Signature(person, _line() if from_stdin else _asked(f"PIN of {person}: "))


def new_pin(person: str, *, from_stdin: bool) -> str:
    """Return a new PIN for *person*; on a terminal it is asked for twice.

    Raises:
        UsageError: there is no terminal to ask on, no line to read, or the two differ.
    """
    if from_stdin:
        return _line()
    chosen = _asked(f"New PIN for {person}: ")
    if _asked("The same again: ") != chosen:
        raise UsageError("the two were not the same; nothing was changed")
    return chosen


def _asked(prompt: str) -> str:
    try:
        # `getpass` would read from standard input and show what is typed.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise UsageError("there is no terminal to ask for a PIN on; a program gives it with --pin-stdin") from error
    return _read(getpass.getpass(visible(prompt)))


def _line() -> str:
    line = sys.stdin.readline(_LINE_CHARS)
    if not line:
        raise UsageError("--pin-stdin: standard input has no line with a PIN")
    return _read(line.rstrip("\r\n"))


def _read(pin: str) -> str:
    try:
        pin.encode()
    except UnicodeEncodeError:
        # The reason is left out: it would quote what was typed.
        raise UsageError("a PIN is UTF-8 text") from None
    return pin
