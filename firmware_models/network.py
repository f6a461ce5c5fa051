"""The network in PyTorch: MiniLM's encoder, a table of kinds, and heads that answer for every position at once.

It is written out rather than taken from a library, because `export` writes the same graph in TensorFlow from these
parameters and the two must be readable side by side.

Source:
    Encoder: Devlin et al. 2018, arXiv:1810.04805; warm start: MiniLM-L6, Wang et al. 2020, arXiv:2002.10957.
"""

from pathlib import Path
from typing import Final, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from appliance.inference.encoding import KINDS_N, POSITIONS_N, Kind
from appliance.inference.readings import POINTER_D, POINTERS, SCALARS

WIDTH: Final = 384
LAYERS_N: Final = 6
HEADS_N: Final = 12
EPSILON: Final = 1e-12
HIDDEN: Final = -1e4
"""Added to the score of a position that may not be seen; as in `export`, and small enough for any float."""


class Batch(NamedTuple):
    """Sequences padded to one length.

    Shapes:
        every field: (B, T); a padded position has block -1.
    """

    ids: Tensor
    positions: Tensor
    kinds: Tensor
    blocks: Tensor


class Layer(nn.Module):
    """One encoder layer, normalised after each half, as BERT is."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Linear(WIDTH, 3 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.mix_norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)
        self.narrow_norm = nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, 1, T, T) -> (B, T, D)."""
        batch, length, _ = x.shape
        query, key, value = (
            part.view(batch, length, HEADS_N, WIDTH // HEADS_N).transpose(1, 2)
            for part in self.attend(x).split(WIDTH, dim=-1)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.mix_norm(x + self.mix(seen.transpose(1, 2).reshape(batch, length, WIDTH)))
        return self.narrow_norm(x + self.narrow(functional.gelu(self.widen(x))))


class Network(nn.Module):
    """Token ids to scores of every position, and to queries and keys of the pointers."""

    def __init__(self, vocabulary_n: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_n, WIDTH)
        self.positions = nn.Embedding(POSITIONS_N, WIDTH)
        self.kinds = nn.Embedding(KINDS_N, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS_N))
        self.judge = nn.Linear(WIDTH, WIDTH)
        self.scalars = nn.Linear(WIDTH, len(SCALARS))
        self.queries = nn.Linear(WIDTH, len(POINTERS) * POINTER_D)
        self.keys = nn.Linear(WIDTH, len(POINTERS) * POINTER_D)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Read a batch.

        Shapes:
            returns: scalars (B, T, S), queries and keys (B, T, P * d).
        """
        mask = visible(batch.blocks, batch.kinds)[:, None]
        x = self.words(batch.ids) + self.positions(batch.positions) + self.kinds(batch.kinds)
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return self.scalars(functional.gelu(self.judge(x))), self.queries(x), self.keys(x)

    def warm_start(self, weights: Path) -> None:
        """Take the encoder of a BERT-shaped safetensors file; the heads and kinds stay as they were made."""
        stored = load_file(str(weights))
        with torch.no_grad():
            self.words.weight.copy_(stored["embeddings.word_embeddings.weight"])
            self.positions.weight.copy_(stored["embeddings.position_embeddings.weight"])
            # Every kind starts as BERT's first segment, told apart by a little noise.
            segment = stored["embeddings.token_type_embeddings.weight"][0]
            self.kinds.weight.copy_(segment + 0.02 * torch.randn_like(self.kinds.weight))
            _copy_norm(self.norm, stored, "embeddings.LayerNorm")
            for number, layer in enumerate(self.layers):
                at = f"encoder.layer.{number}"
                for kind in ("weight", "bias"):
                    parts = [stored[f"{at}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
                    getattr(layer.attend, kind).copy_(torch.cat(parts))
                    getattr(layer.mix, kind).copy_(stored[f"{at}.attention.output.dense.{kind}"])
                    getattr(layer.widen, kind).copy_(stored[f"{at}.intermediate.dense.{kind}"])
                    getattr(layer.narrow, kind).copy_(stored[f"{at}.output.dense.{kind}"])
                _copy_norm(layer.mix_norm, stored, f"{at}.attention.output.LayerNorm")
                _copy_norm(layer.narrow_norm, stored, f"{at}.output.LayerNorm")


def visible(blocks: Tensor, kinds: Tensor) -> Tensor:
    """What is added to the score of position j as seen from position i: 0 or HIDDEN.

    Shapes:
        blocks, kinds: (B, T); returns (B, T, T).
    """
    here, there = blocks[:, :, None], blocks[:, None, :]
    tools = kinds == Kind.TOOL
    seen = (here == there) | (here == 0) | (there == 0) | (tools[:, :, None] & tools[:, None, :])
    seen &= (there >= 0) | (here < 0)
    return torch.zeros(seen.shape).to(blocks.device).masked_fill_(~seen, HIDDEN)


def _copy_norm(norm: nn.LayerNorm, stored: dict[str, Tensor], name: str) -> None:
    norm.weight.copy_(stored[f"{name}.weight"])
    norm.bias.copy_(stored[f"{name}.bias"])
