"""The one place that speaks to TFLite: refuses what does not belong together, and answers the same from any thread."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from appliance.contracts.toolspec import ToolSpec
from appliance.errors import BundleError
from appliance.inference.bundle import Bundle, load_bundle
from appliance.inference.encoding import Encoder
from appliance.inference.interpreter import Interpreter, Runtime
from appliance.inference.tokenizer import WordPiece

BUNDLES = Path(__file__).parents[3] / "firmware_models" / "bundles"
TOOL = ToolSpec.from_schema("switch_pump", "Turn the pump on or off.", {"properties": {"on": {"type": "boolean"}}})


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(next(path.parent for path in BUNDLES.glob("*/manifest.json")))


def test_it_says_which_runtime_answers(bundle: Bundle) -> None:
    info = Interpreter(bundle.network, bundle.manifest.network).info

    assert info.runtime in {Runtime.LITERT, Runtime.TFLITE}
    assert info.version[0].isdigit()


def test_answers_do_not_depend_on_length_or_thread(bundle: Bundle) -> None:
    encoder = Encoder(WordPiece.read(bundle.vocabulary), 512)
    interpreter = Interpreter(bundle.network, bundle.manifest.network)
    requests = [encoder.encode("turn the pump on" + " please" * n, [TOOL]) for n in range(12)]
    alone = [interpreter.score(request) for request in requests]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(interpreter.score, requests * 3))

    for place, answer in enumerate(together):
        expected = alone[place % len(requests)]
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(answer, expected, strict=True))


def test_a_file_that_is_no_network_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"not a network at all")

    with pytest.raises(BundleError, match=r"cannot load model\.tflite"):
        Interpreter(tmp_path / "model.tflite", bundle.manifest.network)


def test_a_network_with_other_inputs_is_refused(bundle: Bundle) -> None:
    shape = bundle.manifest.network
    other = shape.model_copy(update={"inputs": {**shape.inputs, "ids": "something_else"}})

    with pytest.raises(BundleError, match="no input something_else"):
        Interpreter(bundle.network, other)
