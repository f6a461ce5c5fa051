"""Needle v3 weights at random, written by Needle's own exporter: how tests/unit/adapters/needle3_random.cact was made.

    pip install --no-deps --target PACKAGES cactus-needle==3.2.8 && pip install jax flax
    python tests/rigs/needle3_weights.py PACKAGES/needle OUT.cact

Not run by the tests (it wants JAX); its result is, through needle-rs. The package itself is never imported, only its
modules of architecture and export: its telemetry is on by default.
"""

import importlib
import struct
import sys
import types
from pathlib import Path

LETTERS = '\u2581abcdefghijklmnopqrstuvwxyz0123456789{}[]":,._-'
NORMAL, UNKNOWN, CONTROL, MARKER, BYTE = range(5)


def tokenizer(export, markers):
    """Return a vocabulary of bytes and letters in the form of the container."""
    pieces = [("<pad>", CONTROL), ("<eos>", CONTROL), ("<bos>", CONTROL), ("<unk>", UNKNOWN)]
    pieces += [(marker, MARKER) for marker in markers]
    pieces += [(f"<0x{byte:02X}>", BYTE) for byte in range(256)] + [(letter, NORMAL) for letter in LETTERS]
    blob = struct.pack(export._TK_HDR, len(pieces), 0, 1, 2, 3, 1, 1, 0)
    for n, (piece, kind) in enumerate(pieces):
        raw = piece.encode()
        blob += struct.pack(export._TK_REC, -float(n), kind, len(raw)) + raw
    return blob


def main(package, out):
    for name, path in (("needle", package), ("needle.model", package / "model")):
        module = types.ModuleType(name)
        module.__path__ = [str(path)]
        sys.modules[name] = module
    import jax

    architecture = importlib.import_module("needle.model.architecture")
    export = importlib.import_module("needle.model.export")
    markers = importlib.import_module("needle.model.tokenizer").CHAT_MARKERS
    config = architecture.TransformerConfig(
        vocab_size=384, d_model=128, num_heads=2, num_kv_heads=1, num_layers=2, qk_head_dim=64, v_head_dim=64,
        max_seq_len=256, engram_layers=(1,), engram_slots=64, engram_heads=1, global_layers=(1,), sliding_window=64,
        flash=False, remat=False, dtype="float32",
    )  # fmt: skip
    network = architecture.SimpleAttentionNetwork(config)
    made = network.init(jax.random.PRNGKey(0), jax.numpy.ones((1, 16), jax.numpy.int32))
    print(export.write_export(made["params"], config, str(out), tokenizer=tokenizer(export, markers)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
