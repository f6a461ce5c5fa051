"""The process that runs needle-rs for one question: the one place that imports it. Whatever it does, only it ends.

Reads from its standard input: a line of JSON (`generation`, `weights_n`, `text`, `tools`), the weights, and for the
first generation the vocabulary. Writes what the network wrote. Before it reads the first byte of them it gives up
network, files, pins and other processes, as the canary's does; where that cannot be had, it ends with `UNCONFINED`.
"""

from __future__ import annotations

import json
import sys
from typing import Final

from appliance import confinement

ADDRESS_SPACE_MB: Final = 2048
CPU_S: Final = 120
UNCONFINED: Final = 3


def main() -> None:
    """Answer one question."""
    # A module that is imported later would be looked for behind the bars.
    import needle_rs

    held = confinement.confine(confinement.software(), address_space_mb=ADDRESS_SPACE_MB, cpu_s=CPU_S)
    if not confinement.is_enough(held):
        sys.exit(UNCONFINED)
    errand = json.loads(sys.stdin.buffer.readline())
    weights = sys.stdin.buffer.read(errand["weights_n"])
    text, tools = errand["text"], errand["tools"]
    if errand["generation"] == 1:
        said = needle_rs.NeedleEngine.from_bytes(weights, sys.stdin.buffer.read().decode("utf-8")).run(text, tools)
    else:
        engine = needle_rs.V2Engine if errand["generation"] == 2 else needle_rs.V3Engine
        said = engine.from_bytes(weights).run_json(text, tools) or ""  # "[]" is its own word for no call
    sys.stdout.buffer.write(said.encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
