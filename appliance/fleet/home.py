"""A folder to a controller: its key, its site, its broker, its database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from sqlite_utils import Database

from appliance.contracts.enrolment import BrokerSettings
from appliance.contracts.record import Record
from appliance.contracts.topics import Name
from appliance.errors import SettingsError, StorageError, UsageError
from appliance.fleet.schema import migrations
from appliance.trust import keys
from appliance.trust.keys import PublicKey, SigningKey

_SETTINGS: Final = "fleet.json"
_DATABASE: Final = "fleet.db"

WAIT_S: Final = 60.0
"""How long a program waits for the others' transactions. Each is short, but SQLite has no queue: it looks again every
0.1 s, and a collector that catches up leaves the file free for a few in a hundred of those looks."""


class FleetSettings(Record):
    """`fleet.json`: which site this controller serves, and over which broker."""

    site: Name
    name: Name = "controller"
    broker: BrokerSettings | None = None


class FleetHome:
    """An opened controller; one thread uses its database."""

    def __init__(self, path: Path, settings: FleetSettings, key: SigningKey, db: Database) -> None:
        self.path = path
        self.settings = settings
        self.key = key
        self.db = db

    @property
    def broker(self) -> BrokerSettings:
        """Where the site's broker is.

        Raises:
            SettingsError: nobody has said yet.
        """
        if self.settings.broker is None:
            raise SettingsError(f"{self.path / _SETTINGS} names no broker; `fleet enrol --broker HOST:PORT` writes it")
        return self.settings.broker

    def use_broker(self, broker: BrokerSettings) -> None:
        """Remember *broker* as the site's."""
        self.settings = self.settings.model_copy(update={"broker": broker})
        _save(self.path, self.settings)

    def device_keys(self) -> dict[str, PublicKey]:
        """Return the public key of every enrolled device, by device."""
        rows = self.db.query("select device, public_key from devices")
        return {row["device"]: PublicKey.from_hex(row["public_key"]) for row in rows}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the block in one transaction, alone among all programs from its first line on; nested blocks join it.

        Raises:
            StorageError: the database cannot be written; nothing of the block remains.
        """
        with _writing(self.db, self.path / _DATABASE):
            yield

    def next_counter(self) -> int:
        """Return a counter never used before, also after a restore: devices report the highest they have seen."""
        with self.writing():
            seen = next(self.db.query("select coalesce(max(counter), 0) as n from devices"))["n"]
            row = next(self.db.query("select value from meta where key = 'counter'"), None)
            counter = max(int(seen), 0 if row is None else int(row["value"])) + 1
            self.db.table("meta").upsert({"key": "counter", "value": str(counter)}, pk="key")
        return counter

    def close(self) -> None:
        """Close the database."""
        self.db.close()


def make(path: Path, *, site: str, name: str = "controller") -> FleetHome:
    """Make a controller in *path*, or return the one that is there for the same site.

    Raises:
        UsageError: it serves another site, or the names cannot be used.
    """
    settings_file = path / _SETTINGS
    if settings_file.exists():
        home = open_home(path)
        if home.settings.site != site:
            home.close()
            raise UsageError(f"{path} serves the site {home.settings.site!r}; give {site!r} a folder of its own")
        return home
    try:
        settings = FleetSettings(site=site, name=name)
    except ValidationError as error:
        raise UsageError(f"site {site!r}, name {name!r}: use a-z, 0-9 and inner hyphens") from error
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys.load_or_make(path / keys.CONTROLLER_KEY)
        _save(path, settings)
    except OSError as error:
        raise StorageError(f"cannot make a controller in {path}: {error.strerror}") from error
    return open_home(path)


def open_home(path: Path) -> FleetHome:
    """Open the controller in *path*.

    Raises:
        UsageError: there is none.
        SettingsError: its settings cannot be read.
        StorageError: its database cannot be opened.
        TrustError: its key cannot be used.
    """
    file = path / _SETTINGS
    try:
        settings = FleetSettings.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise UsageError(
            f"no controller in {path}; make one with `fleet init --fleet-home {path} --site SITE`"
        ) from None
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise SettingsError(f"{file}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    key = keys.load(path / keys.CONTROLLER_KEY)
    return FleetHome(path, settings, key, _database(path / _DATABASE))


def iso(moment: datetime) -> str:
    """Write a time as the tables hold it."""
    return moment.isoformat()


def _database(path: Path) -> Database:
    try:
        # Collector, sender and viewer are processes of their own. A rollback journal, not WAL: SQLite 3.7.0 to 3.51.2
        # can corrupt a WAL database when two connections write at once.
        connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
        connection.execute("pragma journal_mode = delete")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma mmap_size = 0")
        db = Database(connection, recursive_triggers=False, execute_plugins=False)
        if migrations.pending(db):
            with _writing(db, path):  # two programs may be the first to open it
                migrations.apply(db)
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"{path}: {error}; restore it from a backup, or move it away: devices keep what is new"
        ) from error
    return db


@contextmanager
def _writing(db: Database, path: Path) -> Iterator[None]:
    if db.conn.in_transaction:
        with db.atomic():
            yield
        return
    try:
        # At once, as a writer: a transaction that has only read and then writes is told "locked" without any wait when
        # another writes, because neither could ever go on.
        db.conn.execute("begin immediate")
        with db.conn:
            yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise StorageError(
                f"{path}: another program kept it from being written for a whole {WAIT_S:g} s; nothing was changed, try"
                " again, and end what hangs if it says so again"
            ) from error
        raise StorageError(f"{path}: {error}; nothing was changed") from error


def _save(path: Path, settings: FleetSettings) -> None:
    draft = path / f".{_SETTINGS}.new"
    draft.write_text(settings.model_dump_json(indent=2) + "\n", "utf-8")
    draft.replace(path / _SETTINGS)
