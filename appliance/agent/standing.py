"""What stands at the broker for whoever asks: keys, state, checkpoint and description, each said again when it changed.

The order is the order of a connection: how the device came by its key first, because everything after is signed with
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appliance.agent.announcing import Announcer, Description
from appliance.contracts.clock import Clock
from appliance.contracts.envelope import DeviceWord, Reported, State
from appliance.transport.mqtt import Link

COUNTERS_EVERY_S: Final = 10.0

CHECKPOINT_EVERY_S: Final = 5.0
"""A busy device signs more often than outsiders need to hear of it."""


class Standing:
    """Keeps the retained messages of one device as they should be; used by the uplink's thread."""

    def __init__(
        self,
        announcer: Announcer,
        *,
        clock: Clock,
        status: Callable[[], DeviceWord],
        describe: Callable[[], Description],
        checkpoint: Callable[[], str | None],
        state_every_s: float,
        report: Callable[[], Reported] | None = None,
    ) -> None:
        self._announcer = announcer
        self._clock = clock
        self._status = status
        self._describe = describe
        self._checkpoint = checkpoint
        self._state_every_s = state_every_s
        self._report = report
        self._report_due = False
        self._said: State | None = None
        self._said_s = 0.0
        self._shown: str | None = None
        self._shown_s = 0.0
        self._keys_due = self._desc_due = True

    def opened(self) -> None:
        """Say everything again: the broker may have forgotten it."""
        self._said = self._shown = None
        self._keys_due = self._desc_due = self._report_due = True

    def reconfigured(self) -> None:
        """Say the configuration again; any thread may call this."""
        self._report_due = True

    def tell(self, link: Link, session: int, limit_bytes: int) -> None:
        """Say what has changed, as far as there is room."""
        self._tell_keys(link)
        self._tell_state(link, session)
        self._tell_checkpoint(link)
        if self._desc_due:
            message = self._announcer.desc_message(self._describe(), limit_bytes)
            self._desc_due = not link.publish(message, self._desc_settled)
        self._tell_reported(link)

    def _tell_keys(self, link: Link) -> None:
        if self._keys_due:
            message = self._announcer.keys_message()
            self._keys_due = message is not None and not link.publish(message, self._keys_settled)

    def _tell_state(self, link: Link, session: int) -> None:
        state = self._announcer.state(self._status(), session)
        said = self._said
        age_s = self._clock.monotonic_s() - self._said_s
        if said is not None and said == state.model_copy(
            update={"at": said.at, "counters": said.counters, "group_counters": said.group_counters}
        ):
            # Counters move with every command; a controller restored from a backup can wait for them.
            wait_s = self._state_every_s if _counted(said) == _counted(state) else COUNTERS_EVERY_S
            if age_s < wait_s:
                return
        if link.publish(self._announcer.state_message(state), self._state_settled):
            # A controller whose queue at the broker ran over may have missed a change of key.
            self._keys_due = self._keys_due or age_s >= self._state_every_s
            self._said, self._said_s = state, self._clock.monotonic_s()

    def _tell_checkpoint(self, link: Link) -> None:
        now_s = self._clock.monotonic_s()
        if self._shown is not None and now_s - self._shown_s < CHECKPOINT_EVERY_S:
            return
        note = self._checkpoint()
        if note is not None and note != self._shown:
            message = self._announcer.checkpoint_message(note)
            if link.publish(message, self._checkpoint_settled):
                self._shown, self._shown_s = note, now_s

    def _tell_reported(self, link: Link) -> None:
        if self._report is not None and self._report_due:
            self._report_due = False  # first: what changes from here on is said once more
            if not link.publish(self._announcer.reported_message(self._report()), self._reported_settled):
                self._report_due = True

    def _reported_settled(self, taken: bool) -> None:  # noqa: FBT001 -- the link's callback
        self._report_due = self._report_due or not taken

    def _keys_settled(self, taken: bool) -> None:  # noqa: FBT001 -- the link's callback
        self._keys_due = self._keys_due or not taken

    def _state_settled(self, taken: bool) -> None:  # noqa: FBT001 -- the link's callback
        if not taken:
            self._said = None

    def _checkpoint_settled(self, taken: bool) -> None:  # noqa: FBT001 -- the link's callback
        if not taken:
            self._shown = None

    def _desc_settled(self, taken: bool) -> None:  # noqa: FBT001 -- the link's callback
        self._desc_due = self._desc_due or not taken


def _counted(state: State) -> tuple[dict[str, int], dict[str, int]]:
    return state.counters, state.group_counters
