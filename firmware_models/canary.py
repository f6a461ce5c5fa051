"""Writes the canary's suite: requests with right answers for a house, and for tools that nobody has trained on.

    python -m firmware_models.canary appliance/canary/suite.jsonl

The house's are written by hand (`evaluation/site.jsonl`, `evaluation/canary.jsonl`); the others come from the corpus
generator with worlds and a seed that training does not use. A request of a safety family is kept only if the bundle
that is released with the suite does not come near to acting on it, because the suite is passed without one failure or
not at all; how
many were set aside is printed. Plain requests are kept whether that bundle reads them rightly or not: those are
counted, and compared.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from appliance.agent import model, propose
from appliance.agent.clock import SystemClock
from appliance.canary import judging
from appliance.canary.suite import Case, read
from appliance.contracts.canary import SAFETY, CaseLine, CatalogueLine, Expected, Family, Tool
from appliance.contracts.toolspec import ToolSpec
from appliance.settings import shipped_bundle
from appliance.storage import database
from appliance.tools.site import Site
from appliance.tools.toolbox import open_toolbox
from firmware_models.corpus import splits
from firmware_models.corpus.__main__ import sound
from firmware_models.corpus.generate import Generator
from firmware_models.corpus.maker import Families

HERE: Final = Path(__file__).parent / "evaluation"
WRITTEN: Final = (HERE / "site.jsonl", HERE / "canary.jsonl")
HOUSE: Final = "house"
DANGEROUS: Final = ("unlock_door", "open_gate")
"""Offered beside everything: what a wrong answer could cost most."""

ROOMS: Final[dict[str, tuple[str, ...]]] = {
    "doors": (
        "turn_light_on", "turn_light_off", "set_light_level", "set_light_colour", "lock_door", "close_gate",
        "check_door",
    ),
    "heat": (
        "set_temperature", "turn_heating_off", "start_machine", "stop_machine", "read_temperature", "read_humidity",
    ),
    "notes": (
        "set_timer", "cancel_timer", "set_reminder", "list_timers", "add_note", "list_notes", "delete_note",
        "report_device_status",
    ),
}  # fmt: skip
"""Parts of the house: a look at all of it takes six times what a look at a part takes, and a device is slow."""

_WORDS: Final = {
    "heat": ("heating", "degrees", "temperature", "fan", "pump", "extractor", "machine", "warm", "humid", "damp"),
    "doors": ("door", "gate", "garage", "light", "lamp", "dim", "bright", "colour", "percent", "lock", "open"),
    "notes": ("timer", "remind", "note", "write"),
}
SEED: Final = 20261123
NOW: Final = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)

FAMILIES: Final[dict[str, Family]] = {
    "call": "plain", "multi": "several", "same_tool_twice": "several", "negated": "negated", "missing": "incomplete",
    "incomplete": "incomplete", "out_of_range": "out_of_range", "unrelated": "unrelated", "injected": "injected",
    "question": "injected",
}  # fmt: skip
"""Kinds of corpus rows; the others (free text, options without words) judge the corpus more than a bundle."""

GENERATED: Final[dict[Family, int]] = {
    "plain": 200, "several": 50, "negated": 30, "incomplete": 30, "out_of_range": 25, "unrelated": 25,
}  # fmt: skip

EDGE: Final = 0.1
"""What the released bundle would act on if it were so much surer is set aside, too: another runtime may be."""

Line = CatalogueLine | CaseLine


def house_specs() -> tuple[ToolSpec, ...]:
    """The tools of the demonstration site, as every device offers them that was not told otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        db = database.open_database(home / "house.db").db
        box = open_toolbox(
            Site.demonstration(), db=db, clock=SystemClock(1), home=home, understand=lambda _: "not asked here"
        )
        specs = box.registry.specs()
        box.registry.close()
        db.close()
    return specs


def house() -> CatalogueLine:
    """The same as a line of the suite."""
    tools = tuple(Tool.model_validate_json(json.dumps(spec.to_schema())) for spec in house_specs())
    return CatalogueLine(kind="catalogue", name=HOUSE, tools=tools)


def rooms(whole: CatalogueLine) -> Iterator[CatalogueLine]:
    """Yield the parts of the house."""
    for name, tools in ROOMS.items():
        chosen = tuple(tool for tool in whole.tools if tool.name in (*tools, *DANGEROUS))
        yield CatalogueLine(kind="catalogue", name=name, tools=chosen)


def written(paths: Iterable[Path] = WRITTEN) -> Iterator[CaseLine]:
    """Yield the requests that were written by hand."""
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(text)
            yield _case(_room(row), row, row["calls"])


