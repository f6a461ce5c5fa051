"""Numbers to the words that people say for them."""

from typing import Final

_ONES: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS: Final = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def words(number: float, *, hyphen: bool = False) -> str:
    """Spell *number* as it is spoken: 37.5 is "thirty seven point five", -3 is "minus three"."""
    if number < 0:
        return "minus " + words(-number, hyphen=hyphen)
    if not float(number).is_integer():
        whole, digits = f"{number:.10f}".rstrip("0").split(".")
        return f"{_whole(int(whole), hyphen=hyphen)} point {' '.join(_ONES[int(d)] for d in digits)}"
    return _whole(int(number), hyphen=hyphen)


def ordinal_words(number: int) -> str:
    """Spell the ordinal of *number*: 21 is "twenty first"."""
    head, _, last = words(number).rpartition(" ")
    last = _ORDINALS.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return f"{head} {last}".strip()


def ordinal_digits(number: int) -> str:
    """Write the ordinal of *number* in digits: 21 is "21st"."""
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _whole(number: int, *, hyphen: bool) -> str:
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"{'-' if hyphen else ' '}{_ONES[ones]}" if ones else "")
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            head, rest = divmod(number, size)
            tail = "" if not rest else (" and " if rest < 100 and size == 100 else " ") + _whole(rest, hyphen=hyphen)
            return f"{_whole(head, hyphen=hyphen)} {name}{tail}"
    raise AssertionError(number)
