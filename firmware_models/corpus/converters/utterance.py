"""What every data set is read into."""

from typing import NamedTuple


class Utterance(NamedTuple):
    """Words of a person, with the intent that the data set gives them."""

    source: str
    intent: str
    pieces: tuple[tuple[str, str | None], ...]
    """Text in order, each part with its slot, or None."""

    @property
    def text(self) -> str:
        """The whole request."""
        return "".join(text for text, _ in self.pieces)
