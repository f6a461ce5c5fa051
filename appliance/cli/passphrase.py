"""A person's private key, asked for as late as possible and kept no longer than the signing takes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from appliance.errors import UsageError
from appliance.trust import release_keys
from appliance.trust.release_keys import ReleaseKey


def private_key(path: Path) -> ReleaseKey:
    """Return the key in *path*, asking for its passphrase if it has one.

    Raises:
        TrustError: it cannot be used; the message says why.
    """
    passphrase = None
    if release_keys.is_encrypted(path):
        passphrase = str(click.prompt(f"Passphrase of {path}", hide_input=True, err=True)).encode()
    return release_keys.load_private(path, passphrase)


def confirmed(question: str, *, yes: bool) -> None:
    """Go on only if the person at the terminal wants to.

    Raises:
        UsageError: nobody is there to be asked, and `--yes` was not said.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is at the terminal to be asked; look at what is to be signed, then say --yes")
    click.confirm(question, abort=True, err=True)
