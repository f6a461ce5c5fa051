"""Everything that a tool can energise, and the stop that no tool can hold up.

Every output has the same safe value, 0.0: off, closed, locked. That is a rule of wiring, checked nowhere but in the
site's description: whatever must stay powered to be safe does not belong on an output.

Covers: a tool that hangs, also between two writes (no lock is shared with it); a write that races with the stop (it
looks again after writing, and takes back its own); a call that was given up (`bar`); a pin that refuses to be written
(the others are still made safe, and the failure is reported); a relay forgotten by its tool (`for_s`).
Does not cover: a pin driver that blocks inside the kernel; `kill -9` on real pins, whose levels the kernel keeps until
the next start makes them safe; a machine that needs current to be safe.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.errors import ApplianceError
from appliance.tools.pins import Channel

SAFE: Final = 0.0
SAFE_WITHIN_S: Final = 0.2
"""From the call of `make_safe` to the last pin; measured 0.1 ms for 40 mock pins."""


class OutputsLatched(ApplianceError):
    """The emergency stop is latched; nothing can be energised until a person releases it."""


class CallGivenUp(ApplianceError):
    """The call was reported as failed long ago; what its tool still tries is not let through."""


class MadeSafe(NamedTuple):
    """What an emergency stop did."""

    took_s: float
    failed: tuple[str, ...]
    """Outputs that could not be written, each with the reason."""


class _Hold(NamedTuple):
    until_s: float
    timer: threading.Timer


class Outputs:
    """The outputs of a site, safe from the first moment."""

    def __init__(self, channels: Mapping[str, Channel], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._channels = dict(channels)
        self._monotonic = monotonic
        self._latched: str | None = None
        self.stops_n = 0
        """Emergency stops so far: what one has ended does not go on by itself when the latch is released."""

        self._barred: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._holds: dict[str, _Hold] = {}
        # Held for a dictionary access, never while a pin is written or a tool runs; the stop does not take it.
        self._holds_lock = threading.Lock()
        for channel in self._channels.values():
            channel.write(SAFE)

    @property
    def latched(self) -> str | None:
        """Return why the emergency stop is latched, None while it is not."""
        return self._latched

    def energise(self, name: str, value: float, *, for_s: float | None = None) -> None:
        """Set output *name*; with *for_s* it goes back to safe after that time, whatever becomes of the caller.

        Raises:
            OutputsLatched: an emergency stop came before or while this was done; the output is safe.
            CallGivenUp: the calling thread's tool call timed out earlier.
        """
        channel = self._channels[name]
        self._refuse_if_stopped()
        # The end is arranged before the beginning, so that nothing ever runs without one.
        self._hold(name, None if value == SAFE else for_s)
        channel.write(value)
        # The stop latches first and writes second, so a write that it could not see finds the latch here.
        if value != SAFE and (self._latched is not None or threading.current_thread() in self._barred):
            channel.write(SAFE)
            self._refuse_if_stopped()

    def settle(self, name: str) -> None:
        """Set output *name* to its safe value; always permitted."""
        self._hold(name, None)
        self._channels[name].write(SAFE)

    def read(self, name: str) -> float:
        """Read output *name* back from its pin."""
        return self._channels[name].read()

    def left_s(self, name: str) -> float | None:
        """Return how long *name* still runs before it stops by itself."""
        hold = self._holds.get(name)
        if hold is None or self.read(name) == SAFE:
            return None
        return max(0.0, hold.until_s - self._monotonic())

    def make_safe(self, reason: str) -> MadeSafe:
        """Latch, and drive every output to its safe value; takes no lock, no database, and never raises."""
        began_s = self._monotonic()
        self._latched = reason or "emergency stop"
        self.stops_n += 1
        failed = []
        for name, channel in self._channels.items():
            try:
                channel.write(SAFE)
            except Exception as error:  # noqa: BLE001 -- one broken pin must not keep the others energised
                failed.append(f"{name}: {error}")
        return MadeSafe(self._monotonic() - began_s, tuple(failed))

    def release(self) -> None:
        """Let go of the latch; every output stays safe until a tool is called again."""
        self._latched = None

    def bar(self, thread: threading.Thread) -> None:
        """Let nothing through that *thread* still tries: its call has been given up."""
        self._barred.add(thread)

    def state(self) -> JsonObject:
        """Return every output's value, read back now."""
        return {name: round(channel.read(), 4) for name, channel in self._channels.items()}

    def close(self) -> None:
        """Make everything safe and give the pins back."""
        self.make_safe("the appliance stopped")
        for name in tuple(self._holds):
            self._hold(name, None)
        for channel in self._channels.values():
            channel.close()

    def _refuse_if_stopped(self) -> None:
        if self._latched is not None:
            raise OutputsLatched(f"stopped ({self._latched}); release the emergency stop first")
        if threading.current_thread() in self._barred:
            raise CallGivenUp("this call was given up after its time limit; ask again")

    def _hold(self, name: str, for_s: float | None) -> None:
        """Arrange that *name* goes back to safe after *for_s*, in place of what was arranged before."""
        hold = None
        if for_s is not None:
            # A thread of its own: the machine stops on time also while the daemon is busy or a tool hangs.
            timer = threading.Timer(for_s, self._expire, (name,))
            timer.daemon = True
            hold = _Hold(self._monotonic() + for_s, timer)
        with self._holds_lock:
            before = self._holds.pop(name, None)
            if hold is not None:
                self._holds[name] = hold
        if before is not None:
            before.timer.cancel()
        if hold is not None:
            hold.timer.start()

    def _expire(self, name: str) -> None:
        with self._holds_lock:
            hold = self._holds.get(name)
            if hold is None or hold.timer is not threading.current_thread():
                return  # arranged anew in the meantime
            del self._holds[name]
        self._channels[name].write(SAFE)
