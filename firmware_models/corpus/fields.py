"""What a declared parameter is to the generator."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

Said = tuple[str, object]
"""Words, and the value that they mean."""


@dataclass(frozen=True)
class Field:
    """A parameter as declared, with the words for its values."""

    schema: Mapping[str, object]
    say: Callable[[random.Random, datetime], list[Said]]
    literals: Mapping[str, object] = field(default_factory=dict)
    """Values of the words in patterns that say a value themselves."""
    beyond: Callable[[random.Random], Said] | None = None
    """Says a value outside the declared bounds."""
    hint: str = ""
    """What the description has to tell, such as the unit."""
    relative: bool = False
    """Whether the words depend on the present."""

    @property
    def free(self) -> bool:
        """Whether a value is simply its words."""
        shape = self.schema.get("items", self.schema)
        return isinstance(shape, Mapping) and set(shape) == {"type"} and shape["type"] == "string" and not self.hint
