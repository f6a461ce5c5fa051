"""A folder to a controller: its keys, its site, its broker, its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from appliance.contracts.enrolment import BrokerSettings
from appliance.contracts.record import Record
from appliance.contracts.topics import Name
from appliance.errors import SettingsError, StorageError, UsageError
from appliance.fleet.schema import migrate
from appliance.fleet.store import Store
from appliance.fleet.store_sqlite import SqliteStore
from appliance.trust import keys, parcels
from appliance.trust.keys import PublicKey, SigningKey

_SETTINGS: Final = "fleet.json"
_DATABASE: Final = "fleet.db"


class PostgresqlSettings(Record):
    """The controller's rows lie in PostgreSQL."""

    conninfo_file: str | None = None
    """A file with one line, `host=... dbname=... user=... password=...` or a postgresql:// address, which nobody else
    may read. Without one libpq finds the server as always: PG* variables, service file, password file."""


class KeepSettings(Record):
    """How much of what was collected stays; what proves a contradiction stays anyway."""

    days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Records, answers and states received longer ago go."""

    bytes: Annotated[int, Field(ge=1_000_000)] | None = None
    """The oldest records go while the bodies of all of them are more than this."""


class FleetSettings(Record):
    """`fleet.json`: which site this controller serves, and over which broker."""

    site: Name
    name: Name = "controller"
    broker: BrokerSettings | None = None
    postgresql: PostgresqlSettings | None = None
    """Where the rows lie; in `fleet.db` beside this file when absent."""

    keep: KeepSettings = KeepSettings()


class FleetHome:
    """An opened controller; one thread uses its database."""

    def __init__(self, path: Path, settings: FleetSettings, key: SigningKey, db: Store) -> None:
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
            raise SettingsError(
                f"{self.path / _SETTINGS} names no broker;"
                f" `fleet init --site {self.settings.site} --broker HOST:PORT` writes it"
            )
        return self.settings.broker

    def use_broker(self, broker: BrokerSettings) -> None:
        """Remember *broker* as the site's."""
        self._remember(broker=broker)

    def use_retention(self, keep: KeepSettings) -> None:
        """Remember how much is kept."""
        self._remember(keep=keep)

    def use_database(self, postgresql: PostgresqlSettings) -> None:
        """Remember where the rows lie from the next start on."""
        self._remember(postgresql=postgresql)

    def _remember(self, **changed: Record) -> None:
        self.settings = self.settings.model_copy(update=changed)
        _save(self.path, self.settings)

    def device_keys(self) -> dict[str, PublicKey]:
        """Return the public key of every enrolled device, by device."""
        rows = self.db.rows("select device, public_key from devices")
        return {row["device"]: PublicKey.from_hex(row["public_key"]) for row in rows}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the block in one transaction; nested blocks join it.

        Raises:
            StorageError: the database cannot be written; nothing of the block remains.
        """
        with self.db.writing():
            yield

    def close(self) -> None:
        """Close the database."""
        self.db.close()


def make(path: Path, *, site: str, name: str = "controller", postgresql: PostgresqlSettings | None = None) -> FleetHome:
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
        if postgresql is not None and home.settings.postgresql != postgresql:
            home.close()
            raise UsageError(f"{path} keeps its rows elsewhere; `fleet move` carries them to PostgreSQL")
        parcels.load_or_make(path / parcels.SEALING_KEY)
        return home
    try:
        settings = FleetSettings(site=site, name=name, postgresql=postgresql)
    except ValidationError as error:
        raise UsageError(f"site {site!r}, name {name!r}: use a-z, 0-9 and inner hyphens") from error
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys.load_or_make(path / keys.CONTROLLER_KEY)
        # At once: whoever copies the folder for a second collector copies this key too, before any device has it.
        parcels.load_or_make(path / parcels.SEALING_KEY)
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
    db = open_store(path, settings.postgresql)
    try:
        migrate(db)
    except BaseException:
        db.close()
        raise
    return FleetHome(path, settings, key, db)


def open_store(path: Path, postgresql: PostgresqlSettings | None) -> Store:
    """Open the database of the controller in *path*; its tables are as whoever wrote it last left them.

    Raises:
        SettingsError: it cannot be told where it is, or psycopg is not installed.
        StorageError: it cannot be opened.
    """
    if postgresql is None:
        return SqliteStore(path / _DATABASE)
    try:
        # Deferred: a controller on SQLite needs no client library.
        from appliance.fleet import store_postgresql
    except ImportError as error:
        raise SettingsError(
            f"{path / _SETTINGS} names PostgreSQL, and its client is missing here ({error}):"
            " pip install 'edge-agent-appliance[postgresql]'"
        ) from error
    file = None if postgresql.conninfo_file is None else path / postgresql.conninfo_file
    return store_postgresql.PostgresqlStore(
        store_postgresql.read_conninfo(file), program=f"appliance fleet {path.name}"
    )


def iso(moment: datetime) -> str:
    """Write a time as the tables hold it."""
    return moment.isoformat()


def _save(path: Path, settings: FleetSettings) -> None:
    draft = path / f".{_SETTINGS}.new"
    draft.write_text(settings.model_dump_json(indent=2) + "\n", "utf-8")
    draft.replace(path / _SETTINGS)
