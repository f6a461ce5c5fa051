"""The bundle that decides, and what it runs on."""

from __future__ import annotations

import os
import statistics
import time
from typing import Final

from appliance import __version__, settings
from appliance.agent import model
from appliance.checks.finding import Finding, Patient
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import BundleError
from appliance.inference.bundle import NETWORK, load_bundle
from appliance.inference.interpreter import Runtime

SLOW_PROPOSE_MS: Final = 250.0
"""A person notices a longer wait; a Pi 3 with LiteRT needs less."""

_PROBE_WORDS: Final = "dim the lights in the workshop to thirty percent please"


def bundle(patient: Patient) -> Finding:
    """The model is whole: every file is what its manifest says."""
    try:
        folder = settings.bundle_folder(patient.settings, patient.home.root)
        loaded = load_bundle(folder, __version__)
    except BundleError as error:
        remedy = "Reinstall the software, or name a whole bundle under [model] bundle."
        return Finding("bundle", "fail", str(error), remedy)
    manifest = loaded.manifest
    sha256 = manifest.files[NETWORK].sha256
    found = f"{manifest.name} {manifest.version}, {len(manifest.files)} files whole, network sha256 {sha256}"
    return Finding("bundle", "ok", found)


def runtime(patient: Patient) -> Finding:
    """Which runtime runs the model, how fast, with how many threads."""
    chosen = patient.settings.model
    try:
        folder = settings.bundle_folder(patient.settings, patient.home.root)
        loaded = model.load(folder, runtime=chosen.runtime, threads_n=chosen.threads)
    except BundleError as error:
        return Finding("runtime", "fail", str(error), "pip install ai-edge-litert, in this software's environment.")
    took_ms = statistics.median(_proposals_ms(loaded, 7))
    cores = len(os.sched_getaffinity(0))
    found = f"{loaded.runtime}, {took_ms:.1f} ms for a short request, {chosen.threads} threads on {cores} cores"
    if chosen.threads > cores:
        remedy = f"[model] threads = {cores}: more threads than cores wait for each other."
        return Finding("runtime", "warn", found, remedy)
    if took_ms > SLOW_PROPOSE_MS:
        slow = loaded.runtime.startswith(Runtime.TFLITE)
        remedy = (
            "Install ai-edge-litert, which is faster." if slow else "Look for throttling, and for what else runs here."
        )
        return Finding("runtime", "warn", found, remedy)
    return Finding("runtime", "ok", found)


def _proposals_ms(loaded: model.Model, n: int) -> list[float]:
    properties = {"room": {"type": "string"}, "level": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["room", "level"]}
    tools = [
        ToolSpec.from_schema(f"set_{thing}", f"Set the {thing} of a room", schema)
        for thing in ("light", "heating", "blind", "fan", "volume")
    ]
    took = []
    for _ in range(n + 1):  # the first allocates
        begun = time.perf_counter()
        loaded.decoder.propose(_PROBE_WORDS, tools)
        took.append((time.perf_counter() - begun) * 1000)
    return took[1:]
