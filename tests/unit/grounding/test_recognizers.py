"""Values in words against Recognizers-Text's specifications: how many are read right, and hardly any wrong.

What is not read is refused, which costs a question; what is read wrong is acted on. Floors are just under what is
measured today; printed with `pytest -s`.
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from appliance.grounding.values import dates, durations, moments, numbers, quantities, times, units

SPECS = json.loads((Path(__file__).parent / "data" / "recognizers.json").read_text(encoding="utf-8"))
NAMES = {"C": "celsius", "F": "fahrenheit", "K": "kelvin", "Degree": "degree", "R": "rankine"}


def number(text: str, value: str) -> bool | None:
    found = numbers.read(text)
    return None if found is None else abs(float(found) - float(value)) <= 1e-6 * max(1.0, abs(float(value)))


def ordinal(text: str, value: str) -> bool | None:
    found = numbers.read_ordinal(text)
    return None if found is None else str(found) == value


def percentage(text: str, value: str) -> bool | None:
    found = quantities.read(text, units.lookup("percent"))
    if found is None:
        return None
    return found.unit == units.lookup("percent") and float(found.value) == pytest.approx(float(value.rstrip("%")))


def temperature(text: str, value: str, unit: str) -> bool | None:
    found = quantities.read(text, units.lookup("celsius"))
    if found is None:
        return None
    named = found.unit is not None and found.unit.name == NAMES[unit]
    return named and float(found.value) == pytest.approx(float(value))


def dimension(text: str, value: str, unit: str) -> bool | None:
    # The specification's own unit says whether `m` is for metres: here the parameter does.
    found = quantities.read(text, units.lookup(unit.lower()))
    if found is None or found.unit is None:
        return None
    return float(found.value) == pytest.approx(float(value))


def duration(text: str, value: str) -> bool | None:
    found = durations.read(text)
    if found is None:
        return None
    # The specification counts a year as 365 days and a month as 30.
    days = found.months // 12 * 365 + found.months % 12 * (365 / 12 if found.months > 12 or found.months == 6 else 30)
    return float(found.seconds) + days * 86400 == pytest.approx(float(value), rel=0.003)


def date(text: str, value: str, reference: str) -> bool | None:
    found = dates.read(text, datetime.fromisoformat(reference).date())
    return None if found is None else found.isoformat() == value


def time(text: str, value: str) -> bool | None:
    found = times.read(text)
    return None if found is None else found.at().isoformat() == value


def moment(text: str, value: str, reference: str) -> bool | None:
    found = moments.read(text, datetime.fromisoformat(reference))
    return None if found is None else found.isoformat(" ") == value


@pytest.mark.parametrize(
    ("kind", "read", "right_pct", "wrong_n"),
    [
        ("number", number, 90, 3),
        ("ordinal", ordinal, 80, 0),
        ("percentage", percentage, 70, 0),
        ("temperature", temperature, 100, 0),
        ("dimension", dimension, 80, 0),
        ("duration", duration, 90, 0),
        ("date", date, 65, 7),
        ("time", time, 70, 0),
        ("moment", moment, 75, 0),
    ],
)
def test_values_in_words_are_read_as_specified(
    kind: str, read: Callable[..., bool | None], right_pct: int, wrong_n: int
):
    answers = [(row, read(*row)) for row in SPECS[kind]]

    right = sum(answer is True for _, answer in answers)
    wrong = [row for row, answer in answers if answer is False]
    unread = [row[0] for row, answer in answers if answer is None]
    print(
        f"\n{kind}: {right} of {len(answers)} right ({right / len(answers):.1%}), "
        f"{len(wrong)} wrong, {len(unread)} unread"
    )
    print("  wrong:", wrong, "\n  unread:", unread)
    assert 100 * right / len(answers) >= right_pct
    assert len(wrong) <= wrong_n, wrong
