"""The cage on machines that offer less: in a container without user namespaces, and without libseccomp."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TRY = """
import json
from appliance.canary import cage
from appliance.canary.errand import Asked
from appliance.contracts.canary import CanaryLimits
from appliance.contracts.toolspec import ToolSpec
from appliance.settings import shipped_bundle
light = ToolSpec.from_schema("turn_light_on", "Switch on a light.", {"room": {"type": "string", "required": True}})
asked = (Asked(text="turn on the kitchen light", catalogue=0),)
found = cage.ask(shipped_bundle(), ((light,),), asked, CanaryLimits(niceness=0))
held = list(found.ready.held) if isinstance(found, cage.Answers) else None
print(json.dumps({"held": held, "reason": getattr(found, "reason", "")}))
"""


def libseccomp():
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    (path, *_) = [line.split()[-1] for line in listed.splitlines() if line.strip().startswith("libseccomp.so.2 ")]
    return Path(path).resolve()


def tried(*, namespaces, seccomp):
    """What a bundle is answered from, or why not, where the machine offers no more than that."""
    inner = shlex.join([sys.executable, "-c", TRY])
    hide = "" if seccomp else f"mount --bind /dev/null {shlex.quote(str(libseccomp()))} && "
    limit = "" if namespaces else "echo 0 > /proc/sys/user/max_user_namespaces && "
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{hide}{limit}exec {inner}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=250)
    return json.loads(done.stdout.splitlines()[-1])


def test_in_a_container_without_user_namespaces_seccomp_is_enough():
    found = tried(namespaces=False, seccomp=True)

    assert "seccomp" in found["held"]
    assert "namespaces" not in found["held"]


@pytest.mark.parametrize("namespaces", [True, False])
def test_without_libseccomp_no_bundle_is_tried_and_the_reason_says_what_to_install(namespaces):
    found = tried(namespaces=namespaces, seccomp=False)

    assert found["held"] is None
    assert ("namespaces" in found["reason"]) is namespaces
    assert "cannot be tried safely here" in found["reason"]
    assert "install libseccomp2" in found["reason"]
