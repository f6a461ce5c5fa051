"""Whom a law asks to approve, read from its text alone: without the tools and sensors of the site that it is for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from appliance.policy.workflow import reader
from appliance.policy.workflow.language import Approval, State, Workflow


class Asks(NamedTuple):
    """One place in a law that waits for people."""

    where: str
    """As complaints name it: `states.shut.go[0]`."""

    approval: Approval


def approvals(text: str) -> tuple[Asks, ...] | None:
    """Return every place of a law that waits for people; None where *text* is no law."""
    try:
        law = Workflow.model_validate_json(json.dumps(reader.read(text.encode()).data))
    except (reader.Unreadable, ValidationError):
        return None
    parts = (one for name, part in law.parts.items() for one in _of_states(f"parts.{name}.states", part.states))
    return (*_of_states("states", law.states), *parts)


def _of_states(where: str, states: Mapping[str, State]) -> Iterator[Asks]:
    for name, state in states.items():
        for n, grant in enumerate(state.tools):
            if grant.approve is not None:
                yield Asks(f"{where}.{name}.tools[{n}]", grant.approve)
        for n, arrow in enumerate(state.go):
            if arrow.approve is not None:
                yield Asks(f"{where}.{name}.go[{n}]", arrow.approve)
