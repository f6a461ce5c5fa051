"""Needle v1 weights at random, in our imitation of the container that needle-rs's exporter writes: the plumbing only.

Written here, with numpy. The layout (names of tensors, metadata, vocabulary with a score a line) is that of
`tools/export.py` of needle-rs 0.3.1, which itself was not run: it wants the original weights;
the engine quantizes what comes as floats. What such a network writes is noise, and noise is wanted: it must be refused.
"""

import json
import struct

import numpy as np

MARKS = ["<pad>", "<eos>", "<bos>", "<unk>", "<tool_call>", "<tools>"]


def vocabulary():
    """Return the lines of `vocab.txt`: special pieces, bytes, and the letters of requests."""
    letters = sorted(set('abcdefghijklmnopqrstuvwxyz0123456789{}[]":,._- ABCDEFGHIJKLMNOPQRSTUVWXYZ'))
    pieces = [*MARKS, *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *(c for c in letters if c != " ")]
    return "".join(f"{piece}\t{-n}\n" for n, piece in enumerate(pieces)), len(pieces)


def write(folder, seed=7, width=32, heads=4, kv_heads=2, depth=1, longest=24):
    """Write `needle.safetensors` and `vocab.txt` into *folder*."""
    random = np.random.default_rng(seed)
    text, vocab_n = vocabulary()
    head = width // heads
    tensors = {"embedding": random.normal(0, 0.5, (vocab_n, width))}
    tensors["embedding"][1] *= 0.01  # the mark of the end, from which a network begins: not at once its likeliest word
    for name in ("encoder_final_norm", "decoder_final_norm"):
        tensors[name] = np.zeros(width)

    def attention(prefix):
        shapes = {"wq": heads * head, "wk": kv_heads * head, "wv": kv_heads * head}
        for name, out in shapes.items():
            tensors[f"{prefix}.{name}"] = random.normal(0, 0.3, (width, out))
        tensors[f"{prefix}.wo"] = random.normal(0, 0.3, (heads * head, width))
        tensors[f"{prefix}.q_norm"] = tensors[f"{prefix}.k_norm"] = np.zeros(head)

    for n in range(depth):
        tensors[f"encoder.{n}.norm"] = np.zeros(width)
        tensors[f"encoder.{n}.self_attn_gate"] = np.zeros(1)
        attention(f"encoder.{n}.self_attn")
        for kind in ("self_attn", "cross_attn"):
            tensors[f"decoder.{n}.{kind}_norm"] = np.zeros(width)
            tensors[f"decoder.{n}.{kind}_gate"] = np.zeros(1)
            attention(f"decoder.{n}.{kind}")
    settings = {
        "d_model": width, "num_heads": heads, "num_kv_heads": kv_heads, "num_encoder_layers": depth,
        "num_decoder_layers": depth, "vocab_size": vocab_n, "max_enc_len": 512, "max_dec_len": longest,
        "ffn_dim": width, "no_feedforward": True, "activation": "drelu", "rope_theta": 10000.0,
    }  # fmt: skip
    header = {"__metadata__": {name: str(value) for name, value in settings.items()}}
    body = b""
    for name, tensor in tensors.items():
        raw = tensor.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    told = json.dumps(header, separators=(",", ":")).encode()
    weights, vocab = folder / "needle.safetensors", folder / "vocab.txt"
    weights.write_bytes(struct.pack("<Q", len(told)) + told + body)
    vocab.write_text(text, encoding="utf-8")
    return weights, vocab
