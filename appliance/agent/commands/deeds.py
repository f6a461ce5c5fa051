"""What comes of a command that is no request, and the form of whoever carries one out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from appliance.contracts.bundle import Accepted, NotAdmitted
from appliance.contracts.envelope import Command, LifeCycle, TrustBody
from appliance.contracts.record import JsonObject


class Done(NamedTuple):
    """An end, as the controller is told it."""

    life: LifeCycle
    status: int
    code: str
    text: str
    result: JsonObject = {}  # noqa: RUF012 -- the default of a tuple's field, never written to
    facts: JsonObject = {}  # noqa: RUF012 -- the same
    """What the ledger says of it beside that."""


class Doer(Protocol):
    """Carries out one kind of command; a second time with the same command is as once."""

    def __call__(self, command: Command) -> Done:
        """Do it.

        Raises:
            ApplianceError: it could not be done; the command has failed.
        """


def no(status: int, code: str, text: str) -> Done:
    """Return a refusal."""
    return Done("rejected", status, code, text)


def trusting(accept: TrustAccepting) -> Doer:
    """Return what takes documents of trust by *accept*; their own signatures say whether they count."""

    def take(command: Command) -> Done:
        assert isinstance(command.body, TrustBody)
        answer = accept(command.body.document.encode(), command.issuer)
        if isinstance(answer, NotAdmitted):
            return no(409, answer.code, answer.reason)
        return Done("executed", 200, "accepted", f"{answer.kind} {answer.number} is in force.")

    return take


class TrustAccepting(Protocol):
    """Takes a document of trust from an issuer."""

    def __call__(self, data: bytes, issuer: str, /) -> Accepted | NotAdmitted:
        """Take it, or say why not."""
