"""Every screen as text, at the smallest and at a comfortable size, with a clock that stands still.

When a change is meant: `APPLIANCE_ACCEPT_SCREENS=1 .venv/bin/pytest tests/tui/test_screens.py`, and look at the diff.
"""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.app import App

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.local import Outcome
from appliance.storage import audit, database
from appliance.tui import looks
from appliance.tui.glance import Glance
from appliance.tui.glyphs import PLAIN, RICH
from appliance.tui.lawglance import LawDrawing
from appliance.tui.modelglance import Models, Report
from appliance.tui.proof import Begun, Proof, Rotated, Signed
from appliance.tui.queries import History
from appliance.tui.screens.detail import DetailScreen
from appliance.tui.screens.help import HelpScreen
from appliance.tui.screens.laws import LawsScreen
from appliance.tui.screens.ledger import LedgerScreen
from appliance.tui.screens.main import MainScreen
from appliance.tui.screens.models import ModelsScreen
from appliance.tui.screens.release import ReleaseScreen
from appliance.tui.screens.sign import SignScreen
from appliance.tui.signing import Signing
from appliance.tui.widgets.pin_box import PinBox

SIZES = [(80, 24), (120, 40)]
SETTLE_S = 20.0
"""How long a busy machine may take to paint."""

NOW = datetime(2026, 11, 22, 21, 30, tzinfo=UTC)
HERE = Path(__file__).parent
WORDS = "dim the workshop lights to 30 percent and start the extractor for ten minutes"


class Stage(App):
    """Holds one screen as the console would, and nothing else."""

    CSS_PATH = str(HERE.parents[1] / "appliance" / "tui" / "console.tcss")

    def __init__(self, *, plain=False):
        super().__init__()
        for theme in (looks.DARK, looks.LIGHT):
            self.register_theme(theme)
        self.theme = looks.DARK.name
        self.glyphs = PLAIN if plain else RICH
        self.main = MainScreen(
            self.glyphs, now=lambda: NOW, monotonic_s=lambda: 100.0, new_token=lambda: "token", zone=UTC
        )
        self.set_class(plain, "-plain")

    def get_default_screen(self):
        return self.main


@pytest.fixture(scope="module")
def outcomes():
    read = json.loads((HERE / "outcomes.json").read_text())
    return {name: Outcome.model_validate_json(json.dumps(value)) for name, value in read.items()}


@pytest.fixture(scope="module")
def glance():
    return Glance.parse(json.loads((HERE / "status.json").read_text()))


@pytest.fixture
def history(tmp_path):
    """A ledger with a few requests, written by the storage itself."""
    db = database.open_database(tmp_path / "appliance.db").db
    written = json.loads((HERE / "ledger.json").read_text())
    for n, row in enumerate(written):
        moment = Moment(at=NOW - timedelta(minutes=len(written) - n), monotonic_s=float(n), boot=3, clock="trusted")
        audit.append(db, AuditRecord(moment=moment, **row))
    db.close()
    found = History(tmp_path / "appliance.db")
    yield found
    found.close()


