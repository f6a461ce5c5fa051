"""Draws the pictures of the documentation: `python -m appliance.tui.screenshots docs/images`.

A real daemon on a home of its own, the real console, the keys that an operator would press.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Final

from textual.pilot import Pilot
from textual.widgets import Static

from appliance.client import Appliance
from appliance.contracts.home import Home
from appliance.contracts.local import Checkpoint as CheckpointRequest
from appliance.contracts.local import EnrolPerson, LocalRequest, RotateKey, TrustDocument
from appliance.contracts.pinned import SHIPPED
from appliance.errors import ApplianceError, DaemonUnavailable
from appliance.transport.local import LocalClient
from appliance.tui.app import ConsoleApp
from appliance.tui.lawglance import Needed, Run
from appliance.tui.screens.laws import LawsScreen
from appliance.tui.screens.sign import SignScreen
from appliance.tui.widgets.act_list import ActList
from appliance.tui.widgets.card import SETTLE_S, Card
from appliance.tui.widgets.model_acts import ModelActList
from appliance.tui.widgets.workflow_list import WorkflowList

SIZES: Final = ((80, 24), (120, 40))
WAIT_S: Final = 30.0
EVENTS: Final = (("gate", "ask_to_open"), ("oven", "begin"))
PINS: Final = {"cleo": "559302", "ann": "483911"}
"""Of people who exist for the pictures only."""

CEREMONY: Final = ("ann", "bob", "cem", "dot", "eva")
CANARY_S: Final = 900.0

SETTINGS: Final = '[device]\nid = "workbench-pi"\n'


async def draw(home: Path, folder: Path, size: tuple[int, int]) -> None:
    """Walk through the console on *home* and save a picture of every screen."""
    appliance = Appliance(home)
    app = ConsoleApp(home)

    def card() -> Card:
        return app.query_one(Card)

    async with app.run_test(size=size) as pilot:

        async def save(name: str) -> None:
            await pilot.pause(0.3)
            path = folder / f"{name}-{size[0]}x{size[1]}.svg"
            path.write_text(_kept_spaces(app.export_screenshot(title="appliance console")))

        async def say(text: str) -> None:
            await pilot.press("escape", *(("space" if c == " " else c) for c in text), "enter")
            await _until(pilot, lambda: card().outcome is not None)

        await _until(pilot, lambda: app.glance is not None)
        await save("welcome")
        await say("start the extractor for ten minutes")
        await say("dim the workshop lights to 30 percent")
        await save("done")
        await say("unlock the front door")
        await save("confirm")
        if _status(card()) == "waiting":
            await asyncio.sleep(SETTLE_S)
            await pilot.press("n")
            await _until(pilot, lambda: _status(card()) == "refused")
        await asyncio.to_thread(appliance.call, "set_light_level", {"room": "kitchen"})
        await _until(pilot, lambda: app.glance is not None and bool(app.glance.waiting))
        await pilot.press("f4")
        await save("question")
        await pilot.press(*"40", "enter")
        await _until(pilot, lambda: _status(card()) == "done")
        await say("don't open the gate")
        await save("refused")
        await pilot.press("ctrl+t")
        await save("light")
        await pilot.press("ctrl+t", "f2", "end", "home", "down", "down", "down", "enter")
        await save("detail")
        await asyncio.to_thread(_local, home, RotateKey(reason="the yearly change"))
        await asyncio.to_thread(_local, home, CheckpointRequest())
        await pilot.press("escape", "f5")
        await save("ledger")
        await laws(home, pilot, app, save)
        await models(home, pilot, app, save)
        await pilot.press("escape", "escape", "f1")
        await save("help")
        await pilot.press("escape", "f12")
        await _until(pilot, lambda: app.glance is not None and app.glance.locked)
        await save("stopped")
        await pilot.press("ctrl+r")
        await save("release")
        await pilot.press("y")
        await _until(pilot, lambda: app.glance is not None and not app.glance.locked)


async def laws(home: Path, pilot: Pilot[int], app: ConsoleApp, save: Callable[[str], Awaitable[None]]) -> None:
    """Walk through the laws: an arrow that waits for two people, one of them at the console, and the drawing."""

    def run(workflow: str) -> Run:
        found = app.glance.laws.run(workflow) if app.glance is not None else None
        return found or Run()

    appliance = Appliance(home)
    _local(home, EnrolPerson(name="cleo", role="admin", new_pin=PINS["cleo"]))
    _local(home, EnrolPerson(name="ann", role="approver", new_pin=PINS["ann"], person="cleo", pin=PINS["cleo"]))
    for workflow, event in EVENTS:
        await asyncio.to_thread(appliance.event, event, workflow)
    await _until(pilot, lambda: run("gate").pending is not None)
    await pilot.press("f7")
    await _until(pilot, lambda: isinstance(app.screen, LawsScreen) and app.screen.query_one(ActList).option_count == 3)
    await pilot.press("1", "enter")
    await _until(pilot, lambda: isinstance(app.screen, SignScreen))
    await pilot.press(*"ann", "enter", *PINS["ann"])
    await save("sign")
    await pilot.press("enter")
    await _until(pilot, lambda: (run("gate").pending or Needed()).given == ("ann",))
    await pilot.press("escape")
    await save("laws")
    await pilot.press("escape", "down")
    await _until(pilot, lambda: app.screen.query_one(WorkflowList).chosen == "oven")
    await pilot.press("d")
    await save("law-drawn")
    await pilot.press("escape", "ctrl+o")
    await _until(pilot, lambda: isinstance(app.screen, SignScreen))
    await pilot.press(*"belt", "enter", "enter")
    await _until(pilot, lambda: bool(app.glance and app.glance.laws.maintenance))
    await save("maintenance")
    await asyncio.to_thread(appliance.maintenance, on=False)
    await _until(pilot, lambda: bool(app.glance and not app.glance.laws.maintenance))


async def models(home: Path, pilot: Pilot[int], app: ConsoleApp, save: Callable[[str], Awaitable[None]]) -> None:
    """Walk through the bundles: one that was brought is installed, and whom the device trusts."""
    await asyncio.to_thread(release, home)
    await pilot.press("escape", "escape", "f8")
    await _until(pilot, lambda: len(app.screen.query(ModelActList)) == 1)
    await _until(pilot, lambda: app.screen.query_one(ModelActList).option_count == 3)
    await _as_cleo(pilot, app, "1")
    await _until(pilot, lambda: "lies in slot a" in _told(app))
    await pilot.press("escape", "home")
    await save("models")
    await pilot.press("t")
    await save("models-trust")
    await pilot.press("t")
    await canary(home, pilot, app, save)


async def canary(home: Path, pilot: Pilot[int], app: ConsoleApp, save: Callable[[str], Awaitable[None]]) -> None:
    """Have the bundle that was installed tried for real; it decides then, on trial."""
    await _as_cleo(pilot, app, "1")
    await _until(pilot, lambda: "decides from the restart" in _told(app), CANARY_S)
    await save("models-canary")
    daemon = Appliance(home)

    def is_back() -> bool:
        try:
            return daemon.bundles()["decides"] == "a"
        except ApplianceError:
            return False

    await _until(pilot, is_back, CANARY_S)
    await pilot.press("escape", "end", "home")
    await _until(pilot, lambda: not app.lost and "of at least" in str(_text(app, "model-now-text")))
    await save("models-trial")


async def _as_cleo(pilot: Pilot[int], app: ConsoleApp, number: str) -> None:
    """Choose what can be done by its number, and sign for it."""
    await pilot.press(number, "enter")
    await _until(pilot, lambda: isinstance(app.screen, SignScreen))
    app.screen.set_focus(app.screen.query_one("#sign-name"))
    await pilot.press(*"cleo", "enter", *PINS["cleo"], "enter")


def _told(app: ConsoleApp) -> str:
    return _text(app, "model-answer")


def _text(app: ConsoleApp, name: str) -> str:
    return "".join(str(one.content) for one in app.screen.query(f"#{name}").results(Static))


def release(home: Path) -> None:
    """Hold a key ceremony with two people of each kind, and bring what shipped as their first release."""
    folder = home / "ceremony"
    folder.mkdir()
    for person in CEREMONY:
        key = ("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{person}.pem")
        for command in (key, ("openssl", "ec", "-in", f"{person}.pem", "-pubout", "-out", f"{person}.pub")):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        (folder / f"{person}.pem").chmod(0o600)
    names = {person: f"{person.capitalize()}={person}.pub" for person in CEREMONY}
    keys = [
        *(part for person in ("dot", "eva") for part in ("--root-key", names[person])),
        *(part for person in ("ann", "bob", "cem") for part in ("--release-key", names[person])),
        *("--revocation-key", names["dot"], "--cooldown-days", "0"),
    ]
    _cli(folder, "trust", "new-root", "--site", "Workshop", "--out", "root-1.json", *keys)
    for person in ("dot", "eva"):
        _cli(folder, "trust", "cosign", "root-1.json", "--key", f"{person}.pem", "--yes")
    bundle = str(_shipped())
    for person in ("ann", "cem"):
        _cli(folder, "bundle", "sign", bundle, "--key", f"{person}.pem", "--out", "signatures", "--yes")
    incoming = Home(home).incoming
    incoming.mkdir(parents=True)
    _cli(folder, "bundle", "pack", bundle, "--signatures", "signatures", "--out", str(incoming / "pointer-small.tar"))
    shown = _cli(folder, "trust", "show", "root-1.json")
    fingerprint = next(line for line in shown.splitlines() if line.startswith("fingerprint")).partition(" ")[2]
    root = str(folder / "root-1.json")
    _local(home, TrustDocument(path=root, fingerprint=fingerprint, person="cleo", pin=PINS["cleo"]))


def _shipped() -> Path:
    """Return the bundle that came with the software: inside the wheel, or where the recipe writes it in a checkout."""
    package = Path(str(resources.files("appliance")))
    folders = (package / "bundles", package.parent / "firmware_models" / "bundles")
    return next(folder / SHIPPED.name for folder in folders if (folder / SHIPPED.name).is_dir())


def _cli(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "appliance", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def _prepare(home: Path) -> None:
    """Put two laws into the home's folder; the other pictures leave alone what they govern."""
    folder = home / "laws"
    folder.mkdir()
    for name, _ in EVENTS:
        text = resources.files("appliance").joinpath(f"policy/workflow/templates/{name}.yaml").read_text("utf-8")
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def _kept_spaces(svg: str) -> str:
    """Ask whoever draws *svg* to keep the spaces that a piece of text begins with; some cut them off otherwise."""
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def _local(home: Path, request: LocalRequest) -> None:
    LocalClient(home).request(request)


