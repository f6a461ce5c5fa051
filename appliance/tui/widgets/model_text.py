"""Bundles in words: which decides, how its trial does, what it still waits for, and whose word counts here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePath
from typing import Final

from textual.content import Content

from appliance.terminal import visible
from appliance.tui.glyphs import Glyphs
from appliance.tui.modelglance import Held, InSettings, Models, Report, Returned, Revocations, Root, Trial
from appliance.tui.widgets.law_text import clock

NAME_CELLS: Final = 10
HASH_N: Final = 16
"""Digits of a hash that tell it from every other; the details have all of them."""

BRIEF_N: Final = 4
"""Revoked and returned bundles that are listed."""

NO_ROOT: Final = "This device trusts nobody's bundles: what came with the software decides."
BEGIN_ROOT: Final = (
    "To begin: appliance trust install root-1.json --fingerprint DIGITS, as your site's people tell you."
)


def spell(seconds: float) -> str:
    """Write a stretch of time: `5 d 3 h`, `24 h`, `2 h 10 min`, `7 min`."""
    minutes = max(0, int(seconds)) // 60
    hours = minutes // 60
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"
    if hours:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{minutes} min" if minutes else "less than a minute"


def size(bytes_n: int) -> str:
    """Write how large a file is; empty for a folder."""
    if not bytes_n:
        return ""
    return f"{bytes_n / 1e6:.1f} MB" if bytes_n >= 100_000 else f"{bytes_n / 1e3:.1f} kB"


def brief(path: str) -> str:
    """Write the end of a path, which tells deliveries apart: the stick and the file."""
    return "/".join(PurePath(path).parts[-2:])


def row(models: Models, place: str, glyphs: Glyphs, width: int, waited_s: float) -> Content:
    """Write a place as one line of the list.

    Args:
        waited_s: since the daemon told.
    """
    held = models.at(place)
    tail, style = _standing(models, place, glyphs, waited_s)
    name = "empty" if held is None else held.called
    sign = glyphs.on if models.decides == place else glyphs.off
    room = max(10, width - len(tail) - 1)
    left = _cut(f"{sign} {place:<8} {name}", room).ljust(room)
    return Content.assemble((left[:11], "bold"), (left[11:], "" if held else "$quiet"), " ", (tail, style))


def place_lines(
    models: Models, place: str, glyphs: Glyphs, now: datetime, width: int, waited_s: float
) -> Iterator[Content]:
    """Write all that is known of what lies in *place*."""
    held = models.at(place)
    if models.settings is not None:
        yield from _wrapped(_in_settings(models.settings), "$text-warning", width)
    if held is None:
        yield Content.styled("Nothing lies here. A bundle that is installed goes into a free slot.", "$quiet")
        return
    yield Content.assemble((held.called, "bold"), (f"  release {held.release}" if held.version else "", "$quiet"))
    tail, style = _standing(models, place, glyphs, waited_s)
    yield Content.styled(
        f"{glyphs.on if models.decides == place else glyphs.off} {tail or 'lies here'}", f"bold {style}"
    )
    if why := models.revoked.get(place):
        yield _field("revoked", visible(why), "bold $text-error", width)
    if (returned := models.sent_back(place)) is not None:
        yield _field("sent back", _returned(returned), "$text-warning", width)
    yield from _waiting(models, place, width)
    if models.chosen == place and models.trial is not None:
        yield from _trial(models.trial, width)
        yield _field("back to", models.called(models.before), "", width)
    yield _field("signed by", _signers(models, place), "", width)
    yield from _dates(held, now, width)
    yield _field("hash", held.sha256, "$quiet", width)


def report_lines(report: Report, glyphs: Glyphs, width: int) -> Iterator[Content]:
    """Write the canary's checks as a table; a check that failed with why."""
    for check in report.checks:
        sign, style = (glyphs.done, "$text-success") if check.passed else (glyphs.refused, "$text-error")
        said = "" if check.passed else f"  {visible(check.reason)}"
        lead = f"{sign} {check.name:<11} {check.tried_n:>4} asked"
        first, *more = textwrap.wrap(said.strip(), max(20, width - len(lead) - 2)) or [""]
        yield Content.assemble((sign, f"bold {style}"), lead[len(sign) :], "  ", (first, style))
        for line in more:
            yield Content.styled(" " * (len(lead) + 2) + line, style)
    if report.took_s:
        yield Content.styled(f"It took {spell(report.took_s)}.", "$quiet")


def trust_lines(models: Models, now: datetime, width: int) -> Iterator[Content]:
    """Write whose word counts, what was revoked, what was sent back and what was brought."""
    if models.trust_unreadable:
        yield from _wrapped(f"What says whom to trust cannot be read: {models.trust_unreadable}", "$text-error", width)
    elif models.root is None:
        yield from _wrapped(NO_ROOT, "", width)
        yield from _wrapped(BEGIN_ROOT, "$quiet", width)
    else:
        yield from _root(models.root, now, width)
        yield from _revocations(models.revocations, now, width)
    if models.returned:
        yield Content("")
    for returned in reversed(models.returned[-BRIEF_N:]):
        yield _field("sent back", f"{returned.sha256[:HASH_N]} {_returned(returned)}", "", width)
    yield Content("")
    if not models.deliveries:
        yield _field("brought", "nothing on a stick, nothing in bundles/incoming", "$quiet", width)
    for n, delivery in enumerate(models.deliveries):
        yield _field("" if n else "brought", f"{brief(delivery.path)}  {size(delivery.bytes_n)}".rstrip(), "", width)


