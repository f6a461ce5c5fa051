"""LiteRT and tflite-runtime 2.14 answer alike, each in an environment of its own.

tflite-runtime was built for numpy 1 and CPython 3.11 at most, so it cannot share this environment.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUESTS = ROOT / "tests" / "contracts" / "agreement_requests.jsonl"

pytestmark = [
    pytest.mark.system,  # makes an environment of its own, from the package index
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no wheel for this Python"),
]


def agree(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "firmware_models.agree", *arguments]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1800)


@pytest.fixture(scope="module")
def older_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tflite")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    # What the reading of values imports must be the very version of this environment, or they differ for its sake.
    shared = [f"{name}=={importlib.metadata.version(name)}" for name in ("pydantic", "text2num")]
    wanted = ["tflite-runtime==2.14.0", "numpy<2", *shared]
    subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", *wanted], check=True, timeout=900)
    return folder / "bin" / "python"


def test_both_runtimes_answer_alike(older_runtime: Path, tmp_path: Path) -> None:
    bundle = str(next(path.parent for path in (ROOT / "firmware_models" / "bundles").glob("*/manifest.json")))
    newer, older = tmp_path / "litert.jsonl", tmp_path / "tflite.jsonl"

    for python, runtime, out in ((Path(sys.executable), "litert", newer), (older_runtime, "tflite-runtime", older)):
        answered = agree(python, "answer", bundle, str(REQUESTS), str(out), "--runtime", runtime)
        assert answered.returncode == 0, answered.stderr

    compared = agree(Path(sys.executable), "compare", bundle, str(newer), str(older))
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert json.loads(compared.stdout)["requests_n"] >= 250
