"""What the laws in force measure: sensors and devices of this site, each value with the moment its reading began.

Covers: nothing but what this device reads back itself; what a model, a controller or words claim has no way in here.
Does not cover: whether a value is fresh, plausible and of the declared type; `policy.workflow.measuring` judges that,
when a guard asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from appliance.policy.workflow import expression
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.language import Measure
from appliance.policy.workflow.run import Reading
from appliance.tools.sampler import Sampler, Source, Stands, Value
from appliance.tools.sensors import source_of

LOOK_EVERY_S: Final = 1.0
SHORTEST_PAUSE_S: Final = 0.05
"""However soon a law calls a value stale."""


class Readings:
    """The newest values, by law."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    @property
    def version(self) -> int:
        """Grows whenever a value changes."""
        return self._sampler.version

    def watch(self, laws: Iterable[Compiled]) -> None:
        """Say for which laws to measure from now on; readings begin at once."""
        wanted: dict[Source, float] = {}
        for law in laws:
            for measure in law.measures.values():
                source = _source(measure)
                # Twice within the time after which it is stale, so that one late reading does not make it unknown.
                pause_s = max(SHORTEST_PAUSE_S, min(LOOK_EVERY_S, measure.stale_after / 2))
                wanted[source] = min(pause_s, wanted.get(source, pause_s))
        self._sampler.watch("laws", wanted)

    def fresh(self) -> None:
        """Look again now, as far as that is quick: a contact that has just changed counts."""
        self._sampler.fresh()

    def of(self, law: Compiled) -> dict[str, Reading]:
        """Return what *law* measures, by its own names; what has not been read yet is not in it."""
        found = {}
        for name, measure in law.measures.items():
            sample = self._sampler.newest(_source(measure))
            if sample is not None:
                found[name] = Reading(_typed(measure, sample.value), sample.at)
        return found

    def stop(self) -> None:
        """Measure no more."""
        self._sampler.stop()


def _source(measure: Measure) -> Source:
    if measure.sensor is not None:
        return source_of(measure.sensor)
    assert measure.device is not None  # a measure has exactly one source
    return Source("device", measure.device.casefold())


def _typed(measure: Measure, value: Value) -> expression.Value | None:
    """Return *value* as the measure declares it: a device as its word, or as a boolean; a number stays one."""
    if isinstance(value, Stands):
        return value.word if measure.type == "word" else value.powered if measure.type == "boolean" else None
    return None if value is None else value.value
