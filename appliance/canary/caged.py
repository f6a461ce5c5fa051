"""The child: gives up its rights, loads a bundle that nobody trusts yet, answers, and waits for its end.

Run as `python -I -m appliance.canary.caged` by `cage`, which alone speaks to it.

Covers: see `appliance.confinement`. Does not cover: a bundle that takes this process over can answer what it likes; the
parent takes nothing from here but typed answers, and judges them itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from pydantic import BaseModel, ValidationError

from appliance import confinement
from appliance.agent import model
from appliance.canary.errand import Answered, Caged, Errand, Failed, Finished, Ready
from appliance.errors import BundleError, InputTooLong
from appliance.inference import interpreter
from appliance.inference.interpreter import Runtime


def main() -> None:
    """Do the errand on standard input."""
    try:
        errand = Errand.model_validate_json(sys.stdin.buffer.read())
        os.nice(errand.niceness)
        # A module that is imported later would be looked for behind the bars.
        interpreter.find(Runtime(errand.runtime))
        held = confinement.confine(_readable(errand), address_space_mb=errand.address_space_mb, cpu_s=errand.cpu_s)
        if errand.least and not confinement.is_enough(held):
            _say(Failed(reason=f"a bundle cannot be tried safely here (held: {', '.join(held)}); install libseccomp2"))
        else:
            _say(Caged())
            _answer(errand, held)
    except MemoryError:
        _say(Failed(reason="it wants more memory than a bundle may have"))
    except BundleError as fault:
        _say(Failed(reason=str(fault)[:2000]))
    except (ValidationError, ValueError, OSError, RuntimeError) as fault:
        _say(Failed(reason=f"{type(fault).__name__}: {fault}"[:2000]))
    while True:
        # The parent reads what this process took while it still exists, then kills it.
        signal.pause()


def _answer(errand: Errand, held: tuple[str, ...]) -> None:
    begun = time.process_time()
    loaded = model.load(Path(errand.folder), runtime=errand.runtime, threads_n=1)
    _say(Ready(runtime=loaded.runtime, held=held, loading_ms=_ms_since(begun)))
    for asked in errand.asked:
        begun = time.process_time()
        try:
            proposal = loaded.decoder.propose(asked.text, errand.catalogues[asked.catalogue])
        except InputTooLong as reason:
            _say(Answered(too_long=str(reason), took_ms=_ms_since(begun)))
        else:
            _say(Answered(proposal=proposal, took_ms=_ms_since(begun)))
    _say(Finished())


def _readable(errand: Errand) -> list[Path]:
    """The software, the bundle, and what the runtimes ask of the processor."""
    return [
        *confinement.software(), Path(errand.folder), Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu"),
    ]  # fmt: skip


def _ms_since(begun: float) -> float:
    # Of the processor, not of the clock: how busy the device is otherwise says nothing of the bundle.
    return (time.process_time() - begun) * 1000


def _say(record: BaseModel) -> None:
    sys.stdout.buffer.write(record.model_dump_json().encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
