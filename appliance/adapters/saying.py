"""What a second model may be and what it may say: calls, or nothing; in a thread of its own, never waited for long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import ToolSpec

Why = Literal["timeout", "unreachable", "refused", "malformed", "fault"]


class Word(NamedTuple):
    """What it proposes, unchecked."""

    calls: tuple[ToolCall, ...]
    sent_sha256: str = ""
    """Of everything that left the device for it."""


class Silent(Exception):
    """It said nothing that can be read; a normal day. The reason is recorded: words of ours, no path, no address."""

    def __init__(self, why: Why, reason: str, sent_sha256: str = "") -> None:
        super().__init__(reason)
        self.why: Why = why
        self.sent_sha256 = sent_sha256


class Proposer(Protocol):
    """A model that is asked where the device's own does not know."""

    @property
    def kind(self) -> str:
        """Return of which kind it is: `server`, `needle`."""

    @property
    def name(self) -> str:
        """Return which model it is."""

    @property
    def where_sha256(self) -> str:
        """Return the hash of where it is asked, or of its weights."""

    def lacks(self) -> str:
        """Return what keeps it from being asked at all; empty where nothing does. Asks nobody."""

    def ask(self, text: str, tools: Sequence[ToolSpec]) -> Word:
        """Say what *text* wants of *tools*.

        Raises:
            Silent: there is no answer; says why.
        """


class Question:
    """One question under way. A model that never comes back costs a thread, and nobody's time."""

    def __init__(
        self, proposer: Proposer, text: str, tools: Sequence[ToolSpec], then: Callable[[], None] = lambda: None
    ) -> None:
        self._then = then
        self._said: Word | Silent | None = None
        self._thread = threading.Thread(target=self._ask, args=(proposer, text, tools), name="second", daemon=True)

    def start(self) -> Question:
        """Begin."""
        self._thread.start()
        return self

    @property
    def said(self) -> Word | Silent | None:
        """What it said; None while it has said nothing."""
        return self._said

    @property
    def is_over(self) -> bool:
        """Whether its thread has come to its end."""
        return not self._thread.is_alive()

    def wait(self, timeout_s: float) -> Word | Silent:
        """Wait for it, for so long at most."""
        self._thread.join(timeout_s)
        return self._said or Silent("timeout", f"nothing within {timeout_s:g} s")

    def _ask(self, proposer: Proposer, text: str, tools: Sequence[ToolSpec]) -> None:
        try:
            self._said = proposer.ask(text, tools)
        except Silent as silent:
            self._said = silent
        except BaseException as error:  # noqa: BLE001 -- a panic of native code is one too, and must end no more than this
            self._said = Silent("fault", type(error).__name__)
        self._then()
