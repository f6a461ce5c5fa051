"""Needle v2 weights at random, written by Needle's own exporter: how tests/unit/adapters/needle2_random.cact was made.

    pip install --no-deps --target PACKAGES cactus-needle==2.0.15 && pip install jax flax sentencepiece
    python tests/rigs/needle2_weights.py PACKAGES/needle OUT.cact

Not run by the tests (it wants JAX); its result is, through needle-rs. The package itself is never imported, only its
modules of architecture and export: its telemetry is on by default.
"""

import importlib
import sys
import types
from pathlib import Path

LETTERS = '\u2581abcdefghijklmnopqrstuvwxyz0123456789{}[]":,._-'


class Pieces:
    """A vocabulary of bytes and letters, as the exporter asks SentencePiece for one."""

    def __init__(self, markers):
        self._pieces = [
            "<pad>",
            "<eos>",
            "<bos>",
            "<unk>",
            *markers,
            *(f"<0x{byte:02X}>" for byte in range(256)),
            *LETTERS,
        ]
        self.sp, self.vocab_size = self, len(self._pieces)

    def GetPieceSize(self):  # noqa: N802 -- SentencePiece's word
        return self.vocab_size

    def IdToPiece(self, n):  # noqa: N802 -- SentencePiece's word
        return self._pieces[n]

    def GetScore(self, n):  # noqa: N802 -- SentencePiece's word
        return -float(n)

    def IsControl(self, n):  # noqa: N802 -- SentencePiece's word
        return n in {0, 1, 2}

    def IsUnknown(self, n):  # noqa: N802 -- SentencePiece's word
        return n == 3

    def IsByte(self, n):  # noqa: N802 -- SentencePiece's word
        return self._pieces[n].startswith("<0x")


def main(package, out):
    for name, path in (("needle", package), ("needle.model", package / "model")):
        module = types.ModuleType(name)
        module.__path__ = [str(path)]
        sys.modules[name] = module
    import jax

    architecture = importlib.import_module("needle.model.architecture")
    export = importlib.import_module("needle.model.export")
    pieces = Pieces(importlib.import_module("needle.model.tokenizer").CHAT_MARKERS)
    config = architecture.TransformerConfig(
        vocab_size=pieces.vocab_size, d_model=128, num_heads=2, num_kv_heads=1, num_layers=2, max_seq_len=256,
        engram_layers=(1,), engram_slots=64, engram_heads=1, flash=False, remat=False, dtype="float32",
    )  # fmt: skip
    network = architecture.SimpleAttentionNetwork(config)
    made = network.init(jax.random.PRNGKey(0), jax.numpy.ones((1, 16), jax.numpy.int32))
    print(export.write_export(made["params"], config, str(out), tokenizer=pieces))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
