"""The offline edge-device agent appliance.

The path of a request, and where each step lives:

    words or a tool call -> storage.inbox -> agent.turn:
        inference   text -> ToolCall           which tool, which words
        grounding   ToolCall -> GroundedCall   typed values, or a Question, or a Refusal
        policy      GroundedCall -> Verdict    allow, confirm, approve, deny
        storage     the decision is committed before anything moves
        tools       GroundedCall -> ToolResult the act, and a look at whether it worked
        storage     outcome and report, in one transaction
    -> agent.uplink -> transport.mqtt -> fleet.collector

Steps do not import steps: only `agent` composes them, only `daemon` constructs them.
"""

__version__ = "0.1.0"
