"""What is asked of the index about the locks: ages, advisories, and what is said when the index does not know.

The index is a small web server of this machine that answers what a real one would; pip is told of it as usual.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIMPLE = "application/vnd.pypi.simple.v1+json"


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def days_ago(days):
    return (datetime.now(UTC) - timedelta(days=days)).isoformat().replace("+00:00", "Z")


def entry(filename, *, days=None, **more):
    dated = {} if days is None else {"upload-time": days_ago(days)}
    where = {"url": f"../../files/{filename}", "hashes": {"sha256": digest(filename)}}
    return {"filename": filename, **where, **dated, **more}


class Index:
    """Pages by path; whatever is not there is answered with 404."""

    def __init__(self):
        pages = self.pages = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, kind, body = pages.get(self.path, (404, "text/plain", b""))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def lists(self, name, *files):
        body = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files})
        self.pages[f"/simple/{name}/"] = (200, SIMPLE, body.encode())

    def knows(self, path, version, *advisories):
        body = json.dumps({"info": {"version": version}, "vulnerabilities": advisories})
        self.pages[f"/pypi/{path}/json"] = (200, "application/json", body.encode())


@pytest.fixture
def index():
    made = Index()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def lock(tmp_path):
    """Write a lock: `lock("click==8.0", "a.whl", "b.whl")`, one call for each package."""
    path = tmp_path / "lock.txt"

    def add(requirement, *filenames):
        hashes = "".join(f" \\\n    --hash=sha256:{digest(name)}" for name in filenames)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{requirement}{hashes}\n")
        return path

    return add


def ask(script, url, *arguments):
    """Run a script of `.ci` with pip configured for the index at `url`, and for nothing else."""
    clean = {key: value for key, value in os.environ.items() if not key.upper().startswith(("PIP_", "HTTP_PROXY"))}
    told = {"PIP_CONFIG_FILE": os.devnull, **({"PIP_INDEX_URL": url} if url else {"PIP_NO_INDEX": "1"})}
    command = [sys.executable, ROOT / ".ci" / script, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env={**clean, **told})


# ---- ages


def test_files_of_more_than_a_week_are_old_enough(index, lock):
    index.lists("click", entry("click-1-py3-none-any.whl", days=8), entry("click-2-py3-none-any.whl", days=0))
    path = lock("click==1", "click-1-py3-none-any.whl")

    said = ask("ages.py", index.url, path)

    assert said.returncode == 0, said
    assert "the youngest of 1 versions is 8 days old: click 1" in said.stdout


def test_a_file_that_was_added_to_an_old_release_yesterday_is_too_young(index, lock):
    old, added = "click-1-py3-none-any.whl", "click-1-cp311-cp311-linux_armv7l.whl"
    index.lists("click", entry(old, days=2000), entry(added, days=1))
    path = lock("click==1", old, added)

    said = ask("ages.py", index.url, path)

    assert said.returncode == 1, said
    assert f"too young: {added}" in said.stdout


def test_a_file_from_the_future_is_too_young(index, lock):
    index.lists("click", entry("click-1-py3-none-any.whl", days=-3))
    path = lock("click==1", "click-1-py3-none-any.whl")

    assert ask("ages.py", index.url, path).returncode == 1


def test_a_file_that_its_authors_took_back_is_a_fault_with_their_reason(index, lock):
    index.lists("click", entry("click-1-py3-none-any.whl", days=90, yanked="stolen\n\x1b[2Jtoken"))
    path = lock("click==1", "click-1-py3-none-any.whl")

    said = ask("ages.py", index.url, path)

    assert said.returncode == 1
    assert "taken back by its authors: click-1-py3-none-any.whl (stolen ?[2Jtoken)" in said.stdout


@pytest.mark.parametrize("listed", [True, False], ids=["the file is gone", "the package is gone"])
def test_what_the_index_has_removed_is_a_fault(index, lock, listed):
    if listed:
        index.lists("click", entry("click-2-py3-none-any.whl", days=90))
    path = lock("click==1", "click-1-py3-none-any.whl")

    said = ask("ages.py", index.url, path)

    assert said.returncode == 1
    assert "gone: click 1, 1 of 1 locked files are no longer in the index" in said.stdout


def test_a_release_without_a_wheel_is_a_fault(index, lock):
    index.lists("click", entry("click-1.tar.gz", days=90))
    path = lock("click==1", "click-1.tar.gz")

    said = ask("ages.py", index.url, path)

    assert (said.returncode, "no wheel: click 1" in said.stdout) == (1, True), said


@pytest.mark.parametrize("html", [True, False], ids=["a page for browsers", "json without dates"])
def test_an_index_without_dates_is_said_to_be_one(index, lock, html):
    index.lists("click", entry("click-1-py3-none-any.whl"))
    if html:
        index.pages["/simple/click/"] = (200, "text/html", b"<a href='click-1-py3-none-any.whl'>click</a>")
    path = lock("click==1", "click-1-py3-none-any.whl")

    said = ask("ages.py", index.url, path)

    assert said.returncode == 3, said
    assert "no date: click 1" in said.stdout
    assert "1 versions; 0 faults, 1 without a date, 0 not asked" in said.stdout
    assert "INCOMPLETE" in said.stdout


@pytest.mark.parametrize(
    "answer",
    [
        (500, "text/plain", b"ouch"),
        (200, SIMPLE, b"{"),
        (200, SIMPLE, b"[]"),
        (200, SIMPLE, b'{"files": [{"filename": 7}]}'),
        (200, SIMPLE, b'{"files": [{"filename": "a", "url": "b", "hashes": {}, "upload-time": "yesterday"}]}'),
        (200, SIMPLE, b"\xff\xfe"),
    ],
    ids=["an error", "half an answer", "a list", "other types", "a date in words", "no text"],
)
def test_an_answer_that_is_none_is_never_good_news(index, lock, answer):
    index.pages["/simple/click/"] = answer
    path = lock("click==1", "click-1-py3-none-any.whl")

    said = ask("ages.py", index.url, path)

    assert said.returncode == 3, said
    assert "not asked: " in said.stdout
    assert said.stderr.count("Traceback") == 0


def test_a_version_that_cannot_wait_is_named_with_its_reason(index, lock, tmp_path):
    index.lists("click", entry("click-1-py3-none-any.whl", days=1))
    index.lists("rich", entry("rich-1-py3-none-any.whl", days=1))
    lock("click==1", "click-1-py3-none-any.whl")
    path = lock("rich==1", "rich-1-py3-none-any.whl")
    accepted = tmp_path / "accepted.toml"
    accepted.write_text('[[young]]\npackage = "click"\nversion = "1"\nwhy = "closes a hole that is in use"\n')

    said = ask("ages.py", index.url, "--accepted", accepted, path)

    assert said.returncode == 1
    assert "may be young: click 1: closes a hole that is in use" in said.stdout
    assert re.findall("too young: (.*?)-", said.stdout) == ["rich"]


# ---- advisories


def advisory(**more):
    return {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "details": "Reads\nbeyond.", "fixed_in": ["2"], **more}


def test_a_known_vulnerability_is_a_finding(index, lock):
    index.knows("click/1", "1", advisory())
    path = lock("click==1", "a.whl")

    said = ask("audit.py", index.url, path)

    assert said.returncode == 1
    assert "click 1: PYSEC-2026-1, CVE-2026-1: fixed in 2. Reads beyond." in said.stdout


def test_nothing_known_about_everything_asked_is_clean(index, lock):
    index.knows("click/1", "1", advisory(withdrawn="2026-01-01T00:00:00Z"))
    path = lock("click==1", "a.whl")

    said = ask("audit.py", index.url, path)

    assert said.returncode == 0
    assert "1 of 1 versions were asked about; 0 findings" in said.stdout


def test_an_answer_about_the_newest_version_counts_for_the_newest_only(index, lock):
    index.knows("click", "1.0", advisory())
    index.knows("rich", "2", advisory())
    lock("click==1", "a.whl")
    path = lock("rich==1", "b.whl")

    said = ask("audit.py", index.url, path)

    assert said.returncode == 1
    assert "click 1: PYSEC-2026-1" in said.stdout
    assert "rich 1: PYSEC" not in said.stdout
    assert "NOT ASKED  rich 1" in said.stdout
    assert "INCOMPLETE: nothing was learned about 1 versions" in said.stdout


def test_an_index_without_a_database_is_not_a_clean_one(index, lock):
    index.pages["/pypi/click/1/json"] = (200, "application/json", b'{"info": {"version": "1"}}')
    path = lock("click==1", "a.whl")

    said = ask("audit.py", index.url, path)

    assert said.returncode == 3
    assert "0 of 1 versions were asked about" in said.stdout


@pytest.mark.parametrize("script", ["ages.py", "audit.py"])
@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1/simple"], ids=["no index", "nobody there"])
def test_without_an_index_nothing_is_learned_and_that_is_said(lock, script, url):
    path = lock("click==1", "a.whl")

    said = ask(script, url, path)

    assert said.returncode == 3, said
    assert "INCOMPLETE" in said.stdout


@pytest.mark.parametrize(("until", "status"), [("2999-01-01", 0), ("2020-01-01", 1)], ids=["in time", "run out"])
def test_an_accepted_finding_passes_until_its_last_day(index, lock, tmp_path, until, status):
    index.knows("click/1", "1", advisory())
    path = lock("click==1", "a.whl")
    accepted = tmp_path / "accepted.toml"
    accepted.write_text(
        f'[[findings]]\nid = "CVE-2026-1"\npackage = "click"\nwhy = "we never read beyond"\nuntil = {until}\n'
    )

    said = ask("audit.py", index.url, "--accepted", accepted, path)

    assert said.returncode == status, said
    assert ("accepted: we never read beyond" in said.stdout) == (status == 0)


def test_an_acceptance_without_a_reason_is_none(index, lock, tmp_path):
    accepted = tmp_path / "accepted.toml"
    accepted.write_text('[[findings]]\nid = "CVE-2026-1"\npackage = "click"\nwhy = ""\nuntil = 2999-01-01\n')

    said = ask("audit.py", index.url, "--accepted", accepted, lock("click==1", "a.whl"))

    assert (said.returncode, "why" in said.stdout) == (1, True), said


# ---- the locks themselves


@pytest.mark.parametrize(
    "line",
    [
        "--index-url http://127.0.0.1/simple",
        "--extra-index-url http://127.0.0.1/simple",
        "--find-links /tmp",
        "-r other.txt",
        "-e .",
        "./click-1-py3-none-any.whl",
        f"click @ http://127.0.0.1/click.whl --hash=sha256:{digest('a')}",
        f"click>=1 --hash=sha256:{digest('a')}",
        f"click==1.* --hash=sha256:{digest('a')}",
        f"click[x]==1 --hash=sha256:{digest('a')}",
        "click==1",
        "click==1 --hash=md5:0123",
        f"click==1 --hash=sha256:{digest('a')} --global-option=x",
        f"click==1 \\\n    --hash=sha256:{digest('a')} \\",
    ],
)
def test_a_lock_with_anything_but_pins_and_hashes_is_refused(tmp_path, line):
    path = tmp_path / "lock.txt"
    path.write_text(f"rich==1 --hash=sha256:{digest('b')}\n{line}\n", encoding="utf-8")

    said = ask("ages.py", "", path)

    assert said.returncode == 1, said
    assert "lock.txt, line 2: " in said.stdout
    assert said.stderr == ""
