"""Figures of a ring to what they mean: fine, too bad, or not enough to say."""

from __future__ import annotations

from typing import Literal, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.fleet.rollout import Expect


class Figures(NamedTuple):
    """What came of one ring so far."""

    devices: int
    waiting: int = 0
    asked: int = 0
    done: int = 0
    refused: int = 0
    failed: int = 0
    unreached: int = 0
    unwell: tuple[str, ...] = ()
    """Of those that did it, the ones with an alarm afterwards, and which."""

    requests: int = 0
    requests_refused: int = 0
    requests_failed: int = 0
    decided: int = 0
    corrected: int = 0
    returned: int = 0
    """Of those that did it, the ones that took it back."""

    not_returned: int = 0
    said: tuple[str, ...] = ()
    """Why devices refused or failed, the commonest first."""

    @property
    def answered(self) -> int:
        """How many came to an end of their own."""
        return self.done + self.refused + self.failed

    @property
    def ended(self) -> bool:
        """Whether nothing is awaited any more."""
        return not (self.waiting or self.asked)

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return {**self._asdict(), "unwell": list(self.unwell), "said": list(self.said)}


class Verdict(NamedTuple):
    """What the figures mean."""

    means: Literal["fine", "too bad", "too little"]
    reason: str = ""


FINE = Verdict("fine")


def judge(found: Figures, expect: Expect, *, soaked: bool) -> Verdict:
    """Hold *found* against what was declared.

    Args:
        soaked: the ring's time is over: what may still become better is judged too.
    """
    why = _devices(found, expect, soaked=soaked) or _requests(found, expect)
    if why:
        return Verdict("too bad", f"{why}{': ' + '; '.join(found.said[:3]) if found.said and 'success' in why else ''}")
    if not soaked:
        return FINE
    missing = [
        f"{n} {what} of {expect.least_requests}"
        for limit, n, what in (
            (expect.refusals, found.requests, "requests"),
            (expect.failures, found.requests, "requests"),
            (expect.corrections, found.decided, "decisions"),
        )
        if limit is not None and n < expect.least_requests
    ]
    if missing:
        return Verdict("too little", f"only {missing[0]} came that are needed to judge")
    return FINE


def _devices(found: Figures, expect: Expect, *, soaked: bool) -> str:
    bad = found.refused + found.failed
    # As long as answers may come, the best that may come is counted.
    reached = found.answered if found.ended else found.devices - found.unreached
    if reached and _above(bad, reached, 1 - expect.success):
        return f"success: {bad} of {reached} devices refused or failed, at most {_pct(1 - expect.success)} were to"
    if _above(found.unreached, found.devices, expect.unreached):
        most = _pct(expect.unreached)
        return f"unreached: {found.unreached} of {found.devices} devices did not answer, at most {most} were to"
    enough = soaked or found.done >= expect.least_devices
    if enough and found.done and _above(len(found.unwell), found.done, expect.unwell):
        names = "; ".join(found.unwell[:5])
        return f"unwell: {len(found.unwell)} of {found.done} devices, at most {_pct(expect.unwell)} were to be: {names}"
    return ""


def _requests(found: Figures, expect: Expect) -> str:
    for name, limit, k, n, what in (
        ("refusals", expect.refusals, found.requests_refused, found.requests, "requests were refused"),
        ("failures", expect.failures, found.requests_failed, found.requests, "requests failed"),
        ("corrections", expect.corrections, found.corrected, found.decided, "decisions were corrected"),
    ):
        if limit is not None and n >= expect.least_requests and _above(k, n, limit):
            return f"{name}: {k} of {n} {what}, at most {_pct(limit)} were to be"
    return ""


def _above(k: int, n: int, share: float) -> bool:
    # 1 - 0.95 is a little more than 0.05; one in twenty shall be one in twenty.
    return k / n > share + 1e-9


def _pct(share: float) -> str:
    return f"{round(share * 100, 6):g} %"