def _room(row: dict[str, Any]) -> str:
    """The part of the house that a request is about; the whole where it is about more than one, or about none."""
    called = {call["name"] for call in row["calls"]} - set(DANGEROUS)
    if row["calls"]:
        return next((name for name, tools in ROOMS.items() if called <= set(tools)), HOUSE)
    said = row["request"].casefold()
    return next((name for name, words in _WORDS.items() if any(word in said for word in words)), "doors")


def generated() -> Iterator[tuple[CatalogueLine, CaseLine]]:
    """Yield made-up requests, each with its own tools, as many of a family as wanted."""
    rows = Generator(splits.development_world(), Families(held_out=False), "canary").rows(SEED)
    left = Counter(GENERATED)
    for number, row in enumerate(sound(islice(rows, 20_000), Counter())):
        family = FAMILIES.get(row["kind"])
        if family is None or left[family] <= 0 or not row["tools"]:
            continue
        left[family] -= 1
        name = f"made-{number}"
        tools = tuple(Tool.model_validate_json(json.dumps(tool)) for tool in row["tools"])
        calls = [
            {"name": call["name"], "arguments": {n: a["value"] for n, a in call["arguments"].items()}}
            for call in row["calls"]
        ]
        yield CatalogueLine(kind="catalogue", name=name, tools=tools), _case(name, row, calls)
        if not +left:
            return


def lines() -> Iterator[Line]:
    """Yield the whole suite, before anything is set aside."""
    whole = house()
    yield whole
    yield from rooms(whole)
    yield from written()
    for catalogue, case in generated():
        yield catalogue
        yield case


def write(path: Path, bundle: Path) -> dict[str, int]:
    """Write the suite to *path*, without what *bundle* would act on and may not.

    Returns:
        How many requests of each family there are, and how many were set aside.
    """
    everything = list(lines())
    path.write_text(_text(everything), encoding="utf-8")
    suite = read(path)
    loaded = model.load(bundle)
    kept = loaded.bundle.manifest.thresholds
    thresholds = kept.model_copy(update={"act": kept.act - EDGE})
    dropped: set[int] = set()
    counted: Counter[str] = Counter()
    for case in suite.cases:
        understood = propose.propose(loaded.decoder, case.line.text, case.tools, case.line.now, thresholds)
        if case.line.family in SAFETY and judging.wrongly_acted(case, understood):
            dropped.add(case.number)
            counted[f"set aside: {case.line.family}"] += 1
        else:
            counted[case.line.family] += 1
    path.write_text(_text(_without(everything, suite.cases, dropped)), encoding="utf-8")
    return dict(sorted(counted.items()))


def _without(everything: Sequence[Line], cases: Sequence[Case], dropped: set[int]) -> list[Line]:
    """The lines without the cases of *dropped*, and without catalogues that nobody asks any more."""
    kept = [case.line for case in cases if case.number not in dropped]
    asked = {line.catalogue for line in kept}
    left = {id(line) for line in everything if isinstance(line, CatalogueLine) and line.name in asked}
    texts = Counter(line.model_dump_json() for line in kept)
    result: list[Line] = []
    for line in everything:
        if isinstance(line, CatalogueLine):
            if id(line) in left:
                result.append(line)
        elif texts[line.model_dump_json()] > 0:
            texts[line.model_dump_json()] -= 1
            result.append(line)
    return result


def _case(catalogue: str, row: dict[str, Any], calls: Sequence[dict[str, Any]]) -> CaseLine:
    now = datetime.fromisoformat(row["now"]) if row.get("now") else NOW
    expected = tuple(Expected(tool=call["name"], arguments=call["arguments"]) for call in calls)
    return CaseLine(
        kind="case",
        catalogue=catalogue,
        family=FAMILIES[row["kind"]],
        text=row["request"],
        now=now if now.tzinfo else now.replace(tzinfo=UTC),
        expect=row["expect"],
        calls=expected if row["expect"] == "call" else (),
    )


def _text(found: Iterable[Line]) -> str:
    return "".join(line.model_dump_json(exclude_defaults=False) + "\n" for line in found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the suite and print what is in it."""
    parser = argparse.ArgumentParser(prog="firmware_models.canary", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--bundle", type=Path, help="the bundle it is released with  [default: the one that ships]")
    options = parser.parse_args(arguments)
    print(json.dumps(write(options.out, options.bundle or shipped_bundle()), indent=1))


if __name__ == "__main__":
    main()
