"""Puts the model bundle into the wheel, and leaves it out of an editable install, which finds it in the checkout."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BundleHook(BuildHookInterface):
    """`hatchling` calls this before it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add `firmware_models/bundles` as `appliance/bundles`."""
        if version == "standard":
            build_data["force_include"]["firmware_models/bundles"] = "appliance/bundles"
