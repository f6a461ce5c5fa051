"""How well a bundle understands rows it never saw, through the very path a request takes on a device.

    python -m firmware_models.evaluate BUNDLE --rows dev_unseen_tools.jsonl [...] [--json results.json]

Exact: every call with every value right and nothing else; for rows to be asked back or refused, that they were.
Wrong act: acted without a question, and not exactly right. False refusal: refused or asked back what was complete.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from pydantic import JsonValue

from appliance.agent import model, propose
from appliance.agent.propose import Understanding
from appliance.contracts.toolcall import GroundedCall
from firmware_models import rows
from firmware_models.rows import LabelledCall, Row

NOW: Final = datetime(2026, 11, 22, 12, 0)  # noqa: DTZ001 - the wall clock of a device without a zone
"""What "tomorrow" is relative to, where a row does not say."""


class Verdict(NamedTuple):
    """One row, judged."""

    row: Row
    understood: Understanding
    latency_s: float
    names: bool
    arguments: bool
    """Right values, given the right tools."""

    exact: bool

    @property
    def wrong_act(self) -> bool:
        """Acted on, and not right."""
        return self.understood.decision == "act" and not self.exact

    @property
    def wrong_confirm(self) -> bool:
        """Put before a person to confirm, and not right."""
        return self.understood.decision == "confirm" and not self.exact

    @property
    def false_refusal(self) -> bool:
        """Said completely, and yet not understood as a call."""
        return self.row.line.expect == "call" and self.understood.decision in {"ask", "refuse"}


def judge(row: Row, understood: Understanding, latency_s: float) -> Verdict:
    """Hold what was understood against what the row says."""
    wanted, found = row.line.calls, understood.calls
    if row.line.expect != "call":
        right = understood.decision == row.line.expect
        return Verdict(row, understood, latency_s, names=right, arguments=right, exact=right)
    acting = understood.decision in {"act", "confirm"}
    names = acting and sorted(c.name for c in wanted) == sorted(c.tool for c in found)
    exact = names and _same_calls(wanted, found)
    return Verdict(row, understood, latency_s, names=names, arguments=exact, exact=exact)


def _same_calls(wanted: Sequence[LabelledCall], found: Sequence[GroundedCall]) -> bool:
    left = list(found)
    for call in wanted:
        values = {name: _plain(argument.value) for name, argument in call.arguments.items()}
        same = next((f for f in left if f.tool == call.name and _plain(f.arguments) == values), None)
        if same is None:
            return False
        left.remove(same)
    return not left


def _plain(value: JsonValue) -> JsonValue:
    """A value without what makes no difference: case and edges of text, 5.0 for 5, an article before a name."""
    match value:
        case bool() | None:
            return value
        case int() | float():
            return float(value)
        case str():
            folded = " ".join(value.casefold().split()).strip(" .,!?\"'")
            return folded.removeprefix("the ").removeprefix("my ").removeprefix("a ")
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}


def run(loaded: model.Model, data: Iterable[Row]) -> list[Verdict]:
    """Understand every row as a device would."""
    thresholds = loaded.bundle.manifest.thresholds
    verdicts = []
    for row in data:
        now = datetime.fromisoformat(row.line.now) if row.line.now else NOW
        began = time.perf_counter()
        understood = propose.propose(loaded.decoder, row.line.request, row.tools, now, thresholds)
        verdicts.append(judge(row, understood, time.perf_counter() - began))
    return verdicts


def summary(name: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The figures of one set of rows."""

    def share(claim: Callable[[Verdict], bool], among: Sequence[Verdict] = verdicts) -> float:
        return sum(map(claim, among)) / len(among) if among else 0.0

    called = [v for v in verdicts if v.row.line.expect == "call"]
    held = [v for v in verdicts if v.row.line.expect != "call"]
    named = [v for v in called if v.names]
    latencies = [v.latency_s * 1000 for v in verdicts]
    return {
        "name": name,
        "rows_n": len(verdicts),
        "exact": share(lambda v: v.exact),
        "exact_calls": share(lambda v: v.exact, called),
        "names": share(lambda v: v.names),
        "arguments": share(lambda v: v.arguments, named),
        "wrong_acts": share(lambda v: v.wrong_act),
        "wrong_confirms": share(lambda v: v.wrong_confirm),
        "acted_on_held": share(lambda v: v.understood.decision == "act", held),
        "false_refusals": share(lambda v: v.false_refusal, called),
        "asked_to_confirm": share(lambda v: v.understood.decision == "confirm"),
        "calibration_error": _calibration_error(verdicts),
        "latency_p50_ms": round(float(np.percentile(latencies, 50)), 2) if latencies else 0.0,
        "latency_p95_ms": round(float(np.percentile(latencies, 95)), 2) if latencies else 0.0,
    }


