"""Utterances and the concepts of their intents to rows that act, ask and refuse."""

import dataclasses
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from firmware_models.corpus import numerals, phrasing, requests, styles
from firmware_models.corpus.concepts import Concept
from firmware_models.corpus.converters.utterance import Utterance
from firmware_models.corpus.lexicon import lines
from firmware_models.corpus.pattern import Piece
from firmware_models.corpus.styles import Rendered

_NUMBERS: Final = {numerals.words(n): n for n in range(101)} | {"a": 1, "an": 1, "couple": 2}
_VERBS: Final = frozenset(
    [
        "play",
        "turn",
        "add",
        "book",
        "set",
        "find",
        "rate",
        "give",
        "switch",
        "put",
        "show",
        "search",
        "start",
        "stop",
        "open",
        "close",
        "lock",
        "unlock",
        "order",
        "send",
        "make",
        "pause",
        "skip",
        "remind",
        "create",
        "delete",
        "remove",
        "call",
        "dim",
        "mute",
        "increase",
        "decrease",
        "lower",
        "raise",
        "buy",
        "reserve",
        "tell",
        "check",
        "get",
        "change",
        "schedule",
        "cancel",
        "email",
        "post",
    ]
)
_SIZES: Final = (1, 2, 2, 2, 3, 3, 3, 4, 4, 5)
_NEAR: Final = tuple(frozenset(line.split(" ")) for line in lines("near.txt"))
"""One collection, or one matter: a request for one of these could be read as a request for another."""


def build(
    utterances: Iterable[Utterance], concepts: Mapping[str, Concept], chance: random.Random, refused: float = 0.18
) -> Iterator[dict[str, Any]]:
    """Yield a row for every utterance: a call where its intent has a concept, else a refusal.

    Args:
        refused: how often the intent's own tool is left out of the catalogue.
    """
    known = list(concepts.values())
    for number, utterance in enumerate(utterances):
        concept = concepts.get(utterance.intent)
        wanted = concept is not None and chance.random() >= refused
        count = chance.choice(_SIZES)
        others = _others(utterance.intent, concept, known, count if not wanted else count - 1, chance)
        if concept is not None and wanted:
            negated = utterance.pieces[0][0].split(" ")[0].lower() in _VERBS and chance.random() < 0.1
            row = (
                _negated(utterance, concept, others, chance) if negated else _acting(utterance, concept, others, chance)
            )
        elif others:
            row = _refusing(utterance, others, chance)
        else:
            row = None
        if row is not None:
            row["id"] = f"{utterance.source}-{number}"
            yield row


def _others(
    intent: str, concept: Concept | None, known: Sequence[Concept], count: int, chance: random.Random
) -> list[Concept]:
    collection = intent.partition(".")[0]
    same = [c for c in known if c.key.startswith(collection + ".")]
    found: list[Concept] = []
    for _ in range(count * 5):
        if len(found) >= count:
            break
        other = chance.choice(same if chance.random() < 0.8 and len(same) > 3 else known)
        near = any(intent in group and other.key in group for group in _NEAR)
        shared = collection == "clinc" and bool(
            set(intent.partition(".")[2].split("_")) & set(other.key.partition(".")[2].split("_"))
        )
        near = near or shared
        clash = (
            not other.key.startswith(collection + ".")
            and collection in {"hwu", "clinc", "lu", "snips", "home", "metatool"}
            and other.key.partition(".")[0] != "table"
        )
        if other.key != intent and not near and not clash and other not in found:
            found.append(other)
    return found


def _acting(
    utterance: Utterance, concept: Concept, others: Sequence[Concept], chance: random.Random
) -> dict[str, Any] | None:
    said = {slot for _, slot in utterance.pieces if slot}
    concept = _required(concept, said, chance)
    taken: set[str] = set()
    habit = styles.name_style(chance)
    target = styles.render(concept, chance, taken, habit, keep=said if concept.domain == "smart home" else frozenset())
    rendered = [target, *(styles.render(_required(c, set(), chance), chance, taken, habit) for c in others)]
    pieces, faults = _pieces(utterance, target)
    if faults:
        return None
    required = [p.slot for p in concept.parameters if p.required]
    expect = "ask" if any(slot not in said for slot in required) else "call"
    text, placed = requests.join(pieces)
    arguments = requests.arguments(text, placed, 0, target.names, set())
    call: dict[str, Any] = {"name": target.tool["name"], "arguments": arguments}
    anchor = requests.anchors(text, placed).get(0)
    if anchor:
        call["anchor"] = list(anchor)
    kind = "missing" if expect == "ask" else "one_tool" if len(rendered) == 1 else "call"
    return _row(utterance, rendered, text, [call], kind, expect, chance)


