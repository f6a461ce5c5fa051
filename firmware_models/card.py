"""A manifest and measurements to the card that a person reads before trusting a bundle."""

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.contracts.manifest import Manifest

Measured = Mapping[str, Any]
"""What `release` measured: calibration error, golden requests, the score from which a tool is called."""

Results = Sequence[Mapping[str, Any]]
"""What `evaluate` measured, one entry for each set of rows."""


def text(manifest: Manifest, measured: Measured, results: Results) -> str:
    """The card in Markdown."""
    training, golden = manifest.training, measured["golden"]
    size_mb = manifest.files["model.tflite"].bytes_n / 1e6
    data = "\n".join(f"| `{s.name}` | {s.rows_n:,} | `{s.sha256[:16]}` |" for s in training.data)
    errors = "\n".join(
        f"| {name} | {e['fitted']:.3f} | {e['unseen']:.3f} |" for name, e in measured["calibration_error"].items()
    )
    return f"""# {manifest.name} {manifest.version}

Reads a request in English and the declarations of tools, and points: which tools are meant, which words fill which
parameter, which option, or that nothing here should act. It generates nothing. MiniLM-L6 (six layers of 384) with
pointer heads, {manifest.network.parameters_n:,} parameters, int8, {size_mb:.1f} MB; at most
{manifest.network.max_tokens:,} tokens in one look. How it works: `docs/explanation/micro-model.md`.

## Training

`{training.command}`

{training.steps_n:,} steps, {training.rows_seen_n:,} rows seen, seed {training.seed}. Warm start:
{training.warm_start.name} (`{training.warm_start.sha256[:16]}`, {training.warm_start.licence}).

| data | rows | sha256 |
|---|---:|---|
{data}

## Results

{_results(results)}

Expected calibration error of the int8 network, on the rows calibration was fitted on and on tools never seen:

| statement | fitted | unseen tools |
|---|---:|---:|
{errors}

Thresholds: act from {manifest.thresholds.act}, ask a person from {manifest.thresholds.confirm}, refuse when the
probability that nothing should act is {manifest.thresholds.abstain} or more.

{golden["written"]} of {golden["asked"]} requests tried are golden; {golden["unclear"]} were too close a decision to be.
Of the others, the int8 network answered {golden["answered_otherwise"]} otherwise than the float one.

## Limits

- English only. It was trained on short requests (a sentence or two) and mostly on two to six tools at a time.
- It points at words; it does not compute. A value that the request does not contain cannot be an argument, unless it is
  an option.
- Its results are on synthetic and converted development data. Nothing here was measured on published test sets.
- Confidence is calibrated on development data of the same making ({", ".join(measured["calibrated_on"])}), so the
  figures for those rows are a little kind; on very different requests confidence is a weaker promise.
"""


def _results(results: Results) -> str:
    if not results:
        return "Not measured for this bundle."
    head = "| development set | rows | exact | right tools | wrong acts | false refusals |"
    return "\n".join([head, "|---|---:|---:|---:|---:|---:|", *map(_line, results)])


def _line(entry: Mapping[str, Any]) -> str:
    shares = " | ".join(f"{100 * entry[k]:.1f}%" for k in ("exact", "names", "wrong_acts", "false_refusals"))
    return f"| {entry['name']} | {entry['rows_n']:,} | {shares} |"