def _calibration_error(verdicts: Sequence[Verdict]) -> float:
    """Expected calibration error of the least sure call, over what would be acted on or confirmed."""
    said = [(min(c.confidence for c in v.understood.calls), v.exact) for v in verdicts if v.understood.calls]
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for pair in said:
        bins[min(int(pair[0] * 10), 9)].append(pair)
    gaps = [abs(sum(p for p, _ in b) / len(b) - sum(e for _, e in b) / len(b)) * len(b) for b in bins.values()]
    return sum(gaps) / len(said) if said else 0.0


def by(verdicts: Sequence[Verdict], key: Callable[[Verdict], str]) -> dict[str, dict[str, Any]]:
    """The same figures for each part."""
    parts: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        parts[key(verdict)].append(verdict)
    return {name: summary(name, part) for name, part in sorted(parts.items(), key=lambda p: -len(p[1]))}


def table(summaries: Iterable[dict[str, Any]]) -> str:
    """The figures as a person reads them."""
    columns = ("exact", "exact_calls", "names", "arguments", "wrong_acts", "wrong_confirms", "false_refusals")
    lines = [
        f"{'':28}{'rows':>6}" + "".join(f"{c.replace('_', ' '):>15}" for c in columns) + f"{'ECE':>8}{'p50 ms':>8}"
    ]
    for s in summaries:
        shares = "".join(f"{100 * s[c]:>14.1f}%" for c in columns)
        error, latency = s["calibration_error"], s["latency_p50_ms"]
        lines.append(f"{s['name'][:27]:28}{s['rows_n']:>6}{shares}{error:>8.3f}{latency:>8.1f}")
    return "\n".join(lines)


def mistake(verdict: Verdict) -> dict[str, Any]:
    """A row that came out wrong, for a person to read."""
    proposal = verdict.understood.proposal
    text = verdict.row.line.request
    return {
        "request": text,
        "kind": verdict.row.line.kind,
        "expect": verdict.row.line.expect,
        "decision": verdict.understood.decision,
        "reason": verdict.understood.reason,
        "wanted": [{c.name: {n: a.value for n, a in c.arguments.items()}} for c in verdict.row.line.calls],
        "found": [{c.tool: c.arguments} for c in verdict.understood.calls],
        "proposed": [
            {c.tool: {n: [m.option, [text[s.start : s.end] for s in m.spans]] for n, m in c.mentions.items()}}
            for c in (proposal.calls if proposal else ())
        ],
        "confidence": [round(c.confidence, 3) for c in (proposal.calls if proposal else ())],
        "abstain": round(proposal.abstain, 3) if proposal else None,
        "tools": [tool.to_schema() for tool in verdict.row.tools],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, evaluate, print."""
    parser = argparse.ArgumentParser(prog="firmware_models.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rows", type=Path, nargs="+", required=True)
    parser.add_argument("--limit", type=int, help="at most so many rows of each file")
    parser.add_argument("--runtime", default="auto", help="auto, litert or tflite-runtime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--mistakes", type=Path, help="write every row that came out wrong here, one a line")
    options = parser.parse_args(arguments)
    loaded = model.load(options.bundle, runtime=options.runtime, threads_n=options.threads)
    sets, parts, wrong = [], {}, []
    for path in options.rows:
        verdicts = run(loaded, list(rows.read([path]))[: options.limit])
        sets.append(summary(path.stem, verdicts))
        parts[path.stem] = {
            "kind": by(verdicts, lambda v: v.row.line.kind),
            "family": by(verdicts, lambda v: v.row.line.family),
        }
        wrong += [mistake(v) for v in verdicts if not v.exact]
        print(f"\n{path.stem}, {loaded.runtime}\n{table([sets[-1], *parts[path.stem]['kind'].values()])}", flush=True)
    if options.json:
        report = {"bundle": loaded.sha256, "runtime": loaded.runtime, "sets": sets, "parts": parts}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.mistakes:
        options.mistakes.write_text("".join(json.dumps(m) + "\n" for m in wrong), encoding="utf-8")


if __name__ == "__main__":
    main()
