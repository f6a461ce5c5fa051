"""Ask the index's database of advisories about every version of the locks.

Covers: the advisories that the index of pip's configuration hands on. Exit status 0: every version was asked about and
nothing is known against any; 1: something is; 3: nothing is known and not every version could be asked about. Silence
is never read as good news: the last lines say how many were asked.
Does not cover: what nobody has reported yet. A finding that does not concern us is named in `accepted.toml`, with a
reason and a last day.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import accepted
import index
import locked

CLEAN, FOUND, INCOMPLETE = 0, 1, 3


def main() -> int:
    """Print what is known, then how much was asked."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--accepted", type=Path, default=accepted.PATH, help="findings that somebody has looked at")
    asked.add_argument("locks", nargs="+", type=Path)
    options = asked.parse_args()
    try:
        pins = locked.together(options.locks)
        waved = accepted.read(options.accepted)
    except (locked.BadLock, accepted.Unusable) as why:
        print(f"audit: {why}")
        return FOUND

    today = datetime.now(UTC).date()
    found: list[str] = []
    spared: list[str] = []
    unasked: list[str] = []
    with index.configured() as shelf:
        for pin in pins:
            try:
                advisories = shelf.advisories(pin.name, pin.version)
            except index.Unasked as why:
                unasked.append(str(why))
                continue
            for advisory in advisories:
                reason = waved.finding({advisory.id, *advisory.aliases}, pin.name, today)
                (spared if reason else found).append(f"{line(advisory, pin)}{reason and f' - accepted: {reason}'}")

    for text in (*found, *spared, *[f"NOT ASKED  {text}" for text in unasked]):
        print(f"  {text}")
    print(
        f"audit: {len(pins) - len(unasked)} of {len(pins)} versions were asked about; "
        f"{len(found)} findings, {len(spared)} accepted"
    )
    if unasked:
        print(f"audit: INCOMPLETE: nothing was learned about {len(unasked)} versions; ask where the whole database is")
    if found:
        return FOUND
    return INCOMPLETE if unasked else CLEAN


def line(advisory: index.Advisory, pin: locked.Pin) -> str:
    """One finding, in one line."""
    names = ", ".join([advisory.id, *advisory.aliases])
    cure = f"fixed in {', '.join(advisory.fixed_in)}" if advisory.fixed_in else "no fix is known"
    return f"{pin}: {names}: {cure}. {(advisory.summary or advisory.details or '')[:200]}"


if __name__ == "__main__":
    sys.exit(main())
