"""Token ids to scores: the one place that speaks to TFLite.

Two runtimes read the same file: `ai_edge_litert`, the maintained one, and `tflite_runtime` 2.14, small and last
released in 2023. The network has no fixed length; it is resized to the exact number of tokens when that number
changes, which costs about a millisecond, where padding to a longest length would cost tens.
"""

import importlib
import importlib.metadata
import struct
import threading
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from appliance.contracts.manifest import NetworkShape
from appliance.errors import BundleError
from appliance.inference.encoding import Encoded
from appliance.inference.readings import Answer


class Runtime(StrEnum):
    """Which TFLite runs the network."""

    AUTO = "auto"
    """LiteRT where it is installed, else tflite-runtime."""

    LITERT = "litert"
    TFLITE = "tflite-runtime"


class RuntimeInfo(NamedTuple):
    """The runtime that was found."""

    runtime: Runtime
    version: str


_MODULES: Final = {
    Runtime.LITERT: ("ai_edge_litert.interpreter", "ai-edge-litert"),
    Runtime.TFLITE: ("tflite_runtime.interpreter", "tflite-runtime"),
}


class Scorer(Protocol):
    """Anything that answers an encoded request: the device's interpreter, the trainer's network."""

    def score(self, encoded: Encoded) -> Answer:
        """Answer one sequence."""
        ...


class Interpreter:
    """Runs a bundle's int8 network, one sequence at a time; threads wait for each other."""

    def __init__(
        self, network: Path, shape: NetworkShape, *, runtime: Runtime = Runtime.AUTO, threads_n: int = 1
    ) -> None:
        """Load *network*.

        Raises:
            BundleError: no runtime here can load it, or its inputs and outputs are not those of the manifest.
        """
        module, self.info = find(runtime)
        self._lock = threading.Lock()
        self._length = 0
        try:
            self._tflite: Any = module.Interpreter(model_path=str(network), num_threads=threads_n)
            named_inputs = {d["name"]: d["index"] for d in self._tflite.get_input_details()}
            named_outputs = {d["name"]: d["index"] for d in self._tflite.get_output_details()}
        except (ValueError, RuntimeError, OSError) as fault:
            raise BundleError(f"{self.info.runtime} {self.info.version} cannot load {network.name}: {fault}") from fault
        self._inputs = _indices("input", shape.inputs, named_inputs)
        self._outputs = _indices("output", shape.outputs, named_outputs)

    def score(self, encoded: Encoded) -> Answer:
        """Answer one sequence.

        Raises:
            BundleError: the runtime failed on it.
        """
        with self._lock:
            try:
                return self._score(encoded)
            except (ValueError, RuntimeError) as fault:
                # A failed allocation leaves the tensors in doubt: the next call must not trust the old length.
                self._length = 0
                raise BundleError(
                    f"{self.info.runtime} {self.info.version} failed on {len(encoded.ids)} tokens: {fault}"
                ) from fault

    def _score(self, encoded: Encoded) -> Answer:
        length = len(encoded.ids)
        if length != self._length:
            for index in self._inputs.values():
                self._tflite.resize_tensor_input(index, [1, length])
            self._tflite.allocate_tensors()
            self._length = length
        for name, index in self._inputs.items():
            self._tflite.set_tensor(index, getattr(encoded, name)[np.newaxis])
        self._tflite.invoke()
        # (1, T, S) -> (T, S): the device never batches; get_tensor copies, so the answer outlives the next call.
        return Answer(**{name: self._tflite.get_tensor(index)[0] for name, index in self._outputs.items()})


def find(wanted: Runtime) -> tuple[ModuleType, RuntimeInfo]:
    """Return the module of the runtime that is *wanted*, or of the first that can be used here.

    Raises:
        BundleError: there is none.
    """
    if struct.calcsize("P") < 8:
        raise BundleError("this is a 32-bit Python; the runtimes for the network exist for 64-bit systems only")
    tried = (Runtime.LITERT, Runtime.TFLITE) if wanted is Runtime.AUTO else (wanted,)
    reasons = []
    for runtime in tried:
        module, package = _MODULES[runtime]
        try:
            return importlib.import_module(module), RuntimeInfo(runtime, importlib.metadata.version(package))
        except (ImportError, AttributeError) as fault:
            # AttributeError: tflite-runtime was built for numpy 1 and stumbles over what numpy 2 removed.
            reasons.append(f"{package}: {fault}")
    raise BundleError(
        f"no TFLite runtime can be used here ({'; '.join(reasons)}); "
        "install ai-edge-litert, or tflite-runtime with numpy<2"
    )


def _indices(what: str, wanted: dict[Any, str], named: dict[str, int]) -> dict[str, int]:
    missing = sorted(tensor for tensor in wanted.values() if tensor not in named)
    if missing:
        raise BundleError(
            f"the network has no {what} {', '.join(missing)}; manifest and network do not belong together"
        )
    return {meaning: named[tensor] for meaning, tensor in wanted.items()}
