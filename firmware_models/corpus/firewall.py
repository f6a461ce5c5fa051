"""Keeps training rows apart from every development set: no shared run of eight words, no equal request."""

import re
from collections.abc import Iterable
from typing import Final

RUN_WORDS: Final = 8
_WORD: Final = re.compile(r"[a-z0-9]+")


class Firewall:
    """Knows the requests of the development sets."""

    def __init__(self, requests: Iterable[str]) -> None:
        """Remember every run of words of *requests*, and those that are shorter whole."""
        self._runs: set[tuple[str, ...]] = set()
        self._short: set[tuple[str, ...]] = set()
        for request in requests:
            words = _words(request)
            self._runs.update(_runs(words))
            self._short.add(words)

    def stops(self, request: str) -> bool:
        """Whether *request* is too near to a development row."""
        words = _words(request)
        return words in self._short or any(run in self._runs for run in _runs(words))


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


def _runs(words: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    return (words[at : at + RUN_WORDS] for at in range(len(words) - RUN_WORDS + 1))
