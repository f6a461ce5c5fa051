"""Base verbs to their other forms: "shut the door" to "shutting the door" and "I shut the door"."""

from typing import Final

from firmware_models.corpus.lexicon import lines

_WORDS: Final = lines("verbs.txt")
_PAST: Final = dict(line.split(" ") for line in _WORDS[: _WORDS.index("-")])
_KEEP_ONE: Final = frozenset(_WORDS[_WORDS.index("-") + 1 :])
_VOWELS: Final = "aeiou"


def gerund(clause: str) -> str:
    """Give *clause*, which starts with a base verb, its -ing form."""
    verb, rest = _head(clause)
    return _ing(verb) + rest


def past(clause: str) -> str:
    """Give *clause*, which starts with a base verb, its simple past."""
    verb, rest = _head(clause)
    return _PAST.get(verb.lower(), _ed(verb)) + rest


def _head(clause: str) -> tuple[str, str]:
    end = clause.find(" ")
    return (clause, "") if end < 0 else (clause[:end], clause[end:])


def _doubles(verb: str) -> bool:
    return (
        len(verb) > 2
        and verb not in _KEEP_ONE
        and verb[-1] not in _VOWELS + "wxy"
        and verb[-2] in _VOWELS
        and verb[-3] not in _VOWELS
        and (len(verb) < 5 or verb in {"begin", "commit", "forget", "reset", "permit", "transfer", "program", "rerun"})
    )


def _ing(verb: str) -> str:
    if verb in {"see", "free", "be"}:
        return verb + "ing"
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")):
        return verb[:-1] + "ing"
    if verb.endswith("c"):
        return verb + ("ing" if verb == "sync" else "king")
    if verb in {"cancel", "label", "relabel", "dial", "total"}:
        return verb + verb[-1] + "ing"
    return verb + (verb[-1] if _doubles(verb) else "") + "ing"


def _ed(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and len(verb) > 1 and verb[-2] not in _VOWELS:
        return verb[:-1] + "ied"
    return verb + (verb[-1] if _doubles(verb) else "") + "ed"