def _negated(
    utterance: Utterance, concept: Concept, others: Sequence[Concept], chance: random.Random
) -> dict[str, Any]:
    """The same request with a "don't" before it; the tool stands ready and must not be called."""
    name, forms = chance.choice([f for f in phrasing.NEGATIVE.items() if f[0] not in phrasing.NEGATIVE_HELD_OUT])
    clause = [Piece(text) for text, _ in utterance.pieces]
    clause[0] = clause[0]._replace(text=clause[0].text[:1].lower() + clause[0].text[1:])
    text, _ = requests.join(phrasing.wrap(chance.choice(forms), clause, chance) or clause)
    taken: set[str] = set()
    rendered = [styles.render(_required(c, set(), chance), chance, taken) for c in (concept, *others)]
    return _row(utterance, rendered, text, [], "negated", "refuse", chance, f"human_negated_{name}")


def _refusing(utterance: Utterance, others: Sequence[Concept], chance: random.Random) -> dict[str, Any]:
    taken: set[str] = set()
    habit = styles.name_style(chance)
    rendered = [styles.render(_required(c, set(), chance), chance, taken, habit) for c in others]
    text, _ = requests.join([Piece(text) for text, _ in utterance.pieces])
    return _row(utterance, rendered, text, [], "near_miss" if len(others) > 1 else "one_tool", "refuse", chance)


def _required(concept: Concept, said: set[str], chance: random.Random) -> Concept:
    """Choose which parameters this schema requires: those marked, most often only ones that were said."""
    chosen = []
    unsaid = [p.slot for p in concept.parameters if p.slot not in said]
    kept = (
        said
        | set(chance.sample(unsaid, min(len(unsaid), chance.randint(1, 3))))
        | (set(unsaid) if concept.domain == "smart home" else set())
    )
    for parameter in concept.parameters:
        if parameter.slot not in kept:
            continue
        required = parameter.required and chance.random() < (0.75 if parameter.slot in said else 0.35)
        chosen.append(dataclasses.replace(parameter, required=required))
    return dataclasses.replace(concept, parameters=tuple(chosen))


def _pieces(utterance: Utterance, target: Rendered) -> tuple[list[Piece], bool]:
    pieces: list[Piece] = []
    seen: set[str] = set()
    for raw, slot in utterance.pieces:
        text = raw.replace("\n", " ")
        if slot in target.fields and slot not in seen:
            seen.add(slot)
            field = target.fields[slot]
            if (
                pieces
                and pieces[-1].text
                and not pieces[-1].text.endswith((" ", "'", '"', "$", "("))
                and not text.startswith(" ")
            ):
                return [], True
            if field.schema["type"] == "integer":
                number = number_of(text)
                if number is None:
                    return [], True
                pieces.append(Piece(text.strip(), slot, number, 0))
            else:
                pieces.append(Piece(text.strip(), slot, text.strip(), 0, free=True))
        elif slot in seen:
            # A slot said twice has no single value.
            return [], True
        else:
            if (
                pieces
                and pieces[-1].slot
                and text
                and not text.startswith((" ", ",", ".", "?", "!", "'", '"', "%", ":", ";"))
            ):
                return [], True
            pieces.append(Piece(text, None, None, 0))
    return pieces, False


def number_of(text: str) -> int | None:
    """Read a whole number in digits or words, with a percent or degree sign or without."""
    words = (
        text.lower()
        .replace("%", " ")
        .replace("°c", " ")
        .replace("°", " ")
        .replace("percent", " ")
        .replace("degrees", " ")
        .strip()
        .replace("-", " ")
    )
    return int(words) if words.isdigit() else _NUMBERS.get(words)


def _row(
    utterance: Utterance,
    rendered: Sequence[Rendered],
    text: str,
    calls: list[dict[str, Any]],
    kind: str,
    expect: str,
    chance: random.Random,
    phrasing_name: str = "human",
) -> dict[str, Any]:
    tools = [tool.tool for tool in rendered]
    chance.shuffle(tools)
    return {
        "id": "",
        "source": utterance.source,
        "family": utterance.intent,
        "phrasing": phrasing_name,
        "kind": kind,
        "request": text,
        "now": None,
        "tools": tools,
        "calls": calls,
        "expect": expect,
    }
