"""The device at a glance: three lines at the top of the main screen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from textual.content import Content
from textual.widgets import Static

from appliance.contracts.plainly import plain_name
from appliance.tui.glance import Glance, Ledger, Link
from appliance.tui.glyphs import Glyphs

LATE_S: Final = 300.0
"""A record that nobody has vouched for after so long wants a look; the device signs once a minute."""

_STATE_STYLES: Final = {
    "idle": "$text-success",
    "deciding": "$text-primary",
    "acting": "$text-primary",
    "asking": "$text-warning",
    "confirming": "$text-warning",
    "degraded": "$text-warning",
    "stopped": "$text-error",
    "booting": "$quiet",
}


class GlanceBar(Static):
    """Which device, what it is doing, on what it runs, and what has not left it yet."""

    DEFAULT_CSS = """
    GlanceBar { height: auto; max-height: 6; background: $panel; padding: 0 1; }
    """

    def __init__(self, glyphs: Glyphs, now: Callable[[], datetime], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._glyphs = glyphs
        self._now = now
        self._glance: Glance | None = None
        self._is_lost = True

    def show(self, glance: Glance | None, *, is_lost: bool) -> None:
        """Show *glance*; what is shown while the daemon is gone is marked as old."""
        self._glance, self._is_lost = glance, is_lost
        self._paint()

    def on_mount(self) -> None:
        """Let ages grow while nothing else happens."""
        self.set_interval(30, self._paint)

    def on_resize(self) -> None:
        """Set the lines anew."""
        self._paint()

    def _paint(self) -> None:
        width = max(20, self.size.width)
        if self._glance is None:
            self.update(Content.styled("Waiting for the daemon ...", "$quiet"))
            return
        found = self._glance
        dot = f" {self._glyphs.dot} "
        state = "no answer" if self._is_lost else found.state_word
        style = "$text-error" if self._is_lost else _STATE_STYLES.get(found.state_word, "")
        left = Content.assemble(
            (found.name or found.device, "bold"),
            (f" at {found.site}" if found.site else "", "$quiet"),
            "  ",
            (f"{self._glyphs.on} {state}", f"bold {style}"),
        )
        needs = []
        if found.waiting:
            needs.append((f" {len(found.waiting)} waiting (F4) ", "reverse bold $text-warning"))
        pending = [run for run in found.laws.workflows if run.pending is not None]
        if pending:
            named = plain_name(pending[0].workflow) if len(pending) == 1 else f"{len(pending)} laws"
            needs.append((f" {named} waits for people (F7) ", "reverse bold $text-warning"))
        if found.indeterminate:
            needs.append((f" {len(found.indeterminate)} in doubt ", "reverse bold $text-error"))
        first = _spread(left, Content(" ").join([Content.styled(*need) for need in needs]), width)
        bundle = f"{found.bundle.name} {found.bundle.version}".strip()
        facts = [
            ("pins simulated", "$text-accent") if found.simulated else ("real pins", "$text-success"),
            (bundle, "$quiet") if bundle else ("no model", "$text-warning"),
            ("clock ok", "$quiet") if found.clock == "trusted" else (f"clock {found.clock}", "$text-warning"),
        ]
        second = _spread(
            Content.styled(dot, "$line").join([Content.styled(*fact) for fact in facts]),
            link_line(found.link, self._now()),
            width,
        )
        third = _spread(*ledger_line(found.ledger, self._now(), dot), width)
        reasons = [Content.styled(f"{self._glyphs.failed} {reason}", "$text-warning") for reason in found.degraded]
        self.update(Content("\n").join([first, second, third, *reasons]))


def link_line(link: Link, now: datetime) -> Content:
    """Say how far the fleet is behind."""
    if not link.enrolled:
        return Content.styled("standalone", "$quiet")
    queued_n = link.audit.queued_n + link.evt.queued_n
    word, style = ("connected", "$text-success") if link.connected else ("offline", "$text-warning")
    age = f" ({ago(now, link.oldest_unsent_at)})" if link.oldest_unsent_at and queued_n else ""
    return Content.assemble(
        (f"fleet {word}", style), (f", {queued_n} unsent{age}" if queued_n else ", all sent", "$quiet")
    )


def ledger_line(ledger: Ledger, now: datetime, dot: str) -> tuple[Content, Content]:
    """Say how far the ledger is, and how far somebody vouches for it; the ends of a line."""
    records = Content.styled(f"ledger {ledger.records:,} records", "$quiet")
    signed = ledger.checkpoint
    if signed is None:
        return records, Content.styled("nothing signed yet", "$text-warning" if ledger.records else "$quiet")
    is_late = ledger.unsigned > 0 and signed.at is not None and (now - signed.at).total_seconds() > LATE_S
    tail = f"{ledger.unsigned:,} unsigned" if ledger.unsigned else "all signed"
    left = Content.assemble(records, (dot, "$line"), (tail, "$text-warning" if is_late else "$quiet"))
    age = f" {ago(now, signed.at)} ago" if signed.at else ""
    return left, Content.assemble((f"signed{age}  ", "$quiet"), (signed.root[:8], "$text-accent"), (" (F5)", "$quiet"))


def ago(now: datetime, then: datetime) -> str:
    """Write how long ago *then* was, in one unit."""
    seconds = max(0.0, (now - then).total_seconds())
    for size_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _spread(left: Content, right: Content, width: int) -> Content:
    """Put *left* and *right* at the two ends of a line; on a narrow one *right* follows."""
    gap = width - left.cell_length - right.cell_length
    return Content.assemble(left, " " * max(2, gap), right)
