"""What the controller asks of a database, and which one a folder has.

The statements are written once, in the SQL that SQLite and PostgreSQL share: `?` for a value, `on conflict`,
`returning`. What differs between the two is here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

Row = dict[str, Any]
"""A row by column names; bytes are `bytes`, everything else is text or an integer."""

Values = Sequence[Any]

NOT_UNDERSTOOD: Final = (ValueError, LookupError, TypeError, ArithmeticError, RecursionError)
"""What the words of a stranger raise where nothing can be made of them; whoever reads them goes on without."""

_ASKED_N: Final = 500
"""Names in one statement."""


class Store(Protocol):
    """An opened database; one thread uses it.

    Every method raises StorageError when the database is away, full or damaged, and ValueError when a value can be in
    no row of it.
    """

    @property
    def where(self) -> str:
        """Which one it is, for people; no secret in it."""
        ...

    @property
    def words(self) -> Mapping[str, str]:
        """What this database calls the types and the functions that have no common name."""
        ...

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Return every row."""
        ...

    def row(self, sql: str, values: Values = ()) -> Row | None:
        """Return the first row; also of a statement that writes and has `returning`."""
        ...

    def execute(self, sql: str, values: Values = ()) -> int:
        """Write, and return how many rows that touched."""
        ...

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Values]) -> None:
        """Add rows that are not there, by the fastest way there is."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Run the block in one transaction, durable when it ends; a block inside another one can fail alone."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Run the block in one transaction while no other program is in such a block."""
        ...

    def has_table(self, name: str) -> bool:
        """Tell whether there is such a table."""
        ...

    def close(self) -> None:
        """Let the database go."""
        ...


def storable(text: object, most: int) -> str:
    """Make of a stranger's text one that every database takes, of *most* characters at most."""
    return str(text)[:most].replace("\0", " ").encode(errors="replace").decode()


def rows_of(store: Store, sql: str, names: Sequence[str]) -> Iterator[Row]:
    """Yield what *sql* finds of *names*, in whose place it has `{}`; a statement takes only so many values."""
    for first in range(0, len(names), _ASKED_N):
        some = names[first : first + _ASKED_N]
        yield from store.rows(sql.format(", ".join("?" * len(some))), some)