async def is_as_accepted(name, size, pilot, text_now):
    """Wait until the screen is as the picture of that name; take the screen over as the picture when told to."""
    path = HERE / "screens" / f"{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("APPLIANCE_ACCEPT_SCREENS"):
        await pilot.pause(3.0)  # footer and layout settle, on a busy machine too
        path.parent.mkdir(exist_ok=True)
        path.write_text(text_now() + "\n")
    accepted = path.read_text()
    end_s = time.monotonic() + SETTLE_S
    while text_now() + "\n" != accepted and time.monotonic() < end_s:
        await pilot.pause(0.05)
    assert text_now() + "\n" == accepted, f"{path.name} has changed"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, size) for name in ("done", "waiting", "asked", "approval") for size in SIZES),
        *((name, SIZES[0]) for name in ("refused", "failed", "indeterminate")),
    ],
    ids=str,
)
async def test_the_main_screen_shows_an_outcome(name, size, outcomes, glance, history, screen_text):
    app = Stage()
    async with app.run_test(size=size) as pilot:
        app.main.show_glance(glance, "")
        app.main.show_history(history.entries())
        await pilot.press(*"x", "enter")
        app.main.show_outcome("token", outcomes[name])

        await is_as_accepted(f"main-{name}", size, pilot, lambda: screen_text(app))


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_main_screen_greets_a_newcomer(size, glance, screen_text):
    app = Stage()
    async with app.run_test(size=size) as pilot:
        app.main.show_glance(glance.model_copy(update={"waiting": ()}), "")
        app.main.show_history([])

        await is_as_accepted("main-welcome", size, pilot, lambda: screen_text(app))


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_main_screen_is_loud_when_stopped_and_honest_when_alone(size, glance, history, screen_text):
    app = Stage()
    async with app.run_test(size=size) as pilot:
        locked = glance.model_copy(update={"locked": True, "state": "locked"})
        app.main.show_history(history.entries())
        app.main.show_glance(locked, "The daemon does not answer; trying again.")

        await is_as_accepted("main-stopped-and-lost", size, pilot, lambda: screen_text(app))


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_an_old_terminal_gets_ascii_only(size, outcomes, glance, history, screen_text):
    app = Stage(plain=True)
    async with app.run_test(size=size) as pilot:
        app.main.show_glance(glance, "")
        app.main.show_history(history.entries())
        await pilot.press(*"x", "enter")
        app.main.show_outcome("token", outcomes["done"])

        await is_as_accepted("main-plain", size, pilot, lambda: screen_text(app))
        # The degree sign is in every 8-bit character set of a console.
        assert {c for c in screen_text(app) if ord(c) > 126} <= {"°"}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("key", ["request-1", "request-2"])
async def test_the_detail_screen_tells_the_story_of_a_request(key, size, glance, history, screen_text):
    app = Stage()
    async with app.run_test(size=size) as pilot:
        history.entries()
        screen = DetailScreen(history.find(key), history.story(key), RICH, UTC)
        await app.push_screen(screen)
        screen.show_glance(glance, "")

        def text_without_hashes():
            # The salts of personal words are random, and so are the hashes over them.
            text = screen_text(app)
            for row in history.story(key):
                text = text.replace(row.leaf.hex()[:10], "<hash>    ")
            return text

        await is_as_accepted(f"detail-{key}", size, pilot, text_without_hashes)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("name", "screen"), [("help", HelpScreen), ("release", ReleaseScreen)])
async def test_help_and_release(name, screen, size, glance, screen_text):
    app = Stage()
    async with app.run_test(size=size) as pilot:
        app.main.show_glance(glance, "")
        await app.push_screen(screen())

        await is_as_accepted(name, size, pilot, lambda: screen_text(app))


PROOF = Proof(
    newest=Signed(
        1198,
        NOW - timedelta(seconds=12),
        "edge-agent-appliance/bench/7e56ef2a9e9f727b\n1198\nToQBve05Fqz31hYF2X7QQ2TNDtdhjVv9R4aIZ+4NsA=\n\n"
        "\N{EM DASH} edge-agent-appliance/bench/7e56ef2a9e9f727b"
        " UowpWs3wL8HkzR3RnQpFZgmrGqvUjFsdC3rHnY0o5kWlzqVb1m9oY4Kp3rXh2qJb0uJ8m1kRz9Q5lW7bN0cJ2aVxBQ==\n",
    ),
    earlier=tuple(
        Signed(size, NOW - timedelta(hours=hours), f"edge\n{size}\n{'ab' * 22}=\n\n")
        for hours, size in ((3, 1024), (9, 768), (20, 512), (26, 256))
    ),
    rotations=(Rotated(NOW - timedelta(days=3), "0c1d2e3f40516273", "f5c144f0ff6ca0a0", compromised=False),),
    epochs=(
        Begun(NOW - timedelta(days=1), "7e56ef2a9e9f727b", "damaged", "19af20c4d5e6f708 of 41,020 records",
              "41,012 records were saved"),
        Begun(NOW - timedelta(days=90), "19af20c4d5e6f708", "first", "", ""),
    ),
)  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("plain", [False, True], ids=("rich", "plain"))
async def test_the_ledger_screen_shows_what_an_outsider_needs(size, plain, glance, screen_text):
    app = Stage(plain=plain)
    async with app.run_test(size=size) as pilot:
        app.main.show_glance(glance, "")
        screen = LedgerScreen(PROOF, app.glyphs, lambda: NOW, UTC)
        await app.push_screen(screen)
        screen.show_glance(glance, "")

        await is_as_accepted(f"ledger-{'plain' if plain else 'rich'}", size, pilot, lambda: screen_text(app))


