"""Names as people say them ("kitchen lamp") to names that exist at this site ("Kitchen Ceiling Lamp")."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from appliance.contracts.toolcall import RefusalCode
from appliance.grounding.schema import Objection
from appliance.grounding.values import numbers, words

_SMALL_WORDS: Final = frozenset(
    {"the", "a", "an", "my", "our", "your", "this", "that", "in", "on", "at", "of", "to", "for", "one", "please", "s"}
)
_GENERIC: Final = frozenset({"room", "light", "lamp", "device", "sensor", "door", "switch", "area", "zone", "unit"})
_SAME_THING: Final = {
    "light": "lamp", "bulb": "lamp", "lounge": "living room", "telly": "tv", "television": "tv", "loo": "toilet",
    "livingroom": "living room", "bathroom": "bath room", "bedroom": "bed room", "hallway": "hall", "corridor": "hall",
}  # fmt: skip
_LIKE_PCT: Final = 82.0
"""How alike two words must be: one wrong letter in five passes, "left" and "right" never do."""

_NEAR_PCT: Final = 60.0
_SHOWN_N: Final = 4


class _Name(NamedTuple):
    name: str
    parts: tuple[str, ...]


def link(said: str, names: Sequence[str]) -> str | Objection:
    """Return the one of *names* that *said* means.

    Every word said must be borne by the name, and numbers must agree; so a wrong name is never the nearest one.

    Returns:
        An objection with `choices` when several fit, with the near names in its reason when none does.
    """
    parts = _parts(said)
    known = [_Name(n, _parts(n)) for n in names]
    exact = [k.name for k in known if k.parts == parts or words.folded(k.name) == words.folded(said)]
    if len(exact) == 1:
        return exact[0]
    fitting = [k for k in known if _fits(parts, k.parts)]
    if len(fitting) == 1 and parts:
        return fitting[0].name
    if len(fitting) > 1 and parts:
        whole = [k for k in fitting if _fits(k.parts, parts)]
        if len(whole) == 1:
            return whole[0].name
        found = tuple(k.name for k in fitting)
        return Objection(RefusalCode.UNKNOWN_NAME, f'"{said.strip()}" can mean {_listed(found)}.', found)
    # "garage door" where there is a "Garage": all that is over is a word for the kind of thing.
    within = [k for k in known if k.parts and not set(k.parts) <= _GENERIC and set(k.parts) <= set(parts)]
    if len(within) == 1 and set(parts) - set(within[0].parts) <= _GENERIC:
        return within[0].name
    return _unknown(said, parts, known)


def link_all(said: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return every name that "all ...", "every ..." or "both ..." means; empty when *said* is none of these."""
    head, *rest = words.tokens(said) or ("",)
    if head not in {"all", "every", "each", "both", "everything"}:
        return ()
    parts = tuple(p for p in _parts(" ".join(rest)) if p != "everything")
    return tuple(n for n in names if _fits(parts, _parts(n)))


def _parts(text: str) -> tuple[str, ...]:
    found: list[str] = []
    for token in words.tokens(text.replace("_", " ").replace("'s", "")):
        single = token[:-1] if len(token) > 3 and token.endswith("s") and not token.endswith("ss") else token
        if single in _SMALL_WORDS and len(text.split()) > 1 and single != "one":
            continue
        for part in _SAME_THING.get(single, single).split():
            value = numbers.read(part) if part in numbers.WORDS else None
            ordinal = numbers.read_ordinal(part) if value is None and part != "second" else None
            found.append(str(int(value)) if value is not None and value != Fraction(0) else str(ordinal or part))
    return tuple(found)


def _fits(said: tuple[str, ...], named: tuple[str, ...]) -> bool:
    """Say whether every word of *said* is borne by *named*."""
    if "".join(said) == "".join(named) and said:
        return True
    return all(any(_alike(s, n) for n in named) for s in said)


def _alike(one: str, other: str) -> bool:
    if one == other:
        return True
    if len(one) < 4 or len(other) < 4 or any(c.isdigit() for c in one + other):
        return False
    from rapidfuzz import fuzz  # 40 ms and 6 MB (measured): only names and options need it

    return fuzz.ratio(one, other) >= _LIKE_PCT


def _unknown(said: str, parts: tuple[str, ...], known: Sequence[_Name]) -> Objection:
    from rapidfuzz import fuzz

    shown = " ".join(parts)
    scored = sorted(
        ((fuzz.token_set_ratio(shown, " ".join(k.parts)), k.name) for k in known), key=lambda s: (-s[0], s[1])
    )
    near = tuple(name for score, name in scored if score >= _NEAR_PCT)[:_SHOWN_N]
    # A name wholly contained in what was said, with words over ("garden gate" where there is only a "Gate").
    within = tuple(k.name for k in known if k.parts and not set(k.parts) <= _GENERIC and _fits(k.parts, parts))
    if len(within) == 1 and set(parts) - {
        p for p in parts if any(_alike(p, n) for n in _parts(within[0]))
    } <= _GENERIC | {"lamp"}:
        return Objection(RefusalCode.UNKNOWN_NAME, f'"{said.strip()}" may mean {within[0]}.', within)
    hint = f" Near: {_listed(near)}." if near else ""
    return Objection(RefusalCode.UNKNOWN_NAME, f'There is nothing called "{said.strip()[:60]}" here.{hint}')


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:_SHOWN_N], *(["others"] if len(names) > _SHOWN_N else [])]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " or " + shown[-1]
