"""Bundles by their hash: the recorded one, if it is here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.agent import model
from appliance.agent.model import Model
from appliance.contracts.toolcall import Proposal
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import BundleError
from appliance.inference.bundle import MANIFEST

REMEMBERED_N: Final = 4096


class Models:
    """The bundles in some folders, each loaded when a decision needs it."""

    def __init__(self, folders: Sequence[Path], *, runtime: str, threads_n: int) -> None:
        self._folders = {sha: folder for folder in folders if (sha := sha256(folder)) is not None}
        self._runtime = runtime
        self._threads_n = threads_n
        self._loaded: dict[str, Model] = {}

    def find(self, wanted: str) -> Model | None:
        """Return the bundle whose manifest has the hash *wanted*, if it is here.

        Raises:
            BundleError: it is here and cannot be used.
        """
        folder = self._folders.get(wanted)
        if folder is None:
            return None
        if wanted not in self._loaded:
            self._loaded[wanted] = model.load(folder, runtime=self._runtime, threads_n=self._threads_n)
        return self._loaded[wanted]


class Remembering:
    """A decoder that reads the same words against the same tools once: people repeat themselves."""

    def __init__(self, loaded: Model) -> None:
        self._decoder = loaded.decoder
        self._known: dict[tuple[str, int], tuple[Sequence[ToolSpec], Proposal]] = {}

    def propose(self, text: str, tools: Sequence[ToolSpec]) -> Proposal:
        """Say what *text* asks of *tools*.

        Raises:
            InputTooLong: request and tools do not fit the network together.
        """
        # By identity: a configuration's tools are one object, which stays alive with what is remembered of it.
        key = (text, id(tools))
        if key not in self._known:
            if len(self._known) >= REMEMBERED_N:
                self._known.clear()
            self._known[key] = (tools, self._decoder.propose(text, tools))
        return self._known[key][1]


def sha256(folder: Path) -> str | None:
    """Return the hash that the bundle in *folder* is called by; None where there is none."""
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return None


def required(folder: Path) -> str:
    """Return the hash of the bundle in *folder*.

    Raises:
        BundleError: there is none.
    """
    found = sha256(folder)
    if found is None:
        raise BundleError(f"no bundle in {folder}: {MANIFEST} is missing; give the folder of a bundle")
    return found
