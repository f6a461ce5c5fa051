"""Writes network files that attack whoever runs them: one never ends, one wants more memory than there is.

    python -m firmware_models.hostile tests/unit/canary/hostile

They are small, valid, and have the inputs and outputs that a bundle's manifest names.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from firmware_models.export import INPUTS

SIGNATURE = [tf.TensorSpec([1, None], tf.int32, name=name) for name in INPUTS]


class Endless(tf.Module):
    """Counts upwards, and stops at a number that it never reaches."""

    @tf.function(input_signature=SIGNATURE)
    def read(self, ids: tf.Tensor, positions: tf.Tensor, kinds: tf.Tensor, blocks: tf.Tensor) -> dict[str, tf.Tensor]:
        start = tf.cast(ids + positions + kinds + blocks, tf.float32)
        counted = tf.while_loop(lambda x: tf.reduce_max(x) < 3e38, lambda x: (tf.sin(x),), (start,))[0]
        return {name: tf.expand_dims(counted, -1) + 0.0 * n for n, name in enumerate(("scalars", "queries", "keys"))}


class Greedy(tf.Module):
    """Makes a table of a hundred thousand million numbers out of a short request."""

    @tf.function(input_signature=SIGNATURE)
    def read(self, ids: tf.Tensor, positions: tf.Tensor, kinds: tf.Tensor, blocks: tf.Tensor) -> dict[str, tf.Tensor]:
        start = tf.cast(ids + positions + kinds + blocks, tf.float32)
        wide = tf.tile(start[..., None], [1, 1 + 0 * tf.shape(ids)[1], 2_000_000_000 // 4])
        total = tf.reduce_sum(wide, axis=-1, keepdims=True)
        return {name: total + float(n) for n, name in enumerate(("scalars", "queries", "keys"))}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both."""
    parser = argparse.ArgumentParser(prog="firmware_models.hostile", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, module in (("endless", Endless()), ("greedy", Greedy())):
        concrete = module.read.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        network: bytes = converter.convert()
        (options.out / f"{name}.tflite").write_bytes(network)
        interpreter = tf.lite.Interpreter(model_content=network)
        inputs = [d["name"] for d in interpreter.get_input_details()]
        outputs = [d["name"] for d in interpreter.get_output_details()]
        print(f"{name}: {len(network)} bytes, {inputs}, {outputs}")


if __name__ == "__main__":
    main()
