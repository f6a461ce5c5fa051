"""A site's description is checked as a whole, and a mistake is named where it stands."""

import pytest
from pydantic import ValidationError

from appliance.tools.site import EVERY_LIGHT, Site

LAMP = {"name": "lamp", "room": "barn"}
SITE = {"rooms": ["barn"], "lights": [LAMP]}

MISTAKES = [
    ({"room": ["barn"]}, "room", "Extra inputs"),
    ({"rooms": ["barn", "Barn"]}, "", "rooms: 'barn' is there twice"),
    ({"rooms": ["ba=rn"]}, "rooms.0", "no name that a person can say"),
    ({"rooms": [""]}, "rooms.0", "no name that a person can say"),
    ({"lights": [LAMP, LAMP]}, "", "'lamp' is there twice"),
    ({"lights": [{**LAMP, "room": "attic"}]}, "", "lights: 'lamp': room 'attic' is not among the rooms (barn)"),
    ({"lights": [{**LAMP, "pin": 28}]}, "lights.0.pin", "less than or equal to 27"),
    ({"lights": [{**LAMP, "pin": "4"}]}, "lights.0.pin", "valid integer"),
    ({"lights": [{**LAMP, "name": EVERY_LIGHT[0]}]}, "", "already means every light"),
    ({"lights": [{**LAMP, "colour": True, "pin": 4}]}, "lights.0", "rgb_pins instead of pin"),
    ({"machines": [{"name": "fan", "kind": "rocket"}]}, "machines.0.kind", "'fan', 'pump'"),
    ({"machines": [{"name": "fan", "max_run_s": 0}]}, "machines.0.max_run_s", "greater than 0"),
    ({"lights": [{**LAMP, "pin": 4}], "machines": [{"name": "fan", "pin": 4}]}, "", "pins: 'pin 4' is there twice"),
    ({"doors": [{"name": "gate"}]}, "doors.0.kind", "Field required"),
    ({"sensors": [{"name": "t", "kind": "temperature"}]}, "", "a temperature sensor names its room"),
    ({"sensors": [{"name": "c", "kind": "contact", "door": "gate"}]}, "", "door 'gate' is not among the doors"),
    ({"sensors": [{"name": "c", "kind": "contact"}]}, "", "a contact names its door, or the room of its window"),
    ({"sensors": [{"name": "c", "kind": "contact", "room": "attic"}]}, "", "room 'attic' is not among the rooms"),
    ({"thermostat": {"sensor": "t", "heater": "h"}}, "", "heater 'h' is not among the machines of kind heater"),
    ({"timezone": "Mars/Base"}, "timezone", "'Mars/Base' is no time zone"),
    ({"timezone": "../../etc/passwd"}, "timezone", "no time zone"),
    ({"pins": "real"}, "pins", "'auto', 'gpio' or 'simulated'"),
]


@pytest.mark.parametrize(("change", "field", "why"), MISTAKES)
def test_a_mistake_names_its_field_and_what_is_wrong(change, field, why):
    with pytest.raises(ValidationError) as caught:
        Site.model_validate({**SITE, **change})

    error = caught.value.errors()[0]
    assert ".".join(map(str, error["loc"])) == field
    assert why in error["msg"]


def test_a_site_reads_as_toml_gives_it():
    site = Site.model_validate(
        {
            **SITE,
            "machines": [{"name": "heater", "kind": "heater", "pin": 4, "active_high": False, "max_run_s": 600}],
            "sensors": [{"name": "t", "kind": "temperature", "room": "barn", "path": "/sys/bus/w1/t"}],
            "thermostat": {"sensor": "t", "heater": "heater", "min_c": 7, "max_c": 22, "start_c": 16},
        }
    )

    assert site.names()["lights"] == ("barn", "barn lights", "lamp", *EVERY_LIGHT)
    assert site.names()["machines"] == ()  # the thermostat's own
    assert site.machines[0].active_high is False


def test_a_lamp_that_is_called_like_the_lights_of_its_room_keeps_its_name():
    lamps = [{"name": "barn light", "room": "barn"}, {"name": "lantern", "room": "barn"}]

    named = Site.model_validate({"rooms": ["barn", "attic"], "lights": lamps}).lights_by_name()

    assert [light.name for light in named["barn"]] == ["barn light", "lantern"]
    assert [light.name for light in named["barn light"]] == ["barn light"]
    assert "barn lights" not in named
    assert "attic" not in named


def test_the_demonstration_is_consistent_and_drives_no_real_pin():
    site = Site.demonstration()

    assert Site.model_validate_json(site.model_dump_json()) == site
    assert site.pins == "simulated"
