"""What the console's tests share: a stage for screens alone, and a console on a real appliance."""

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC

import pytest

from appliance.tui.app import ConsoleApp
from appliance.tui.widgets.card import Card
from appliance.tui.widgets.say_box import SayBox


class Operator:
    """Somebody at the keyboard of a console."""

    def __init__(self, app, pilot):
        self.app = app
        self.pilot = pilot

    async def press(self, *keys):
        await self.pilot.press(*keys)

    async def say(self, text):
        """Type *text* into the say box and press Enter."""
        box = self.app.query_one(SayBox)
        box.focus()
        box.value = text
        await self.press("enter")

    async def sees(self, claim, within_s=15.0):
        """Wait until *claim* holds; a text is looked for on the screen."""
        end_s = time.monotonic() + within_s
        while not (claim() if callable(claim) else claim in self.text()):
            assert time.monotonic() < end_s, f"never seen: {claim}\n{self.text()}"
            await self.pilot.pause(0.02)

    async def may_press(self):
        """Wait until the card takes keys: it came to the front by itself."""
        await asyncio.sleep(0.45)

    def text(self):
        """Return what stands on the screen, as lines of text."""
        return text_of(self.app)

    @property
    def card(self):
        return self.app.query_one(Card)


def text_of(app):
    """Return what stands on the screen of *app*, as lines of text."""
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


@asynccontextmanager
async def console(home, size=(100, 34), **options):
    """Open a console on *home*."""
    app = ConsoleApp(home, zone=UTC, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Operator(app, pilot)


@pytest.fixture(name="screen_text")
def screen_text_of():
    """Return what stands on a screen, as lines of text."""
    return text_of


@pytest.fixture
def open_console():
    """Open a console on a home; use it with `async with`."""
    return console


@pytest.fixture
async def operator(appliance):
    """An operator at the console of a running appliance."""
    async with console(appliance.home.root) as found:
        await found.sees(lambda: found.app.glance is not None)
        yield found
