"""A trained network to one int8 `.tflite` file that both runtimes read.

The graph is written again in TensorFlow, from the trained parameters, in the form that was measured to work on LiteRT
and on tflite-runtime 2.14 alike (docs/decisions/0011): every linear layer is a 1x1 convolution on [T, 1, 1, D], so
that weights get one scale per channel and activations one per token; the table of words is int8 with one scale per
row.

    python -m firmware_models.export RUN/network.pt model.tflite
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import torch

from appliance.contracts.manifest import NetworkShape
from appliance.inference.encoding import Kind
from firmware_models.network import EPSILON, HEADS_N, HIDDEN, LAYERS_N, WIDTH

Array = npt.NDArray[np.float32]
HEAD_D: Final = WIDTH // HEADS_N
INPUTS: Final = ("ids", "positions", "kinds", "blocks")
OUTPUTS: Final = ("scalars", "queries", "keys")


class Converted(NamedTuple):
    """The file's bytes, and what its tensors are called."""

    tflite: bytes
    inputs: dict[str, str]
    outputs: dict[str, str]


class Graph(tf.Module):
    """The network of `network.py` over one sequence, in TensorFlow."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._weights: dict[str, tf.Variable] = {}
        for name, value in state.items():
            array = value.float().numpy()
            if name == "words.weight":
                # A row of nothing would divide by zero; the vocabulary has none, padding included.
                scale = np.abs(array).max(axis=1, keepdims=True).clip(min=1e-8)
                self._keep("words.rows", array / scale)
                self._keep("words.scale", scale)
            elif name.endswith(("attend.weight", "attend.bias")):
                # 1/sqrt(d) folded into the queries: one operation less, and a smaller range to quantize.
                folded = array.copy()
                folded[:WIDTH] /= np.sqrt(HEAD_D)
                self._keep(name, folded.T if folded.ndim == 2 else folded)
            else:
                linear = array.ndim == 2 and name not in ("positions.weight", "kinds.weight")
                self._keep(name, array.T if linear else array)

    def _keep(self, name: str, value: Array) -> None:
        self._weights[name] = tf.Variable(value, trainable=False, name=name.replace(".", "_"))

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.int32, name=name) for name in INPUTS])
    def read(self, ids: tf.Tensor, positions: tf.Tensor, kinds: tf.Tensor, blocks: tf.Tensor) -> dict[str, tf.Tensor]:
        """(1, T) each -> scalars (1, T, S), queries and keys (1, T, P * d)."""
        w = self._weights
        length = tf.shape(ids)[1]
        x = tf.gather(w["words.rows"], ids[0]) * tf.gather(w["words.scale"], ids[0])
        x += tf.gather(w["positions.weight"], positions[0]) + tf.gather(w["kinds.weight"], kinds[0])
        x = self._norm(x, "norm")  # (T, D)
        mask = _visible(blocks[0], kinds[0])  # (T, T)
        for number in range(LAYERS_N):
            x = self._layer(x, mask, length, f"layers.{number}")
        judged = tf.nn.gelu(self._linear(x, "judge", length), approximate=False)
        outputs = {
            "scalars": self._linear(judged, "scalars", length),
            "queries": self._linear(x, "queries", length),
            "keys": self._linear(x, "keys", length),
        }
        return {name: tf.expand_dims(value, 0, name=name) for name, value in outputs.items()}

    def _layer(self, x: tf.Tensor, mask: tf.Tensor, length: tf.Tensor, at: str) -> tf.Tensor:
        attended = self._linear(x, f"{at}.attend", length)
        query, key, value = (
            tf.transpose(tf.reshape(part, [length, HEADS_N, HEAD_D]), [1, 0, 2])
            for part in tf.split(attended, 3, axis=1)
        )
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + mask)  # (H, T, T)
        seen = tf.reshape(tf.transpose(tf.matmul(weights, value), [1, 0, 2]), [length, WIDTH])
        x = self._norm(x + self._linear(seen, f"{at}.mix", length), f"{at}.mix_norm")
        wide = tf.nn.gelu(self._linear(x, f"{at}.widen", length), approximate=False)
        return self._norm(x + self._linear(wide, f"{at}.narrow", length), f"{at}.narrow_norm")

    def _linear(self, x: tf.Tensor, name: str, length: tf.Tensor) -> tf.Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        width_in, width_out = weight.shape
        y = tf.nn.conv2d(tf.reshape(x, [length, 1, 1, width_in]), weight[None, None], 1, "VALID") + bias
        return tf.reshape(y, [length, width_out])

    def _norm(self, x: tf.Tensor, name: str) -> tf.Tensor:
        mean = tf.reduce_mean(x, axis=-1, keepdims=True)
        away = x - mean
        spread = tf.reduce_mean(away * away, axis=-1, keepdims=True)
        return away * tf.math.rsqrt(spread + EPSILON) * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _visible(blocks: tf.Tensor, kinds: tf.Tensor) -> tf.Tensor:
    """`network.visible` in arithmetic that every runtime has: (T,), (T,) -> (T, T)."""
    block = tf.cast(blocks, tf.float32)
    tool = tf.cast(tf.equal(kinds, int(Kind.TOOL)), tf.float32)
    here, there = block[:, None], block[None, :]
    apart = tf.minimum(tf.abs((here - there) * here * there), 1.0)
    return apart * (1.0 - tool[:, None] * tool[None, :]) * HIDDEN


def convert(state: Mapping[str, torch.Tensor]) -> Converted:
    """Quantize the network with these parameters."""
    graph = Graph(state)
    concrete = graph.read.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], graph)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    tflite: bytes = converter.convert()
    return Converted(tflite, *_names(tflite, concrete))


def _names(tflite: bytes, concrete: Any) -> tuple[dict[str, str], dict[str, str]]:
    """What the converter called inputs and outputs; outputs are told apart by what they hold."""
    interpreter = tf.lite.Interpreter(model_content=tflite)
    inputs = {name: d["name"] for name in INPUTS for d in interpreter.get_input_details() if _plain(d["name"]) == name}
    sample = np.array([[101, 2735, 2006, 102, 103, 2735]], np.int32)
    fed = {name: np.zeros_like(sample) for name in INPUTS} | {"ids": sample}
    answered = concrete(**{name: tf.constant(value) for name, value in fed.items()})
    expected = {name: value.numpy() for name, value in answered.items()}
    for d in interpreter.get_input_details():
        interpreter.resize_tensor_input(d["index"], [1, 6])
    interpreter.allocate_tensors()
    for d in interpreter.get_input_details():
        interpreter.set_tensor(d["index"], fed[_plain(d["name"])])
    interpreter.invoke()
    outputs = {}
    for d in interpreter.get_output_details():
        found = interpreter.get_tensor(d["index"])
        alike = [name for name, value in expected.items() if value.shape == found.shape]
        outputs[min(alike, key=lambda name: float(np.abs(expected[name] - found).mean()))] = d["name"]
    if set(inputs) != set(INPUTS) or set(outputs) != set(OUTPUTS):
        raise ValueError(f"the converter renamed tensors beyond recognition: {inputs}, {outputs}")
    return inputs, outputs


def _plain(name: str) -> str:
    """`serving_default_ids:0` is `ids`."""
    return name.removeprefix("serving_default_").split(":")[0]


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The parameters that `train` kept."""
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)["network"]
    return state


def shape(converted: Converted, state: Mapping[str, torch.Tensor], max_tokens: int) -> NetworkShape:
    """How the manifest describes the file."""
    parameters_n = sum(value.numel() for value in state.values())
    return NetworkShape.model_validate(
        {
            "inputs": converted.inputs,
            "outputs": converted.outputs,
            "max_tokens": max_tokens,
            "parameters_n": parameters_n,
        }
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a trained network, alone; `firmware_models.release` makes the whole bundle."""
    parser = argparse.ArgumentParser(prog="firmware_models.export", description="Quantize a trained network.")
    parser.add_argument("network", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    converted = convert(read_state(options.network))
    options.out.write_bytes(converted.tflite)
    print(f"{options.out}: {len(converted.tflite)} bytes, inputs {converted.inputs}, outputs {converted.outputs}")


if __name__ == "__main__":
    main()
