r"""The one way to a terminal: what people, devices and files say is shown there and never obeyed by it.

Covers: control characters (a record that clears the screen, renames the window or fills the clipboard), C1, text that
runs backwards or is hidden (bidirectional and other format characters), separators that begin a line of their own; in
JSON the same, written as JSON writes them. Does not cover: letters that look like others; what a file that is written
holds.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any, Final, NamedTuple

import click
from pydantic import BaseModel

_JOINERS: Final = "\u200c\u200d"
"""Of the format characters, those that Persian and families of emoji are written with; they move and hide nothing."""

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Styled(NamedTuple):
    """Text in a colour of ours; the text itself may be anybody's."""

    text: str
    fg: str | None = None
    bold: bool | None = None
    dim: bool | None = None


def visible(text: str, *, lines: bool = False) -> str:
    r"""Write *text* so that a terminal shows all of it and obeys none of it.

    Args:
        lines: the ends of lines are ours and stay.

    >>> visible("caf\u00e9 \x1b[2J\u202e")
    'caf\u00e9 \\x1b[2J\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(c if c == "\n" and lines else _shown(c) for c in text)


def tell(*parts: str | Styled, err: bool = False, nl: bool = True, lines: bool = False) -> None:
    """Print *parts*, one behind the other, as one line; see `visible` for *lines*."""
    click.echo("".join(_part(part, lines=lines) for part in parts), err=err, nl=nl)


def tell_json(value: Any) -> None:
    """Print *value* as a line of JSON that a person may look at, too."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    click.echo(escaped_json(json.dumps(plain, ensure_ascii=False)))


def escaped_json(text: str) -> str:
    r"""Return the JSON *text* with everything that a terminal could obey in JSON's own escapes.

    >>> escaped_json('{"a": "\u202e\x9b"}')
    '{"a": "\\u202e\\u009b"}'
    """
    return text if text.isprintable() else "".join(c if _is_safe(c) else json.dumps(c)[1:-1] for c in _deleted(text))


def _part(part: str | Styled, *, lines: bool) -> str:
    if isinstance(part, Styled):
        return click.style(visible(part.text, lines=lines), fg=part.fg, bold=part.bold, dim=part.dim)
    return visible(part, lines=lines)


def _deleted(text: str) -> str:
    """JSON needs no escape for DEL and Python writes none; the terminal gets one."""
    return text.replace("\x7f", "\\u007f")


def _shown(c: str) -> str:
    # The escapes of Python, which more people know than any other: \x1b, \u202e.
    return c if _is_safe(c) else c.encode("unicode_escape").decode("ascii")


def _is_safe(c: str) -> bool:
    return c in _JOINERS or unicodedata.category(c) not in _UNSAFE
