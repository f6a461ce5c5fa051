"""Hold every file of the locks against the index: how old is it, was it taken back, is it still there?

Covers: each *file* whose hash is locked, not only each version: a file that is added later to an old release is young.
A version counts as old as its youngest locked file. Exit status 0: nothing is wrong; 1: something is; 3: nothing was
found wrong and not everything could be asked.
Does not cover: what is known against a version: `audit.py`. A version that cannot wait is named in `accepted.toml`.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import accepted
import index
import locked

FINE, WRONG, INCOMPLETE = 0, 1, 3


def main() -> int:
    """Print a line for each version, youngest first, then what is wrong."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--days", type=int, default=7, help="the least age of a locked file")
    asked.add_argument("--accepted", type=Path, default=accepted.PATH, help="what may be younger, and why")
    asked.add_argument("--quiet", action="store_true", help="print what is wrong and the sums")
    asked.add_argument("locks", nargs="+", type=Path)
    options = asked.parse_args()
    try:
        pins = locked.together(options.locks)
        waved = accepted.read(options.accepted)
    except (locked.BadLock, accepted.Unusable) as why:
        print(f"ages: {why}")
        return WRONG

    now = datetime.now(UTC)
    wrong: list[str] = []
    unasked: list[str] = []
    rows: list[tuple[datetime | None, locked.Pin]] = []
    with index.configured() as shelf:
        for pin in pins:
            try:
                listing = shelf.files(pin.name)
            except index.Unasked as why:
                unasked.append(str(why))
                continue
            reason = waved.youth(pin.name, pin.version)
            days = 0 if reason else options.days
            if reason:
                print(f"  may be young: {pin}: {reason}")
            wrong += against(pin, listing, young_after=now - timedelta(days=days))
            rows.append((youngest(pin, listing), pin))

    dated = sorted([(at, pin) for at, pin in rows if at is not None], key=lambda row: row[0], reverse=True)
    undated = [pin for at, pin in rows if at is None]
    if not options.quiet:
        for at, pin in dated:
            print(f"  {at:%Y-%m-%d}  {(now - at).days:5d} days  {pin}")
    for line in (*wrong, *[f"not asked: {line}" for line in unasked], *[f"no date: {pin}" for pin in undated]):
        print(f"  {line}")
    if dated:
        print(f"ages: the youngest of {len(dated)} versions is {(now - dated[0][0]).days} days old: {dated[0][1]}")
    print(f"ages: {len(pins)} versions; {len(wrong)} faults, {len(undated)} without a date, {len(unasked)} not asked")
    if unasked or undated:
        print("ages: INCOMPLETE: what has no date or was not asked may be of today")
    if wrong:
        return WRONG
    return INCOMPLETE if unasked or undated else FINE


def youngest(pin: locked.Pin, listing: index.Listing) -> datetime | None:
    """When the last of the locked files of *pin* was uploaded; None when of any of them no index says it."""
    dates = {file.sha256: file.uploaded for file in listing.files if file.sha256 in pin.hashes and file.uploaded}
    return max(dates.values()) if dates.keys() == pin.hashes else None


def against(pin: locked.Pin, listing: index.Listing, *, young_after: datetime) -> list[str]:
    """What the index says against *pin*, a line each."""
    files = [file for file in listing.files if file.sha256 in pin.hashes]
    said = [
        f"too young: {file.filename}, uploaded {file.uploaded:%Y-%m-%d %H:%M}"
        for file in files
        if file.uploaded is not None and file.uploaded > young_after
    ]
    said += [f"taken back by its authors: {file.filename} ({file.withdrawn})" for file in files if file.withdrawn]
    gone = pin.hashes - {file.sha256 for file in files}
    if gone and listing.whole:
        said.append(f"gone: {pin}, {len(gone)} of {len(pin.hashes)} locked files are no longer in the index")
    if files and listing.whole and not any(file.is_wheel for file in files):
        said.append(f"no wheel: {pin}")
    return said


if __name__ == "__main__":
    sys.exit(main())
