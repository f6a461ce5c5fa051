"""Declared workflows: a file of laws to a gate that every tool call passes.

    bytes -> reader -> language -> load -> compile -> Compiled
    (Compiled, RunState, event, now, context) -> step.apply -> (RunState', effects, record)
    (Compiled, RunState, call, origin, now, context) -> judge.judge -> Allow | Confirm | Approve | Deny

Everything here is pure: no clock, no file but the one that is loaded, no actuator. docs/explanation/laws.md tells why.
"""
