"""What a simulation is asked for, and what the machine must allow."""

import resource

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.errors import UsageError
from appliance.simulation.crowd import Census, Traffic
from appliance.simulation.members import names
from appliance.simulation.play import Plan, descriptors_needed, raise_limit


def test_a_crowd_needs_three_descriptors_a_device_and_the_broker_one():
    assert descriptors_needed(Plan(devices=10_000, processes=2)) == 15_200
    assert descriptors_needed(Plan(devices=10_000, processes=10)) == 10_200


def test_more_than_the_machine_allows_is_refused_before_anything_begins():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    with pytest.raises(UsageError, match="descriptors in one process"):
        raise_limit(hard + 1)


@pytest.mark.parametrize("wanted", [["--devices", "0"], ["--slow", "2"], ["--processes", "99"]])
def test_a_plan_that_cannot_be_is_refused_by_its_option(wanted):
    said = CliRunner().invoke(cli.group, ["fleet", "simulate", *wanted])

    assert isinstance(said.exception, UsageError)
    assert wanted[0] in str(said.exception)


def test_every_device_has_its_events_and_they_are_spread():
    traffic = Traffic(4, each_n=3, over_s=10.0, began_s=100.0)

    half = traffic.due(105.0)
    rest = traffic.due(111.0)

    assert sorted(half + rest) == sorted([0, 1, 2, 3] * 3)
    assert len(half) == 6
    assert traffic.due(1000.0) == []


def test_crowds_are_counted_together():
    assert Census(1, 2, 3, 4, 5, 6) + Census(1, 1, 1, 1, 1, 1) == Census(2, 3, 4, 5, 6, 7)


def test_names_are_names():
    from appliance.contracts.topics import is_name

    assert all(map(is_name, names(3)))
    assert len(set(names(12_000))) == 12_000
