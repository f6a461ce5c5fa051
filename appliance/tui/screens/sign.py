"""Asks an enrolled person for name and PIN, for one act; stays for the next person where several must agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from appliance.contracts.people import MAX_NAME_CHARS
from appliance.tui.signing import Signature, Signing
from appliance.tui.widgets.pin_box import PinBox


class SignScreen(ModalScreen[None]):
    """Name, PIN, Enter; Esc leaves everything as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Leave it"),
        # Taken before the box in front sees it: what is typed right behind belongs to the next box, a PIN above all.
        Binding("enter", "next", "Next", show=False, priority=True),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    DEFAULT_CSS = """
    SignScreen {
        align: center middle;
        #sign {
            width: 64; max-width: 94%; height: auto; padding: 1 2;
            background: $panel; border: solid $warning; border-title-style: bold; border-title-color: $warning;
            border-subtitle-color: $quiet;
        }
        #sign Static { width: 1fr; height: auto; }
        #sign Input {
            border: solid $line; background: $surface; height: 3; border-title-color: $foreground;
            &:focus { border: solid $primary; }
        }
        #sign-said { display: none; margin-top: 1; }
        #sign-said.-on { display: block; }
        #sign-text { margin-bottom: 1; }
    }
    """

    def __init__(self, asked: Signing, submit: Callable[[Signature], None]) -> None:
        """Keep what is asked.

        Args:
            submit: takes the signature; handed in rather than posted, so that no message ever carries a PIN.
        """
        super().__init__()
        self._asked = asked
        self._submit = submit
        self._is_sent = False

    def compose(self) -> ComposeResult:
        """Put what is asked, and the boxes."""
        with Vertical(id="sign"):
            yield Static(id="sign-text")
            if (asks := self._asked.asks) is not None:
                yield Input(id="sign-asks", placeholder=asks.hint, max_length=asks.max_chars)
            hint = "" if self._asked.needs_person else "empty: nobody in particular"
            yield Input(id="sign-name", placeholder=hint, max_length=MAX_NAME_CHARS)
            yield PinBox(id="sign-pin")
            yield Static(id="sign-said")

    def on_mount(self) -> None:
        """Name the box."""
        box = self.query_one("#sign")
        box.border_title = self._asked.title
        asks = self._asked.asks
        for name, title in (("asks", asks.title if asks else ""), ("name", "Name"), ("pin", "PIN")):
            for field in self.query(f"#sign-{name}"):
                field.border_title = title
        box.border_subtitle = f"Enter: {self._asked.yes}   Esc: leave it as it is"
        self.query_one("#sign-text", Static).update(Content(self._asked.text))
        self.set_focus(self.query(Input).first())

    def on_unmount(self) -> None:
        """Leave nothing in the box."""
        for box in self.query(PinBox):
            box.take()

    def action_next(self) -> None:
        """Go on to the next box; from the PIN, sign."""
        boxes = list(self.query(Input))
        at = boxes.index(self.focused) if isinstance(self.focused, Input) else 0
        if at + 1 == len(boxes):
            self._when_typed(boxes, self._sign)
            return
        self.set_focus(boxes[at + 1])
        if boxes[at].id == "sign-name" and not self._asked.needs_person:
            self._when_typed(boxes, self._sign_unnamed)

    def _when_typed(self, boxes: list[Input], work: Callable[[], None]) -> None:
        """Call *work* when every box has taken up the keys that are on their way to it."""
        if boxes:
            boxes[0].call_later(self._when_typed, boxes[1:], work)
        else:
            work()

    def _sign_unnamed(self) -> None:
        if not self.query_one("#sign-name", Input).value.strip():
            self._sign()

    def again(self, text: str) -> None:
        """Ask the next person: this one's approval is there, and it takes another."""
        self._is_sent = False
        self.query_one("#sign-name", Input).value = ""
        self.set_focus(self.query_one("#sign-name", Input))
        self._say(text, "bold $text-success")

    def failed(self, reason: str) -> None:
        """Say why it did not count; the name stays, the PIN does not."""
        self._is_sent = False
        self.set_focus(self.query_one(PinBox))
        self._say(reason, "bold $text-error")

    def _sign(self) -> None:
        pin = self.query_one(PinBox).take()
        name = self.query_one("#sign-name", Input).value.strip()
        said = "".join(box.value.strip() for box in self.query("#sign-asks").results(Input))
        if self._is_sent:
            return
        if (asks := self._asked.asks) is not None and not said:
            self._say(asks.missing, "$text-warning")
            self.set_focus(self.query_one("#sign-asks", Input))
            return
        if (self._asked.needs_person or pin) and not name:
            self._say("Whose PIN is it? Name and PIN belong together.", "$text-warning")
            self.set_focus(self.query_one("#sign-name", Input))
            return
        if name and not pin:
            self._say("The PIN is missing.", "$text-warning")
            return
        self._is_sent = True
        self._say("Asking the device ...", "$text-primary")
        self._submit(Signature(name, pin, said))

    def _say(self, text: str, style: str) -> None:
        said = self.query_one("#sign-said", Static)
        said.add_class("-on")
        said.update(Content.styled(text, style))
