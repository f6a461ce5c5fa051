"""A controller on each of the databases: the same tests, the same answers.

PostgreSQL counts as a service of the system: `make test-system` runs that half.
"""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.contracts.enrolment import Role
from appliance.fleet import enrolling
from appliance.fleet.home import PostgresqlSettings, make
from appliance.trust import keys

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(scope="session")
def server():
    path = Path(__file__).parents[2] / "rigs" / "postgresql_rig.py"
    spec = importlib.util.spec_from_file_location("postgresql_rig", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    postgresql = module.Postgresql()
    try:
        yield postgresql
    finally:
        postgresql.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def rows_in(request, tmp_path):
    """Where a controller's rows lie: None for SQLite."""
    if request.param == "sqlite":
        return None
    file = request.getfixturevalue("server").database(tmp_path)
    return PostgresqlSettings(conninfo_file=str(file))


@pytest.fixture
def home(tmp_path, rows_in):
    """A controller with one device, called lamp."""
    home = make(tmp_path / "fleet", site="site", postgresql=rows_in)
    home.use_broker(enrolling.broker_at("127.0.0.1:1883"))
    enrolling.enrol_here(home, tmp_path / "lamp", device="lamp", role=Role.OPERATOR, replace=False, now=NOW)
    yield home
    home.close()


@pytest.fixture
def key(home, tmp_path):
    return keys.load(tmp_path / "lamp" / keys.DEVICE_KEY)
