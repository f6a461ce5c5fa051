"""What tests share: a real appliance on a home of its own."""

import importlib.util
from pathlib import Path

import pytest

from appliance import settings
from appliance.client import Appliance
from appliance.contracts.home import Home
from appliance.daemon import Daemon
from appliance.storage import audit


class Bench:
    """A real appliance in this process: real database, real socket, real bundle, simulated pins."""

    def __init__(self, root: Path):
        self.home = Home(root)
        self.daemon = None

    def configure(self, text):
        self.home.root.mkdir(parents=True, exist_ok=True)
        self.home.settings.write_text(text)

    def start(self):
        self.home.root.mkdir(parents=True, exist_ok=True)
        self.daemon = Daemon(self.home, settings.load(self.home.root))
        self.daemon.start()
        return self

    def stop(self):
        if self.daemon is not None:
            self.daemon.stop()
            self.daemon = None

    def restart(self):
        self.stop()
        return self.start()

    @property
    def client(self):
        return Appliance(self.home.root)

    @property
    def db(self):
        return self.daemon.parts.db

    @property
    def records(self):
        return list(audit.rows(self.db.connection))

    def kinds(self, request_id):
        return [row.kind for row in self.records if row.request_id == request_id]


@pytest.fixture
def bench(tmp_path):
    """An appliance that is made, not started."""
    made = Bench(tmp_path / "home")
    yield made
    made.stop()


@pytest.fixture
def appliance(bench):
    """A running appliance with the bundle that ships."""
    return bench.start()


@pytest.fixture
def cut():
    """Run a rig that cuts the power: `cut("crash_rig.py", folder, runs, seed, timeout_s=...)`."""
    path = Path(__file__).parent / "rigs" / "power_cut.py"
    spec = importlib.util.spec_from_file_location("power_cut", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.cut


@pytest.fixture
def second():
    """The rig with a server that answers as it is told: `second.open_server()`; closed at the end."""
    path = Path(__file__).parent / "rigs" / "second_server.py"
    spec = importlib.util.spec_from_file_location("second_server", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    opened = []

    def start():
        opened.append(module.SecondServer())
        return opened[-1]

    module.open_server = start
    yield module
    for server in opened:
        server.close()


@pytest.fixture
def kept_ledger(tmp_path):
    """A ledger with a clock that is set by hand: `kept_ledger(keep_days=30)`; closed at the end."""
    path = Path(__file__).parent / "rigs" / "kept_ledger.py"
    spec = importlib.util.spec_from_file_location("kept_ledger", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = []

    def make(**bounds):
        made.append(module.KeptLedger(tmp_path, **bounds))
        return made[-1]

    yield make
    for ledger in made:
        ledger.close()
