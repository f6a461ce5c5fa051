"""What a check and a simulation know of the place where a law will hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from appliance.policy.workflow.expression import Kind


class World(NamedTuple):
    """The site, as far as a law speaks of it."""

    times_s: Mapping[str, float] = {}
    """By tool: how long it may take before it counts as hanging."""

    sensors: Mapping[str, tuple[Kind, str]] | None = None
    """By name: what a sensor measures, and its unit; None where the site is not known."""

    devices: Mapping[str, tuple[str, ...]] | None = None
    """By name: the words for how a lamp, machine or door stands; two words may be read as a boolean."""

    needs: Mapping[str, str] = {}
    """By tool that wants a device: the section of the settings that brings it, here or at another site."""