def _standing(models: Models, place: str, glyphs: Glyphs, waited_s: float) -> tuple[str, str]:
    """Say in a few words how a place is, and in which style."""
    if models.trying is not None and models.trying.slot == place:
        return f"{glyphs.acting} being tried, {clock(models.trying.for_s + waited_s)}", "$text-primary"
    if place in models.revoked:
        return "revoked", "$text-error"
    if models.chosen == place and models.named_in_settings:
        return "set aside by appliance.toml", "$text-warning"
    if models.decides == place:
        on_trial = models.trial is not None and models.chosen == place
        return "decides, on trial" if on_trial else "decides", "$text-success"
    if models.chosen == place:
        return "decides from the restart on", "$text-success"
    if place == "shipped" or models.at(place) is None:
        return "", ""
    if models.sent_back(place) is not None:
        return "was sent back", "$text-warning"
    if (waits_s := models.waits_s.get(place, 0.0)) > 0:
        return f"waits another {spell(waits_s)}", "$text-accent"
    return "may be activated", ""


def _in_settings(named: InSettings) -> str:
    if named.bad:
        return f"appliance.toml names a bundle under [model]; it is passed over: {visible(named.bad)}"
    called = visible(named.called)
    return f"{called} decides: named in the settings, {named.vouched}. While it is named, no place of these decides."


def _waiting(models: Models, place: str, width: int) -> Iterator[Content]:
    held = models.at(place)
    if place == "shipped" or held is None or models.chosen == place:
        return
    if held.urgent:
        yield _field("cooldown", "none: a higher threshold of keys says that it cannot wait", "$text-warning", width)
    elif (waits_s := models.waits_s.get(place, 0.0)) > 0:
        yield _field("cooldown", f"another {spell(waits_s)} of running time before it may be activated", "", width)
    else:
        yield _field("cooldown", "over: it has lain here long enough", "", width)


def _trial(trial: Trial, width: int) -> Iterator[Content]:
    wanted = f"of at least {spell(trial.least_s)}; {trial.n} of at least {trial.least_n} requests"
    yield _field("trial", f"{spell(trial.powered_s)} {wanted}", "$text-accent", width)
    refused = f"{trial.refused_n} of {trial.n} refused or asked back; {trial.usual:.0%} is usual here"
    yield _field("", refused, "", width)
    harm_n = trial.broken_n + trial.crashes_n + trial.cuts_n
    crashes = f"{trial.crashes_n} crash{'' if trial.crashes_n == 1 else 'es'}"
    harm = f"{_many(trial.broken_n, 'fault')}, {crashes}, {_many(trial.cuts_n, 'power cut')}"
    yield _field("", harm, "$text-warning" if harm_n else "", width)


def _signers(models: Models, place: str) -> str:
    if place == "shipped":
        return "nobody: the software names its hash"
    return ", ".join(map(visible, models.signed_by.get(place, ()))) or "nobody who counts here"


def _dates(held: Held, now: datetime, width: int) -> Iterator[Content]:
    if held.expires_at is None:
        return
    if held.expires_at <= now:
        text, style = f"{held.expires_at:%Y-%m-%d}: it stays, and cannot be installed anew", "$text-warning"
    else:
        text, style = f"{held.expires_at:%Y-%m-%d}", ""
    yield _field("expires", text, style, width)


def _root(root: Root, now: datetime, width: int) -> Iterator[Content]:
    until = f"until {root.expires_at:%Y-%m-%d}" if root.expires_at else ""
    yield _field("root", f"version {root.version} of {visible(root.site)}, {until}", "bold", width)
    if root.expires_at is not None and root.expires_at <= now:
        yield _field("", "it has expired: nothing new is installed until its successor is here", "$text-error", width)
    for name, keys in (("releases", root.release), ("revokes", root.revocation)):
        yield _field(name, f"{keys.needs} of {', '.join(map(visible, keys.owners))}", "", width)
    days = f"{root.cooldown_days} days of running time" if root.cooldown_days else "none"
    urgent = f"; {root.urgent_needs} release keys can say urgent" if root.urgent_needs else ""
    yield _field("cooldown", f"{days}{urgent}", "", width)


def _revocations(found: Revocations | None, now: datetime, width: int) -> Iterator[Content]:
    if found is None:
        yield _field("list", "no revocation list yet", "$quiet", width)
        return
    issued = f" of {found.issued_at:%Y-%m-%d}" if found.issued_at else ""
    told = f"number {found.number}{issued}: {_many(found.keys_n, 'key')}, {_many(found.bundles_n, 'bundle')} revoked"
    yield _field("list", told, "bold", width)
    if found.expires_at is not None and found.expires_at <= now:
        yield _field("", "it is too old: nothing new is installed until a newer one is here", "$text-error", width)
    named = [("key", one.key, one.reason) for one in found.keys[-BRIEF_N:]]
    named += [("bundle", one.sha256, one.reason) for one in found.bundles[-BRIEF_N:]]
    for what, mark, reason in named:
        yield _field("", f"{what} {mark[:HASH_N]} {visible(reason)}", "", width)


def _returned(returned: Returned) -> str:
    at = f"{returned.at:%Y-%m-%d}: " if returned.at else ""
    return f"{at}{visible(returned.reason)}"


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _wrapped(text: str, style: str, width: int) -> Iterator[Content]:
    for line in textwrap.wrap(text, max(20, width)):
        yield Content.styled(line, style)


def _field(name: str, value: str, style: str, width: int) -> Content:
    """Write a name and its value; the value's further lines stand below its first."""
    lines = textwrap.wrap(value, max(10, width - NAME_CELLS)) or [""]
    return Content.assemble((name.ljust(NAME_CELLS), "$quiet"), (f"\n{' ' * NAME_CELLS}".join(lines), style))


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)].rstrip() + "."
