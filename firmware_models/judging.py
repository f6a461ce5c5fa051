"""A proposal held against its row, before any value is read: tools, options and words."""

from collections.abc import Sequence
from typing import NamedTuple

from appliance.contracts.toolcall import Mention, Proposal, ToolCall
from appliance.contracts.toolspec import ToolSpec
from appliance.inference.encoding import shown_options
from firmware_models.labels import option_index
from firmware_models.rows import LabelledArgument, LabelledCall, Row


class Judgement(NamedTuple):
    """What was right about one proposal."""

    names: bool
    """The right tools, as often as asked for."""

    exact: bool
    """The right tools with the right words and options, nothing more."""


def judge(row: Row, proposal: Proposal) -> Judgement:
    """Compare *proposal* with what *row* says should be proposed."""
    wanted, found = list(row.line.calls), list(proposal.calls)
    names = sorted(call.name for call in wanted) == sorted(call.tool for call in found)
    return Judgement(names, names and all(any(same_call(row, w, f) for f in found) for w in wanted))


def same_call(row: Row, wanted: LabelledCall, found: ToolCall) -> bool:
    """Whether one proposed call is one labelled call, word for word."""
    if wanted.name != found.tool or wanted.arguments.keys() != found.mentions.keys():
        return False
    tool = _tool(row.tools, wanted.name)
    return all(same_mention(tool, name, argument, found.mentions[name]) for name, argument in wanted.arguments.items())


def same_mention(tool: ToolSpec, name: str, argument: LabelledArgument, mention: Mention) -> bool:
    """Whether the option is the one meant, or the words are."""
    parameter = tool.parameter(name)
    options = shown_options(parameter) if parameter else ()
    if options:
        return option_index(options, argument.value) == option_index(options, mention.option)
    return not argument.spans or sorted(argument.words) == sorted(mention.spans)


def _tool(tools: Sequence[ToolSpec], name: str) -> ToolSpec:
    return next(tool for tool in tools if tool.name == name)
