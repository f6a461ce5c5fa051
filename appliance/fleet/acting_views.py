"""What is wanted, what differs and what was counted, as lines for a person; and settings as a person types them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from pydantic import JsonValue

from appliance.contracts.record import JsonObject
from appliance.errors import UsageError
from appliance.fleet.comparing import Rate, Version, apart
from appliance.fleet.desired import Drift
from appliance.fleet.many import Progress
from appliance.fleet.rollout_judging import Figures
from appliance.fleet.rollout_rows import Decision, Standing

_HEADINGS: Final = ("BUNDLE", "SOFTWARE", "DEVICES", "REQUESTS", "SUCCESS", "REFUSED", "FAILED", "CORRECTED")


def settings_of(texts: tuple[str, ...]) -> JsonObject:
    """Read `section.key=VALUE`; a value that is no JSON is a word.

    Raises:
        UsageError: not of that form, or a key twice.
    """
    found: dict[str, dict[str, JsonValue]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        section, dot, name = key.partition(".")
        if not (equals and dot and section and name) or "." in name:
            raise UsageError(f"{text[:80]!r}: say section.key=VALUE, such as uplink.batch_n=50")
        if name in found.setdefault(section, {}):
            raise UsageError(f"{key} is said twice")
        found[section][name] = _value(value)
    return dict(found)


def drift_lines(drift: Drift) -> Iterator[str]:
    """Return one device's configuration beside what is wanted of it."""
    if not drift.wanted:
        yield f"{drift.device}  nothing is wanted of it"
        return
    heard = f"version {drift.in_force} in force" if drift.heard_at else "it has never reported"
    at = f" (said at {drift.heard_at[:19]})" if drift.heard_at else ""
    yield f"{drift.device}  version {drift.wanted} wanted, {heard}{at}"
    for one in drift.differences:
        yield f"  - {one.key} = {_plain(one.in_force)}"
        yield f"  + {one.key} = {_plain(one.wanted)}"
        yield f"    {one.standing}: {one.why[:300]}"


def waiting_lines(came: Progress, wait_s: float, expires_s: float) -> Iterator[str]:
    """Say of a command that has no final answer yet where it is."""
    whose = "" if came.devices == 1 else f" from {came.open} of {came.devices} devices"
    yield f"No final answer in {wait_s:g} s{whose}; the command stays good for {expires_s:g} s."
    if came.unheard:
        yield (
            f"{_waits(came.unheard)} here: the broker has no session of the device, which never came in or was away for"
            " long. It leaves when the device is heard of in that time; the service (`fleet collect`) sees to it."
        )
    if came.here > came.unheard:
        yield f"{_waits(came.here - came.unheard)} here to leave; the service (`fleet collect`) sends it."


def _waits(n: int) -> str:
    return "The command waits" if n == 1 else f"{n} commands wait"


def version_lines(versions: list[Version]) -> Iterator[str]:
    """Return versions as aligned lines, shares with their 95 % intervals."""
    if not versions:
        yield "Nothing was reported yet that can be counted."
        return
    rows = [_HEADINGS, *(_cells(one) for one in versions)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEADINGS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for n, one in enumerate(versions):
        for other in versions[n + 1 :]:
            for what in ("success", "refusal", "failure", "correction"):
                if apart(getattr(one, what), getattr(other, what)):
                    yield f"{what} of {_name(one)} and {_name(other)} differ: the intervals have nothing in common"


def rollout_lines(one: Standing, figures: list[Figures]) -> Iterator[str]:
    """Return how far a rollout is."""
    yield f"{one.rollout}  {one.state}, ring {one.name} ({one.ring + 1} of {len(one.declared.rings)})"
    for n, (ring, found) in enumerate(zip(one.declared.rings, figures, strict=True)):
        mark = ">" if n == one.ring else " "
        counts = {
            "waiting": found.waiting, "asked": found.asked, "done": found.done, "refused": found.refused,
            "failed": found.failed, "unreached": found.unreached, "unwell": len(found.unwell),
            "returned": found.returned, "not returned": found.not_returned,
        }  # fmt: skip
        told = ", ".join(f"{k} {what}" for what, k in counts.items() if k) or "nothing yet"
        heard = f"; {found.requests} requests since" if found.requests else ""
        yield f" {mark} {ring.name:<16} {found.devices} {'device' if found.devices == 1 else 'devices'}: {told}{heard}"
        for text in (*found.unwell[:5], *found.said[:3]):
            yield f"     ! {text[:200]}"


def history_lines(decisions: list[Decision]) -> Iterator[str]:
    """Return every decision of a rollout."""
    for one in decisions:
        yield f"{one.n:>3}  {one.at[:19]}  {one.what:<9} -> {one.state:<9}  by {one.who}: {one.reason}"


def _cells(one: Version) -> tuple[str, ...]:
    return (
        one.bundle[:12] or "-",
        one.software or "-",
        str(one.devices_n),
        str(one.success.n),
        *(_rate(rate) for rate in (one.success, one.refusal, one.failure, one.correction)),
    )


def _rate(rate: Rate) -> str:
    low, high = rate.interval()
    return f"{rate.share:.1%} ({low:.1%}..{high:.1%})" if rate.n else "-"


def _name(one: Version) -> str:
    return f"{one.bundle[:12] or '-'} {one.software}".strip()


def _value(text: str) -> JsonValue:
    try:
        found: JsonValue = json.loads(text)
    except ValueError:
        return text
    return found


def _plain(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=True)[:200]
