"""`appliance fleet ...`: the verbs that want something of many devices, and show what has come of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

import click

from appliance import terminal
from appliance.contracts.envelope import CommandBody, Response
from appliance.contracts.record import JsonObject
from appliance.contracts.topics import EVERY_DEVICE
from appliance.errors import AlreadyRunning, UsageError
from appliance.fleet import acting_views, comparing, counting, options, selecting, views
from appliance.fleet import desired as desiring
from appliance.fleet.attendance import CollectorLock
from appliance.fleet.home import FleetHome, open_home
from appliance.fleet.many import FEW_N, Many, Progress
from appliance.fleet.store import NOT_UNDERSTOOD
from appliance.fleet.watching import Watching

EXIT_WAITING: Final = 10
"""The command was given, and not every final answer came in time."""

EXIT_CODES: Final = {"executed": 0, "rejected": 11, "expired": 11, "failed": 12, "indeterminate": 13}
"""As `say` ends on the device itself; of several devices the worst counts."""

EXIT_NOT_DONE: Final = 11
"""Some device could not be told."""

LOOK_S: Final = 0.5


def send_to(
    home: FleetHome,
    target: str,
    body: CommandBody,
    *,
    wait_s: float,
    expires_s: float,
    as_json: bool,
    now: Callable[[], datetime],
) -> NoReturn:
    """Send *body* to what *target* means, show how far it is, and end with what came of it."""
    names = [one.device for one in selecting.chosen(home, selecting.parse(target), now())]
    if not names:
        raise UsageError(f"no device is {target}; `fleet devices` lists them")
    few = len(names) <= FEW_N

    def answered(answer: Response) -> None:
        if as_json:
            terminal.tell_json(answer)
        elif few:
            terminal.tell(views.answer_line(answer))

    def moved(progress: Progress) -> None:
        if not as_json and len(names) > 1:
            terminal.tell(progress.words())

    many = Many(home, now=now, chance=random.Random(), on_answer=answered, on_progress=moved)
    because = f"fleet send {target}"[:200]
    came = many.send(names, body, wait_s=wait_s, expires_s=expires_s, because=because, as_one=target == EVERY_DEVICE)
    if as_json:
        terminal.tell_json({"record": "progress", **came.facts()})
    if came.open:
        for line in acting_views.waiting_lines(came, wait_s, expires_s):
            terminal.tell(line, err=True)
        raise SystemExit(EXIT_WAITING)
    raise SystemExit(max(EXIT_CODES[life] for life, n in came.lives.items() if n))


def is_served(fleet_home: Path) -> bool:
    """Tell whether a service without a name of its own collects in *fleet_home*."""
    if not fleet_home.is_dir():
        return False
    lock = CollectorLock(fleet_home)
    try:
        lock.take()
    except AlreadyRunning:
        return True
    lock.release()
    return False


def follow(fleet_home: Path, for_s: float | None, *, as_json: bool, now: Callable[[], datetime]) -> None:
    """Show what a service collects, until *for_s* are over or somebody ends it."""
    end_s = None if for_s is None else time.monotonic() + for_s
    with closing(open_home(fleet_home)) as home, suppress(KeyboardInterrupt):
        watching = Watching(home, now())
        while end_s is None or time.monotonic() < end_s:
            for news in watching.look():
                if as_json:
                    terminal.tell_json(news.facts())
                else:
                    terminal.tell(news.line())
            time.sleep(LOOK_S if end_s is None else max(0.0, min(LOOK_S, end_s - time.monotonic())))


@click.command()
@options.fleet_home
@click.argument("target")
@click.argument("changes", nargs=-1)
def tag(fleet_home: Path, target: str, changes: tuple[str, ...]) -> None:
    """Put the devices of TARGET into groups: `tag lamp workshop`, and out of them: `tag lamp -- -workshop`."""
    with closing(open_home(fleet_home)) as home:
        names = [one.device for one in selecting.chosen(home, selecting.parse(target), _now())]
        add = [c for c in changes if not c.startswith("-")]
        selecting.tag(home, names, add=add, remove=[c[1:] for c in changes if c.startswith("-")])
        for one in selecting.chosen(home, selecting.parse(target), _now()):
            terminal.tell(f"{one.device}  {' '.join(one.tags) or 'no tag'}")


@click.group(name="config")
def config() -> None:
    """The configuration that is wanted of devices, and what differs from it."""


def set_wishes(fleet_home: Path, target: str, changes: JsonObject, *, restart: bool) -> None:
    """Want *changes* of the devices of *target*, and end with what could not be set."""
    with closing(open_home(fleet_home)) as home:
        names = [one.device for one in selecting.chosen(home, selecting.parse(target), _now())]
        if not names:
            raise UsageError(f"no device is {target}; `fleet devices` lists them")
        failed_n = 0
        for device in names:
            try:
                with home.writing():
                    following = desiring.changed(desiring.wanted(home, device), changes)
                    version = desiring.want(
                        home, device, following, now=_now(), because="fleet config", restart=restart
                    )
            except (UsageError, *NOT_UNDERSTOOD) as error:
                # One device of which nothing can be made shall not keep it from the others.
                failed_n += 1
                terminal.tell(f"{device}  not set: {str(error)[:300]}", err=True)
            else:
                terminal.tell(f"{device}  version {version}")
    if failed_n:
        terminal.tell(f"{failed_n} of {len(names)} devices were not set.", err=True)
        raise SystemExit(EXIT_NOT_DONE)


@config.command()
@options.fleet_home
@click.argument("target", default="all")
@click.option("--all", "everything", is_flag=True, help="Also the devices where everything is as it is wanted.")
@options.as_json
def drift(fleet_home: Path, target: str, *, everything: bool, as_json: bool) -> None:
    """Show where TARGET differs from what is wanted; ends with 1 where it does."""
    with closing(open_home(fleet_home)) as home:
        names = [one.device for one in selecting.chosen(home, selecting.parse(target), _now())]
        found = desiring.drift(home, names)
    for one in found:
        if as_json:
            terminal.tell_json(one.facts())
        elif everything or not one.agrees:
            for line in acting_views.drift_lines(one):
                terminal.tell(line)
    drifted_n = sum(not one.agrees for one in found)
    if not as_json:
        terminal.tell(f"{drifted_n} of {len(found)} devices differ from what is wanted")
    raise SystemExit(1 if drifted_n else 0)


@click.command()
@options.fleet_home
@click.argument("target", default="all")
@click.option("--days", type=click.IntRange(1, 36_500), help="Only what happened in the last so many days.")
@options.as_json
def compare(fleet_home: Path, target: str, days: int | None, *, as_json: bool) -> None:
    """Compare versions of bundle and software by what TARGET reported: success, refusals, failures, corrections."""
    since = "" if days is None else (_now() - timedelta(days=days)).date().isoformat()
    with closing(open_home(fleet_home)) as home:
        while counting.count(home, _now()):
            pass
        names = {one.device for one in selecting.chosen(home, selecting.parse(target), _now())}
        found = comparing.versions(home, names, since=since)
    if as_json:
        for one in found:
            terminal.tell_json(one.facts())
        return
    for line in acting_views.version_lines(found):
        terminal.tell(line)


def _now() -> datetime:
    return datetime.now(UTC)


VERBS = (tag, config, compare)