async def test_the_checkpoint_and_the_verifier_are_handed_to_the_terminal(glance):
    app = Stage()
    async with app.run_test(size=SIZES[0]) as pilot:
        screen = LedgerScreen(PROOF, app.glyphs, lambda: NOW, UTC)
        await app.push_screen(screen)
        screen.show_glance(glance, "")

        await pilot.press("c")
        assert app.clipboard == PROOF.newest.note
        await pilot.press("k")
        assert app.clipboard == f"{glance.ledger.verifier}\n"


async def test_a_device_that_has_signed_nothing_yet_says_so(glance, screen_text):
    app = Stage()
    async with app.run_test(size=SIZES[0]) as pilot:
        unsigned = glance.model_copy(update={"ledger": glance.ledger.model_copy(update={"checkpoint": None})})
        screen = LedgerScreen(Proof(None, (), (), ()), app.glyphs, lambda: NOW, UTC)
        await app.push_screen(screen)
        screen.show_glance(unsigned, "")
        await pilot.press("c")

        assert "nothing yet" in screen_text(app)
        assert app.clipboard == ""


@pytest.fixture(scope="module")
def lawful():
    """The glance with three laws in force."""
    status = json.loads((HERE / "status.json").read_text())
    return Glance.parse({**status, "laws": json.loads((HERE / "laws.json").read_text())})


@pytest.fixture(scope="module")
def drawings():
    return [LawDrawing.parse(one) for one in json.loads((HERE / "law_drawings.json").read_text()).values()]


async def at_the_laws(app, glance, drawings):
    """Put the laws' screen in front, as the console would."""
    app.main.show_glance(glance, "")
    screen = LawsScreen(app.glyphs, lambda: 100.0, UTC, is_plain=app.glyphs is PLAIN)
    await app.push_screen(screen)
    screen.show_glance(glance, "")
    for drawing in drawings:
        screen.show_drawing(drawing)
    return screen


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("name", "plain", "keys"),
    [("laws", False, ()), ("laws-drawn", False, ("down", "d")), ("laws-plain", True, ("d",))],
)
async def test_the_laws_screen_shows_where_every_workflow_is(name, plain, keys, size, lawful, drawings, screen_text):
    app = Stage(plain=plain)
    async with app.run_test(size=size) as pilot:
        await at_the_laws(app, lawful, drawings)
        await pilot.press(*keys)

        await is_as_accepted(name, size, pilot, lambda: screen_text(app))
        if plain:
            assert {c for c in screen_text(app) if ord(c) > 126} <= {"°"}


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_what_hinders_every_act_stands_above_every_screen(size, lawful, drawings, screen_text):
    hindered = {"maintenance": "ann, 2026-11-22T20:10: changing the belt", "complaints": ("gate.yaml:12:9: no state",)}
    glance = lawful.model_copy(update={"laws": lawful.laws.model_copy(update=hindered)})
    app = Stage()
    async with app.run_test(size=size) as pilot:
        await at_the_laws(app, glance, drawings)

        await is_as_accepted("laws-hindered", size, pilot, lambda: screen_text(app))


async def test_a_denial_says_what_is_allowed_now_and_how_to_get_there(lawful, drawings, screen_text):
    app = Stage()
    async with app.run_test(size=SIZES[0]) as pilot:
        screen = await at_the_laws(app, lawful, drawings)
        screen.show_answer("The oven is in idle. Allowed now: turn heating off. To get there: say begin.", good=False)

        await is_as_accepted("laws-denied", SIZES[0], pilot, lambda: screen_text(app))


@pytest.fixture(scope="module")
def bundles():
    """What the op `bundles` answered on four devices, and what a canary reported."""
    return json.loads((HERE / "bundles.json").read_text())


