"""A group of commands whose modules are imported when a command is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
from typing_extensions import override  # typing has it from Python 3.12


class Lazy(click.Group):
    """Loads a verb's module when the verb is named."""

    def __init__(self, *args: Any, verbs: Mapping[str, str], **kwargs: Any) -> None:
        """Take the verbs as a table.

        Args:
            verbs: verb to `module:command`, in the order of the help.
        """
        super().__init__(*args, **kwargs)
        self._verbs = verbs

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._verbs)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self._verbs.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        found = getattr(importlib.import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._verbs and not args[0].startswith("-"):
            from rapidfuzz import process

            near = process.extractOne(args[0], list(self._verbs), score_cutoff=60)
            hint = f" Did you mean {near[0]!r}?" if near else f" `{ctx.command_path} --help` lists the commands."
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)
