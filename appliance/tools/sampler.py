"""What is measured, newest first at hand: every source is read again and again in a thread of its own.

A thermometer on a wire takes most of a second, and a file of the kernel may never answer. Whoever asks here gets the
newest sample with the moment at which its reading *began*: a value is never taken for newer than it is.

Covers: a source that hangs (its sample only grows old, nothing else waits), that raises, that comes and goes.
Does not cover: whether a sensor tells the truth.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from appliance.contracts.audit import Moment
from appliance.contracts.clock import Clock

FRESH_WITHIN_S: Final = 0.05
"""How long `fresh` waits at most; a source that is slower than this is not waited for."""

STOP_WITHIN_S: Final = 1.0
"""How long `stop` waits for readings under way; a hung one is left behind."""


class Source(NamedTuple):
    """Where a value comes from."""

    kind: Literal["sensor", "device"]
    name: str


class Stands(NamedTuple):
    """How a lamp, a machine or a door stands, read back from its output."""

    word: str
    powered: bool
    """On, running, open, unlocked."""


class Measured(NamedTuple):
    """What a sensor shows, as far as anything may act on it."""

    value: bool | float | None
    """A contact is true while it is open."""

    fault: str = ""
    """Why there is none."""


Value = Measured | Stands | None
"""None: there is no such source, or its driver raised."""


class Sample(NamedTuple):
    """One reading."""

    value: Value
    at: Moment
    """When the reading began."""


class Sampler:
    """Reads what it is told to watch."""

    def __init__(self, read: Callable[[Source], Value], clock: Clock) -> None:
        """Keep what is needed to read; no thread runs yet.

        Args:
            read: one reading; it may take long, hang, or raise.
        """
        self._read = read
        self._clock = clock
        self._told = threading.Condition()  # guards everything below, and is told when nothing is awaited any more
        self._wanted: dict[str, dict[Source, float]] = {}
        self._probes: dict[Source, _Probe] = {}
        self._awaited: list[dict[_Probe, int]] = []
        """For each that waits: the sources that have not answered yet, and the number of the reading that they owe."""

        self._version = 0
        self._stopped = False

    @property
    def version(self) -> int:
        """Count the changes of values so far: one that was another before, was not there, or is gone."""
        with self._told:
            return self._version

    def watch(self, who: str, sources: Mapping[Source, float]) -> None:
        """Read *sources* from now on, each about every so many seconds; they replace what *who* watched before."""
        with self._told:
            if self._stopped or self._wanted.get(who) == sources:
                return
            self._wanted[who] = dict(sources)
            every_s: dict[Source, float] = {}
            for wanted in self._wanted.values():
                for source, pause_s in wanted.items():
                    every_s[source] = min(pause_s, every_s.get(source, pause_s))
            for source in self._probes.keys() - every_s.keys():
                self._probes.pop(source).end()
                self._version += 1
            for source, pause_s in every_s.items():
                probe = self._probes.get(source)
                if probe is None:
                    self._probes[source] = probe = _Probe(source, self._reading, self._sampled)
                    probe.every_s = pause_s
                    probe.thread.start()
                probe.every_s = pause_s

    def newest(self, source: Source) -> Sample | None:
        """Return the newest sample of *source*; None before the first."""
        with self._told:
            probe = self._probes.get(source)
            return None if probe is None else probe.sample

    def fresh(self, sources: Iterable[Source] | None = None) -> bool:
        """Read *sources* again now, all that are watched when absent, and wait a moment for those that are quick.

        Returns:
            Whether every quick one has answered; a slow one is as old as it is.
        """
        with self._told:
            now_s = self._clock.monotonic_s()
            asked = {
                probe: probe.ask()
                for source in (self._probes if sources is None else sources)
                if (probe := self._probes.get(source)) is not None and probe.is_quick(now_s)
            }
            self._awaited.append(asked)
            answered = self._told.wait_for(lambda: not asked, FRESH_WITHIN_S)
            self._awaited = [one for one in self._awaited if one is not asked]
            return answered

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> None:
        """Read no more; a reading that hangs is left behind."""
        with self._told:
            self._stopped = True
            probes = tuple(self._probes.values())
            for probe in probes:
                probe.end()
        until_s = self._clock.monotonic_s() + timeout_s
        for probe in probes:
            probe.thread.join(max(0.0, min(timeout_s, until_s - self._clock.monotonic_s())))

    def _reading(self, probe: _Probe) -> tuple[Sample, float]:
        began = self._clock.moment()
        began_s = self._clock.monotonic_s()
        with self._told:
            probe.began_s = began_s
        try:
            value = self._read(probe.source)
        except Exception as error:  # noqa: BLE001 -- a driver raises what it likes: no value, and the thread goes on
            value = Measured(None, f"it cannot be read: {type(error).__name__}: {error}")
        return Sample(value, began), self._clock.monotonic_s() - began_s

    def _sampled(self, probe: _Probe, sample: Sample, took_s: float, serving: int) -> None:
        with self._told:
            if probe.sample is None or probe.sample.value != sample.value:
                self._version += 1
            probe.sample, probe.took_s, probe.began_s = sample, took_s, None
            for asked in self._awaited:
                if asked.get(probe, serving + 1) <= serving:
                    del asked[probe]
                    if not asked:  # one wake-up for the last of many, not one for each
                        self._told.notify_all()


class _Probe:
    """One source and the thread that reads it; its fields are guarded by the sampler's condition."""

    def __init__(
        self,
        source: Source,
        reading: Callable[[_Probe], tuple[Sample, float]],
        sampled: Callable[[_Probe, Sample, float, int], None],
    ) -> None:
        self.source = source
        self.every_s = 1.0
        self.sample: Sample | None = None
        self.took_s = 0.0
        self.began_s: float | None = None
        """Of the reading under way."""

        self.ended = False
        self._asked_n = 0
        self._reading = reading
        self._sampled = sampled
        self._wake = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"sample-{source.name}", daemon=True)

    def ask(self) -> int:
        """Want one more reading; return its number."""
        self._asked_n += 1
        self._wake.set()
        return self._asked_n

    def is_quick(self, now_s: float) -> bool:
        """Return whether it usually answers while somebody waits, and does not hang now."""
        under_way_s = 0.0 if self.began_s is None else now_s - self.began_s
        return max(self.took_s, under_way_s) <= FRESH_WITHIN_S

    def end(self) -> None:
        """Let the thread end after the reading under way."""
        self.ended = True
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            if self.ended:  # looked at after clearing: an end that comes later wakes the sleep below
                return
            serving = self._asked_n  # whoever asks later than this waits for the next reading
            sample, took_s = self._reading(self)
            self._sampled(self, sample, took_s, serving)
            # A slow one rests as long as it took: a DS18B20 that is always measuring warms itself.
            self._wake.wait(max(self.every_s, took_s))
