"""Readings under many threads: a value is never taken for newer than it is."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.agent.clock import SystemClock
from appliance.tools.sampler import Sampler, Source

CLOCK = SystemClock(1)
takes_ms = st.sampled_from([0, 0, 1, 3, 20, 70])


@settings(max_examples=25, deadline=None)
@given(st.lists(takes_ms, min_size=1, max_size=6), st.integers(1, 4), st.sampled_from([0.001, 0.01, 5.0]))
def test_no_value_is_newer_than_its_moment_says(takes, asked_n, every_s):
    sources = {Source("sensor", str(n)): ms / 1000 for n, ms in enumerate(takes)}

    def read(source):
        time.sleep(sources[source])
        return CLOCK.monotonic_s()  # the value is the moment at which it was really taken

    sampler = Sampler(read, CLOCK)
    sampler.watch("laws", dict.fromkeys(sources, every_s))
    try:
        for _ in range(asked_n):
            sampler.fresh()
            samples = [sample for source in sources if (sample := sampler.newest(source)) is not None]
            # A moment is written to the microsecond.
            assert all(sample.at.monotonic_s <= sample.value + 1e-6 for sample in samples)
    finally:
        sampler.stop()
