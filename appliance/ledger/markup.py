"""Text to HTML through a tree: what a person said can only ever become text, never markup.

Covers: escaping everywhere (there is no way to put in raw HTML), characters that a page may not hold, and those that
would make text read otherwise than it is written (bidirectional controls).
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element, tostring  # builds and writes; nothing is parsed

Node = Element | str | None

_UNFIT: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""No script, no picture, no font, no frame: nothing is loaded and nothing is sent, whatever the page holds."""


def el(tag: str, *children: Node, **attributes: str) -> Element:
    """Return an element; `class_` stands for the attribute `class`, None among *children* is left out."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): fit(value) for name, value in attributes.items()})
    last: Element | None = None
    for child in children:
        match child:
            case None:
                continue
            case str():
                text = fit(child)
                if last is None:
                    made.text = (made.text or "") + text
                else:
                    last.tail = (last.tail or "") + text
            case Element():
                made.append(child)
                last = child
    return made


def fit(text: str) -> str:
    """Return *text* with what a page may not hold, or what would reorder it, shown as a replacement character."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def page(title: str, style: str, *body: Node) -> bytes:
    """Return a whole document that needs nothing beside it."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("style", style),
    )
    document = el("html", head, el("body", *body), lang="en")
    written: bytes = tostring(document, encoding="utf-8", method="html")
    return b"<!DOCTYPE html>\n" + written + b"\n"
