"""`python -m firmware_models.corpus --out DIR --rows N --seed S --data DIR`: write training and development rows."""

import argparse
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from firmware_models.corpus import checking, splits
from firmware_models.corpus.converters import evaluation, sources
from firmware_models.corpus.firewall import Firewall
from firmware_models.corpus.generate import Generator
from firmware_models.corpus.maker import Families, Row

HUMAN_SHARE = 0.3
"""How many of the training rows are human utterances."""
DEVELOPMENT = {"dev_in_template": 600, "dev_unseen_tools": 800, "dev_unseen_phrasing": 800}
"""Rows of the generated development sets."""


def main(argv: list[str] | None = None) -> int:
    """Write every file of the corpus and its manifest."""
    arguments = _arguments(argv)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    training, unseen = splits.training_world(), splits.development_world()
    known, held_out = Families(held_out=False), Families(held_out=True)
    makers = {
        "dev_in_template": Generator(training, known, "template"),
        "dev_unseen_tools": Generator(unseen, known, "tools"),
        "dev_unseen_phrasing": Generator(unseen, held_out, "phrasing"),
    }
    written: dict[str, list[Row]] = {}
    for name, count in DEVELOPMENT.items():
        wanted = round(count * arguments.development)
        written[name] = list(islice(sound(makers[name].rows(arguments.seed), Counter()), wanted))
    human, others, hashes = _converted(arguments)
    written |= others
    firewall = Firewall(row["request"] for rows in written.values() for row in rows)
    faults: Counter[str] = Counter()
    rows = list(sound(_apart(human, firewall, faults), faults))
    wanted = max(0, arguments.rows - len(rows))
    generated = Generator(training, known, "train").rows(arguments.seed)
    rows.extend(islice(sound(_apart(generated, firewall, faults), faults), wanted))
    random.Random(arguments.seed).shuffle(rows)
    written["train"] = rows
    _save(out, written, arguments.seed, hashes, faults)
    return 0


def sound(rows: Iterable[Row], faults: Counter[str]) -> Iterator[Row]:
    """Let only rows pass that keep to the format, counting the others."""
    for row in rows:
        found = checking.check(row)
        if found:
            faults[f"malformed: {row['source']}"] += 1
        else:
            yield row


def _apart(rows: Iterable[Row], firewall: Firewall, dropped: Counter[str]) -> Iterator[Row]:
    for row in rows:
        if row["kind"] != "unrelated" and firewall.stops(row["request"]):
            dropped[f"near a development row: {row['source']}"] += 1
        else:
            yield row


def _converted(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, list[Row]], dict[str, str]]:
    if not arguments.data.is_dir():
        print(f"{arguments.data} is no folder: generated rows only", file=sys.stderr)
        return [], {}, {}
    human = sources.convert(arguments.data, round(arguments.rows * HUMAN_SHARE), arguments.seed)
    return human, evaluation.convert(arguments.data), dict(sources.hashes(arguments.data))


def _save(out: Path, written: dict[str, list[Row]], seed: int, hashes: dict[str, str], faults: Counter[str]) -> None:
    manifest: dict[str, object] = {"seed": seed, "sources": hashes, "dropped": dict(faults), "files": {}}
    files: dict[str, object] = {}
    for name, rows in written.items():
        body = "".join(checking.line(row) + "\n" for row in rows).encode()
        (out / f"{name}.jsonl").write_bytes(body)
        files[f"{name}.jsonl"] = {
            "sha256": hashlib.sha256(body).hexdigest(),
            "rows": len(rows),
            "kinds": dict(Counter(row["kind"] for row in rows)),
            "sources": dict(Counter(row["source"] for row in rows)),
            "expect": dict(Counter(row["expect"] for row in rows)),
        }
    manifest["files"] = files
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    print(json.dumps(manifest["dropped"]))
    print("\n".join(f"{name}: {len(rows)} rows" for name, rows in written.items()))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="firmware_models.corpus", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("firmware_models/build"), help="folder to write")
    parser.add_argument("--rows", type=int, default=80_000, help="training rows")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("../shared/datasets"), help="folder of the public data sets")
    parser.add_argument("--development", type=float, default=1.0, help="share of the development rows to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
