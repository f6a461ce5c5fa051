"""Several training processes as one: gradients are averaged once a step.

On a busy machine two processes of one thread each beat one process of two threads: threads wait for each other at every
matrix product, processes once in seconds. Alone, a process is a team of one and nothing here costs anything.

    python -m torch.distributed.run --nproc-per-node 2 -m firmware_models.train ... --threads 1
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import distributed, nn


class Shared(NamedTuple):
    """What the team agreed on at the end of a step."""

    progress: float
    """Share of the budget that is spent."""

    stop: bool


class Team:
    """The processes that train one network together."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.size > 1:
            distributed.init_process_group("gloo")

    def share(self, parameters: Sequence[nn.Parameter], progress: float, *, stop: bool) -> Shared:
        """Average the gradients and agree on how far the run is; whoever wants to stop stops all."""
        if self.size == 1:
            return Shared(progress, stop)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([*(g.reshape(-1) for g in gradients), torch.tensor([progress, float(stop)])])
        distributed.all_reduce(flat)
        flat /= self.size
        at = 0
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = flat[at : at + gradient.numel()].view_as(gradient).clone()
            at += gradient.numel()
        return Shared(float(flat[-2]), bool(flat[-1] > 0))
