"""A real PostgreSQL in a folder of its own, on a Unix socket only, owned by somebody who is not root."""

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_NAMES = itertools.count(1)


class Postgresql:
    """The server; `database` makes an empty database and returns the file that says where it is."""

    def __init__(self, *lines, fsync=False):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        program = shutil.which("initdb")
        assert found or program, "PostgreSQL is not installed; `make test-system` installs it"
        self._bin = found[-1] if found else Path(program).parent
        # Not in pytest's folder: only root could enter it. Short, because a socket's path is at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._user = {}
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
            self._user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        self.data = self.folder / "data"
        self._run(
            "initdb", "-D", self.data, "-A", "trust", "-U", "fleet", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\n")
            file.write(f"fsync = {'on' if fsync else 'off'}\nmax_connections = 40\nshared_buffers = 32MB\n")
            file.writelines(f"{line}\n" for line in lines)
        self.start()

    def start(self):
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.folder / "log", "start")

    def stop(self, mode="fast"):
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def restart(self, mode="immediate"):
        """End it as a crash would, and start it again: it recovers from its log."""
        self.stop(mode)
        self.start()

    def sql(self, text, database="postgres"):
        return self._run(
            "psql", "-h", self.folder, "-U", "fleet", "-d", database, "-v", "ON_ERROR_STOP=1", "-Atc", text
        )

    def database(self, folder, *, more=""):
        """Make an empty database; return the file with the way to it."""
        name = f"fleet{next(_NAMES)}"
        self.sql(f"create database {name} {more}")
        file = folder / f"{name}.conninfo"
        file.write_text(f"host={self.folder} user=fleet dbname={name}\n")
        file.chmod(0o600)
        return file

    def space(self, folder):
        """Make a tablespace in *folder*; return its name."""
        name = f"space{next(_NAMES)}"
        if self._user:
            shutil.chown(folder, "nobody", "nogroup")
            # The way there leads through folders of pytest that only root may enter.
            link = self.folder / name
            link.mkdir()
            subprocess.run(["mount", "--bind", folder, link], check=True)
            folder = link
        self.sql(f"create tablespace {name} location '{folder}'")
        return name

    def close(self):
        try:
            if (self.data / "postmaster.pid").exists():
                self.stop("immediate")
        finally:
            for link in self.folder.glob("space*"):
                subprocess.run(["umount", "-l", link], check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program, *arguments):
        done = subprocess.run(
            [self._bin / program, *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            cwd="/", timeout=120, **self._user,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}"
        return done.stdout
