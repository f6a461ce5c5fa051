"""Examples to padded tensors: batches of about one length, so that little is computed on padding."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import torch
from torch import Tensor

from firmware_models.labels import Example
from firmware_models.network import Batch

POOL_N: Final = 1024
"""Examples that are sorted by length before they are cut into batches."""


class Targets(NamedTuple):
    """What the heads should say, flat: (row of the batch, marker) beside every label.

    Shapes:
        tools (N, 2), called (N,), again (N,); parameters (M, 2), present (M,), required (M,);
        pointers (P, 2), starts, ends, begins, insides (P, R), tokens (P, R) true where a token is;
        options (O, K, 2), option_exists (O, K), meant (O,); outcomes (B,), -1 where there is none.
    """

    tools: Tensor
    called: Tensor
    again: Tensor
    parameters: Tensor
    present: Tensor
    required: Tensor
    pointers: Tensor
    starts: Tensor
    ends: Tensor
    begins: Tensor
    insides: Tensor
    tokens: Tensor
    options: Tensor
    option_exists: Tensor
    meant: Tensor
    outcomes: Tensor


def batched(examples: Iterable[Example], tokens_n: int, chance: random.Random) -> Iterator[list[Example]]:
    """Cut a stream into batches of at most *tokens_n* padded tokens, lengths alike, in random order within a pool."""
    stream = iter(examples)
    while pool := list(islice(stream, POOL_N)):
        pool.sort(key=lambda e: len(e.encoded.ids))
        batches: list[list[Example]] = [[]]
        for example in pool:
            if batches[-1] and (len(batches[-1]) + 1) * len(example.encoded.ids) > tokens_n:
                batches.append([])
            batches[-1].append(example)
        chance.shuffle(batches)
        yield from batches


def inputs(examples: Sequence[Example], device: torch.device) -> Batch:
    """The sequences of a batch, padded."""
    length = max(len(e.encoded.ids) for e in examples)
    padded = [torch.full((len(examples), length), fill, dtype=torch.long) for fill in (0, 0, 0, -1)]
    for row, example in enumerate(examples):
        for field, values in zip(padded, example.encoded[:4], strict=True):
            field[row, : len(values)] = torch.from_numpy(values)
    return Batch(*(field.to(device) for field in padded))


def targets(examples: Sequence[Example], device: torch.device) -> Targets:
    """The labels of a batch, flat."""
    tools = [(row, t) for row, e in enumerate(examples) for t in e.tools]
    parameters = [(row, p) for row, e in enumerate(examples) for p in e.parameters]
    pointers = [(row, p) for row, e in enumerate(examples) for p in e.pointers]
    options = [(row, o) for row, e in enumerate(examples) for o in e.options]

    request_n = max(1, *(len(e.encoded.request) for e in examples)) if examples else 1
    starts, ends, begins, insides = (torch.zeros(len(pointers), request_n) for _ in range(4))
    tokens = torch.zeros(len(pointers), request_n, dtype=torch.bool)
    for number, (row, pointer) in enumerate(pointers):
        tokens[number, : len(examples[row].encoded.request)] = True
        for first, last in pointer.spans:
            starts[number, first] = ends[number, last] = 1 / len(pointer.spans)
            begins[number, first] = 1
            insides[number, first : last + 1] = 1

    widest = max((len(o.markers) for _, o in options), default=1)
    markers = torch.zeros(len(options), widest, 2, dtype=torch.long)
    exists = torch.zeros(len(options), widest, dtype=torch.bool)
    for number, (row, option) in enumerate(options):
        markers[number, :, 0] = row
        markers[number, : len(option.markers), 1] = torch.tensor(option.markers)
        exists[number, : len(option.markers)] = True

    made = Targets(
        tools=_pairs([(row, t.marker) for row, t in tools]),
        called=torch.tensor([float(t.called) for _, t in tools]),
        again=torch.tensor([float(t.again) for _, t in tools]),
        parameters=_pairs([(row, p.marker) for row, p in parameters]),
        present=torch.tensor([float(p.present) for _, p in parameters]),
        required=torch.tensor([float(p.required) for _, p in parameters]),
        pointers=_pairs([(row, p.marker) for row, p in pointers]),
        starts=starts,
        ends=ends,
        begins=begins,
        insides=insides,
        tokens=tokens,
        options=markers,
        option_exists=exists,
        meant=torch.tensor([o.meant for _, o in options], dtype=torch.long),
        outcomes=torch.tensor([-1 if e.outcome is None else e.outcome for e in examples], dtype=torch.long),
    )
    return Targets(*(field.to(device) for field in made))


def _pairs(pairs: list[tuple[int, int]]) -> Tensor:
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