def _status(card: Card) -> str:
    return card.outcome.status if card.outcome else ""


async def _until(pilot: Pilot[int], claim: Callable[[], bool], within_s: float = WAIT_S) -> None:
    end_s = time.monotonic() + within_s
    while not claim():
        if time.monotonic() > end_s:
            raise TimeoutError("the console did not come to the next picture")
        await pilot.pause(0.05)


def main(argv: list[str]) -> int:
    """Draw every picture into the folder named on the command line.

    Returns:
        An exit code.
    """
    if len(argv) != 1:
        print("usage: python -m appliance.tui.screenshots FOLDER", file=sys.stderr)  # noqa: T201 -- a command
        return 2
    folder = Path(argv[0])
    folder.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        with tempfile.TemporaryDirectory() as root:
            home = Path(root)
            (home / "appliance.toml").write_text(SETTINGS)
            _prepare(home)
            daemon = subprocess.Popen(
                [sys.executable, "-m", "appliance", "--home", root, "run"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                _wait_for(Appliance(home))
                asyncio.run(draw(home, folder, size))
            finally:
                daemon.terminate()
                daemon.wait(timeout=WAIT_S)
    shutil.copyfile(folder / "done-120x40.svg", folder / "console.svg")  # the README's
    return 0


def _wait_for(appliance: Appliance) -> None:
    end_s = time.monotonic() + WAIT_S
    while True:
        try:
            appliance.hello()
        except DaemonUnavailable:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
