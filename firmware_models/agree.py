"""Do two runtimes answer alike? Written to run under either of them, each in its own environment.

    python -m firmware_models.agree answer BUNDLE REQUESTS.jsonl OUT.jsonl --runtime litert
    python -m firmware_models.agree compare BUNDLE LITERT.jsonl TFLITE.jsonl

"Agree" means: golden requests answered identically, 98% of the others too, no request acted on by one and refused by
the other, and judged scores within the manifest's tolerance. `compare` exits with 1 where that does not hold.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from appliance.agent import model
from appliance.contracts.record import Record
from appliance.contracts.toolcall import Proposal
from appliance.inference import readings
from appliance.inference.bundle import load_bundle
from appliance.inference.encoding import ToolPlace
from appliance.inference.interpreter import Runtime
from firmware_models import golden, rows

ALIKE_SHARE: Final = 0.98


class Answered(Record):
    """What one runtime made of one request."""

    request: str
    golden: bool
    held: bool
    """Should be asked back or refused."""

    proposal: Proposal
    scores: tuple[float, ...]
    """The judged scalars: call, again, present and option at their markers, and the outcome."""


class Agreement(NamedTuple):
    """How two runtimes compare."""

    requests_n: int
    alike_n: int
    golden_differ: tuple[str, ...]
    opposed: tuple[str, ...]
    """Should not be acted on; acted on by one and refused by the other."""

    largest_score_difference: float
    largest_confidence_difference: float


def answer(folder: Path, requests: Path, runtime: Runtime) -> list[Answered]:
    """Answer the golden requests and *requests* on one runtime."""
    loaded = model.load(folder, runtime=runtime)
    decoder = loaded.decoder
    asked = [(line.request, line.specs, True, False) for line in golden.read(loaded.bundle.golden)]
    asked += [(row.line.request, row.tools, False, row.line.expect != "call") for row in rows.read([requests])]
    answered = []
    for text, tools, is_golden, held in asked:
        encoded = decoder.encoder.encode(text, tools)
        scores = judged_scores(decoder.scorer.score(encoded), encoded.tools)
        answered.append(
            Answered(request=text, golden=is_golden, held=held, proposal=decoder.propose(text, tools), scores=scores)
        )
    return answered


def judged_scores(answer: readings.Answer, tools: Sequence[ToolPlace]) -> tuple[float, ...]:
    """The scalars that a decision hangs on."""
    scores = [float(score) for score in readings.outcome(answer)]
    for tool in tools:
        scores += [readings.scalar(answer, name, tool.marker) for name in ("call", "again")]
        for parameter in tool.parameters:
            scores.append(readings.scalar(answer, "present", parameter.marker))
            scores += [readings.scalar(answer, "option", marker) for _, marker in parameter.options]
    return tuple(scores)


def compare(one: Sequence[Answered], other: Sequence[Answered], act: float, confirm: float) -> Agreement:
    """Hold the answers of two runtimes against each other, in order."""
    alike_n, differ, opposed = 0, [], []
    score, sureness = 0.0, 0.0
    for a, b in zip(one, other, strict=True):
        difference = golden.difference(a.proposal, b.proposal)
        alike_n += difference.same
        if a.golden and not difference.same:
            differ.append(a.request)
        surest = sorted(min((c.confidence for c in p.calls), default=0.0) for p in (a.proposal, b.proposal))
        if a.held and surest[0] < confirm and surest[1] >= act:
            opposed.append(a.request)
        score = max([score, *(abs(x - y) for x, y in zip(a.scores, b.scores, strict=True))])
        sureness = max(sureness, difference.confidence if difference.same else 0.0)
    return Agreement(len(one), alike_n, tuple(differ), tuple(opposed), score, sureness)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer with one runtime, or compare two answers."""
    parser = argparse.ArgumentParser(prog="firmware_models.agree", description="Do two runtimes answer alike?")
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("answer", help="answer requests on one runtime")
    one.add_argument("bundle", type=Path)
    one.add_argument("requests", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--runtime", type=Runtime, choices=list(Runtime), default=Runtime.AUTO)
    two = verbs.add_parser("compare", help="compare two files of answers")
    two.add_argument("bundle", type=Path)
    two.add_argument("answers", type=Path, nargs=2)
    options = parser.parse_args(arguments)
    if options.verb == "answer":
        lines = [line.model_dump_json() for line in answer(options.bundle, options.requests, options.runtime)]
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{len(lines)} requests answered")
        return 0
    manifest = load_bundle(options.bundle).manifest
    a, b = ([Answered.model_validate_json(line) for line in path.read_bytes().splitlines()] for path in options.answers)
    found = compare(a, b, manifest.thresholds.act, manifest.thresholds.confirm)
    print(json.dumps(found._asdict()))
    tolerable = found.largest_score_difference <= manifest.tolerance.runtimes_logit
    alike = found.alike_n >= ALIKE_SHARE * found.requests_n
    return 0 if alike and tolerable and not found.golden_differ and not found.opposed else 1


if __name__ == "__main__":
    sys.exit(main())
