"""Needle weights that the owner supplies, run by `needle-rs` in a process of its own, on the device.

Nothing leaves the device, so nothing is blanked. Needle writes values; they are looked for in the request like those of
a server, and go through the same gate. Its confidence is its own and calibrated on nothing here, so it is not used: a
person confirms what it proposes.

A process for each question, because a fault in needle-rs ends the process that it runs in (its wheel aborts where it
panics: a damaged file was enough), and because a question that takes too long can then be ended.

Covers: v1 (safetensors and vocabulary), v2 and v3 (`.cact`); weights that are not those whose hash the owner wrote;
hostile weights that take the child over: it has no network, writes nothing, moves no pin and touches no other process.
Does not cover: hostile weights that propose calls on purpose; a person confirms them. Take weights from whom you trust.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from appliance.adapters import asking, bounded, masking, needle_child
from appliance.adapters.asking import CALLS_N, BadAnswer
from appliance.adapters.bounded import TooMuch
from appliance.adapters.chosen import EscalationSettings
from appliance.adapters.saying import Silent, Word
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Parameter, ToolSpec
from appliance.errors import BundleError

PINNED: Final = "0.3.1"
"""The version of needle-rs that this was tried with; another one is not used."""

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_WEIGHTS_BYTES: Final = 256 * 2**20
_CHILD: Final = (sys.executable, "-I", "-m", "appliance.adapters.needle_child")
_TYPES: Final = {"integer": "integer", "number": "number", "boolean": "boolean", "array": "array"}


class _Call(TypedDict):
    name: str
    arguments: dict[str, JsonValue]


_CALLS: Final = TypeAdapter(list[_Call])


class Needle:
    """Needle on this device, as the owner chose it."""

    kind = "needle"

    def __init__(self, chosen: EscalationSettings, home: Path) -> None:
        self._generation = chosen.generation
        self._weights = home / chosen.weights, chosen.weights_sha256
        self._vocabulary = home / chosen.vocabulary, chosen.vocabulary_sha256
        self._time_limit_s = chosen.time_limit_s
        self.name = f"needle-{chosen.generation}"
        self.where_sha256 = chosen.weights_sha256

    def lacks(self) -> str:
        """Return what keeps it from being asked at all; empty where nothing does. Asks nobody."""
        try:
            self._files()
        except BundleError as error:
            return str(error)
        return ""

    def ask(self, text: str, tools: Sequence[ToolSpec]) -> Word:
        """Ask what *text* wants of *tools*.

        Raises:
            Silent: there is no answer; says why.
        """
        try:
            return Word(_read(self.run(text, json.dumps([_flat(tool) for tool in tools])), text, tools))
        except BadAnswer as error:
            raise Silent("malformed", str(error)) from error
        except BundleError as error:
            raise Silent("unreachable", str(error)) from error

    def run(self, text: str, tools: str) -> str:
        """Return what the network writes.

        Raises:
            BundleError: needle-rs is missing or another version, or a file is not the one that the owner named.
            Silent: it faulted, or took too long.
        """
        # What was hashed is what is loaded: the bytes go to the child, not the path.
        weights, vocabulary = self._files()
        errand = {"generation": self._generation, "weights_n": len(weights), "text": text, "tools": tools}
        told = json.dumps(errand).encode("ascii") + b"\n" + weights + vocabulary
        try:
            ended = bounded.run(_CHILD, told, limit_s=self._time_limit_s, most_bytes=MAX_ANSWER_BYTES)
        except TooMuch as error:
            raise Silent("malformed", f"it wrote more than {MAX_ANSWER_BYTES} bytes") from error
        except TimeoutError as error:
            raise Silent("timeout", f"no answer within {self._time_limit_s:g} s") from error
        except OSError as error:
            raise Silent("fault", f"its process cannot be started: {error.strerror}") from error
        if ended.status == needle_child.UNCONFINED:
            raise Silent("fault", "its weights cannot be run safely here; install libseccomp2")
        if ended.status != 0:
            raise Silent("fault", f"its process ended with {ended.status}")
        return ended.said.decode("utf-8", "replace")

    def _files(self) -> tuple[bytes, bytes]:
        """Return the weights and the vocabulary, if they and needle-rs are those that were named.

        Raises:
            BundleError: they are not; says which setting, and no path: it is recorded.
        """
        _require_needle_rs()
        weights = _checked("weights", *self._weights)
        return weights, _checked("vocabulary", *self._vocabulary) if self._generation == 1 else b""


def _require_needle_rs() -> None:
    try:
        version = importlib.metadata.version("needle-rs")
    except importlib.metadata.PackageNotFoundError as error:
        raise BundleError("needle-rs is not installed; install the extra `needle`") from error
    if version != PINNED:
        raise BundleError(f"needle-rs {version} is installed, {PINNED} is the one that was tried")


def _checked(setting: str, path: Path, sha256: str) -> bytes:
    """Return the bytes of a file, if they are those that the owner named; what is hashed is what is loaded."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_WEIGHTS_BYTES + 1)
    except OSError as error:
        raise BundleError(f"the file under `{setting}` cannot be read: {error.strerror}") from error
    if len(raw) > MAX_WEIGHTS_BYTES:
        raise BundleError(f"the file under `{setting}` is larger than {MAX_WEIGHTS_BYTES} bytes")
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise BundleError(f"the file under `{setting}` has the hash {found}, and not the one in [escalation]")
    return raw


def _flat(tool: ToolSpec) -> dict[str, object]:
    """Write a tool in the flat form that Needle was trained on."""
    parameters = {parameter.name: _parameter(parameter) for parameter in tool.parameters}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


def _parameter(parameter: Parameter) -> dict[str, object]:
    kind = _TYPES.get(parameter.kind, "string")
    told: dict[str, object] = {"type": kind, "description": parameter.description, "required": parameter.required}
    return told | ({"enum": list(parameter.options)} if parameter.options else {})


def _read(said: str, text: str, tools: Sequence[ToolSpec]) -> tuple[ToolCall, ...]:
    """Read `[{"name": ..., "arguments": {...}}]`; a network that declines writes `[]`; nothing at all is no answer."""
    if not said.strip():
        raise BadAnswer("it wrote no call, and not that there is none")
    try:
        calls = _CALLS.validate_json(said, strict=True)
    except ValidationError as error:
        raise BadAnswer("what it wrote is no list of calls") from error
    if len(calls) > CALLS_N:
        raise BadAnswer(f"it wrote {len(calls)} calls, {CALLS_N} are the most")
    whole = masking.unmasked(text)
    return tuple(asking.call(one["name"], one["arguments"], whole, tools) for one in calls)
