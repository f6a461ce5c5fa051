"""`appliance fleet ...`: the controller's verbs, and those that stand above controller and device together."""

from __future__ import annotations

from appliance.cli.fleet_wishes import set_
from appliance.cli.rollouts import rollout
from appliance.fleet.acting_commands import config
from appliance.fleet.broker_config import broker_config
from appliance.fleet.commands import fleet
from appliance.fleet.evidence_command import evidence
from appliance.simulation.command import simulate

__all__ = ["fleet"]

config.add_command(set_)
fleet.add_command(broker_config)
fleet.add_command(evidence)
fleet.add_command(rollout)
fleet.add_command(simulate)
