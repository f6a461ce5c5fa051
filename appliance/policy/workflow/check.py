"""What is wrong with a law that loads: states nobody reaches, ways round an approval, loops that never rest.

Each finding has the file's line, a reason and a remedy. A finding of level `error` keeps a law from being put into
force on a device; a warning does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from appliance.policy.workflow import check_flow, check_guards, check_tools
from appliance.policy.workflow.complaint import Complaint, ordered
from appliance.policy.workflow.load import Loaded, garbage_later
from appliance.policy.workflow.world import World

Check = Callable[[Loaded, World], Iterator[Complaint]]

CHECKS: Final[tuple[Check, ...]] = (
    check_flow.unreachable_state,
    check_flow.dead_end,
    check_flow.no_path_to_safe,
    check_flow.approval_bypass,
    check_flow.stray_return,
    check_flow.blocked_is_success,
    check_flow.unbounded_loop,
    check_guards.overlapping_guards,
    check_guards.impossible_guard,
    check_guards.unused_name,
    check_guards.unknown_source,
    check_tools.unknown_tool,
    check_tools.bad_argument,
    check_tools.act_not_allowed,
    check_tools.cap_of_zero,
    check_tools.deadline_too_short,
    check_tools.danger,
    check_tools.unsafe_safe,
    check_tools.outside_governs,
    check_tools.rule_outside_governs,
    check_tools.act_outside_governs,
)


def check(loaded: Loaded, world: World) -> tuple[Complaint, ...]:
    """Return every finding, in the order of the file."""
    with garbage_later():
        return ordered(found for one in CHECKS for found in one(loaded, world))


def described(check: Check) -> tuple[str, str]:
    """Return the name of a check as findings show it, and what it looks for."""
    return check.__name__.replace("_", "-"), (check.__doc__ or "").split("\n")[0]