async def at_the_models(app, glance, listed):
    """Put the models' screen in front, as the console would."""
    app.main.show_glance(glance, "")
    screen = ModelsScreen(app.glyphs, lambda: NOW, lambda: 100.0)
    await app.push_screen(screen)
    screen.show_glance(glance, "")
    screen.show_models(Models.parse(listed))
    return screen


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("name", "of", "plain", "keys"),
    [
        ("models-trial", "on_trial", False, ()),
        ("models-waiting", "waiting", False, ("up", "up")),
        ("models-trust", "waiting", False, ("t",)),
        ("models-fresh", "fresh", False, ()),
        ("models-trying", "trying", False, ("home",)),
        ("models-plain", "on_trial", True, ("down",)),
    ],
)
async def test_the_models_screen_shows_what_decides_and_what_waits(
    name, of, plain, keys, size, glance, bundles, screen_text
):
    app = Stage(plain=plain)
    async with app.run_test(size=size) as pilot:
        await at_the_models(app, glance, bundles[of])
        await pilot.press(*keys)

        await is_as_accepted(name, size, pilot, lambda: screen_text(app))
        if plain:
            assert {c for c in screen_text(app) if ord(c) > 126} <= {"\u00b0"}


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_a_canarys_no_is_a_table_of_what_it_asked(size, glance, bundles, screen_text):
    app = Stage()
    async with app.run_test(size=size) as pilot:
        screen = await at_the_models(app, glance, bundles["waiting"])
        await pilot.press("up", "up")
        screen.show_report(Report.parse(bundles["report"]))
        screen.show_answer("The canary says no: safety: 2 of 240 would be acted on and may not", good=False)

        await is_as_accepted("models-canary", size, pilot, lambda: screen_text(app))


async def test_what_a_stick_or_a_signer_says_sends_nothing_to_the_terminal(glance, bundles, screen_text):
    app = Stage()
    listed = json.loads(json.dumps(bundles["waiting"]))
    listed["revoked"] = {"a": "bad\x1b[2Jnews\x07"}
    listed["returned"] = [{"sha256": listed["a"]["sha256"], "reason": "worse\x1b]0;x", "at": "2026-11-20T10:00:00Z"}]
    async with app.run_test(size=SIZES[1]) as pilot:
        await at_the_models(app, glance, listed)
        await pilot.press("up", "up")
        await pilot.pause(0.2)

        assert not {c for c in screen_text(app) if ord(c) < 32 and c != "\n"}


@pytest.mark.parametrize("plain", [False, True], ids=("rich", "plain"))
async def test_a_person_signs_with_name_and_pin(plain, lawful, screen_text):
    app = Stage(plain=plain)
    signed = []
    async with app.run_test(size=SIZES[0]) as pilot:
        await app.push_screen(
            SignScreen(Signing("Approve this?", "say ask to open, to opening?", "approve"), signed.append)
        )
        await pilot.press(*"ann", "enter", *"4711")

        await is_as_accepted(f"sign-{'plain' if plain else 'rich'}", SIZES[0], pilot, lambda: screen_text(app))
        await pilot.press("enter")
        await pilot.pause()
        assert [(one.person, one.pin) for one in signed] == [("ann", "4711")]
        assert app.screen.query_one(PinBox).value == ""
        assert "4711" not in repr(signed)


@pytest.mark.parametrize("theme", [looks.DARK.name, looks.LIGHT.name])
async def test_the_words_of_an_argument_and_its_value_have_one_colour_and_a_letter(theme, outcomes, glance):
    app = Stage()
    app.theme = theme
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"x", "enter")
        app.main.show_outcome("token", outcomes["done"])
        await pilot.pause(0.3)
        strips = app.screen._compositor.render_strips(app.size)

    styled = [(s.text.strip(), s.style) for strip in strips for s in strip if s.style and s.text.strip()]
    for said, value in (("workshop", "workshop"), ("30 percent", "30 %"), ("extractor", "extractor")):
        underlined = next(style for text, style in styled if text == said and style.underline)
        shown = [style for text, style in styled if text == value and not style.underline]
        assert underlined.color in {style.color for style in shown}, said
    badges = [text for text, style in styled if style.reverse and text in set("abcd")]
    assert badges == ["a", "b", "c", "d", "a", "b", "c", "d"]
