"""Options of a closed set: is the one that the network chose borne out by the words?

The dangerous mistake of a network is a likely value that nobody said. An option counts only when a span carries it or
the request has a word for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from appliance.contracts.record import JsonScalar
from appliance.contracts.toolspec import Parameter
from appliance.grounding.values import numbers, words

_SYNONYMS: Final = tuple(
    frozenset(group.split())
    for group in (
        "on enable enabled activate start begin resume yes true",
        "off disable disabled deactivate stop end halt shut no false kill cut",
        "open opened raise up unlocked wide",
        "close closed shut lower down",
        "lock locked secure",
        "unlock unlocked",
        "low lowest minimum min quiet gentle small soft slow little",
        "medium mid middle normal moderate average regular",
        "high highest maximum max strong full big loud fast hard turbo large",
        "cool cold cooling chill colder ac aircon",
        "heat hot heating warm warmer warming heater",
        "dry dehumidify drying",
        "auto automatic automatically",
        "fan ventilate ventilation fan_only",
        "celsius centigrade c metric",
        "fahrenheit f imperial",
        "add plus append create new",
        "remove delete drop clear erase",
        "urgent emergency critical high asap important",
        "daily day everyday",
        "weekly week",
        "monthly month",
        "yearly year annual annually",
        "hourly hour",
        "ascending asc increasing rising oldest lowest smallest",
        "descending desc decreasing falling newest latest highest largest",
        "left west",
        "right east",
        "forward forwards ahead",
        "backward backwards back reverse",
        "male man men boy",
        "female woman women girl",
        "increase raise up louder brighter more higher",
        "decrease lower down quieter dimmer less reduce",
        "home house",
        "away out gone leaving leave",
        "sleep night bedtime asleep",
        "eco economy saving economical",
        "red crimson scarlet",
        "monday mon", "tuesday tue tues", "wednesday wed weds", "thursday thu thur thurs", "friday fri", "saturday sat",
        "sunday sun", "january jan", "february feb", "march mar", "april apr", "june jun", "july jul", "august aug",
        "september sep sept", "october oct", "november nov", "december dec",
        "english en", "spanish es", "french fr", "german de", "italian it",
    )
)  # fmt: skip
_YES: Final = frozenset(
    [
        "on",
        "yes",
        "true",
        "enable",
        "enabled",
        "activate",
        "activated",
        "open",
        "with",
        "include",
        "including",
        "start",
        "sure",
        "allow",
    ]
)
_NO: Final = frozenset(
    [
        "off",
        "no",
        "false",
        "disable",
        "disabled",
        "deactivate",
        "deactivated",
        "closed",
        "without",
        "exclude",
        "excluding",
        "stop",
        "not",
        "deny",
    ]
)
_STATES: Final = frozenset(
    ["on", "enabled", "enable", "power", "state", "active", "is_on", "powered", "turned_on", "on_off", "onoff"]
)
_STOP: Final = frozenset(
    ["the", "a", "an", "to", "of", "for", "in", "at", "by", "and", "or", "it", "is", "be", "with", "my", "me"]
)
_LIKE_PCT: Final = 86.0


def borne_out(parameter: Parameter, option: JsonScalar, said: Sequence[str], request: str) -> bool:
    """Say whether the request bears out that *option* was asked for.

    Args:
        said: the words that the network points at; empty when it points at none.
        request: the whole request.
    """
    options = parameter.options or ()
    if len(options) == 1:
        return True  # a constant is the schema's own word, not a guess
    if isinstance(option, bool) and not parameter.options:
        return _boolean(parameter, option, said, request)
    spoken = words.tokens(" ".join(said)) if said else words.tokens(request)
    chosen = _evidence(option, options, spoken)
    if not said:
        return chosen
    if chosen:
        return True
    rivals = [o for o in options if o != option and _named(o, spoken)]
    return not rivals and any(t not in _STOP for t in spoken)


def spelled(parameter: Parameter, said: str) -> JsonScalar:
    """Return the option that the words themselves spell, or None when they spell none or several."""
    folded = words.value_words(said)
    options = parameter.options or ()
    same = [o for o in options if _words_of(o) == tuple(words.tokens(folded)) or words.folded(str(o)) == folded]
    if len(same) == 1:
        return same[0]
    value = numbers.read(folded)
    if value is not None:
        numeric = [o for o in options if _number_of(o) == value]
        return numeric[0] if len(numeric) == 1 else None
    spoken = words.tokens(folded)
    for test in (_named, lambda o, s: _evidence(o, options, s)):
        found = [o for o in options if test(o, spoken)]
        if len(found) == 1:
            return found[0]
    return None


def polarity(said: str) -> bool | None:
    """Return what "on", "yes", "without" ... say; None when the words say neither or both."""
    spoken = set(words.tokens(said))
    yes, no = bool(spoken & _YES), bool(spoken & _NO)
    return None if yes == no else yes


def _boolean(parameter: Parameter, option: bool, said: Sequence[str], request: str) -> bool:  # noqa: FBT001
    heard = polarity(" ".join(said) if said else request)
    is_state = parameter.name.lower() in _STATES
    if is_state and heard is not None:
        return heard is option
    if any(t for t in words.tokens(" ".join(said))):
        return True
    if heard is not None and heard is option:
        return True
    about = set(words.tokens(parameter.name.replace("_", " ") + " " + parameter.description)) - _STOP
    return any(_alike(t, a) for t in words.tokens(request) if len(t) > 3 for a in about if len(a) > 3)


def _evidence(option: JsonScalar, options: Sequence[JsonScalar], spoken: Sequence[str]) -> bool:
    """Say whether a word stands for *option* and for no other as well."""
    if _named(option, spoken):
        return True
    own = set(_words_of(option))
    others = {w for o in options if o != option for w in _words_of(o)}
    for word in own - others - _STOP:
        near = set().union(*(g for g in _SYNONYMS if word in g)) - others
        rival = set().union(*(g for g in _SYNONYMS if g & others and word not in g))
        if any(t in near - rival or _alike(t, word) for t in spoken):
            return True
    return False


def _named(option: JsonScalar, spoken: Sequence[str]) -> bool:
    """Say whether every word of the option is among the spoken, or the option as one run of letters."""
    own = _words_of(option)
    if not own:
        return False
    if all(any(_same(w, t) for t in spoken) for w in own):
        return True
    joined = "".join(own)
    return len(joined) > 3 and joined in {
        "".join(spoken[i:j]) for i in range(len(spoken)) for j in range(i + 1, min(i + 5, len(spoken) + 1))
    }


def _words_of(option: JsonScalar) -> tuple[str, ...]:
    if isinstance(option, bool):
        return ("true",) if option else ("false",)
    if option is None:
        return ()
    if isinstance(option, float) and option.is_integer():
        option = int(option)
    return words.tokens(re.sub(r"([a-z])([A-Z])", r"\1 \2", str(option)).replace("_", " ").replace("-", " "))


def _number_of(option: JsonScalar) -> Fraction | None:
    if isinstance(option, bool) or option is None:
        return None
    return numbers.read(option) if isinstance(option, str) else Fraction(option)


def _same(word: str, token: str) -> bool:
    if word == token or (len(word) > 2 and token in {word + "s", word + "es"}):
        return True
    if word.isdigit():
        return int(word) in {numbers.read(token), numbers.read_ordinal(token)}
    return False


def _alike(token: str, word: str) -> bool:
    if token == word:
        return True
    if len(token) < 4 or len(word) < 4 or token.isdigit() or word.isdigit():
        return False
    if token[:4] == word[:4] and min(len(token), len(word)) / max(len(token), len(word)) > 0.6:
        return True  # one stem: warm, warmer; vent, ventilate
    from rapidfuzz import fuzz  # 40 ms and 6 MB (measured): only names and options need it

    return fuzz.ratio(token, word) >= _LIKE_PCT
