"""Grounding holds for every text, every span and every schema, not only for the ones that we thought of."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contracts.toolcall import GroundedCall, Mention, Refusal, Span, ToolCall
from appliance.contracts.toolspec import Parameter, ToolSpec
from appliance.grounding import language, mood, negation, schema
from appliance.grounding.ground import ground
from appliance.grounding.values import dates, durations, moments, numbers, quantities, times

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PIECES = """
thirty five and a half an hour minutes 20 -5 1.5k % no, not don't never the kitchen lamp hall tomorrow at 8 pm next
friday in ten 7:30 quarter past to noon 2026-12-01 red blue on off true bob@example.com million point oh degrees f c kg
minus without except but instead of if when he said " ' , . ! ? ½ 三 é \u202e \x00 1/0 9999999999999999999999 1e99 m s
""".split()  # noqa: SIM905 -- one word a piece reads better than a list of quotes
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 -- hypothesis adds the zone
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)


def texts() -> st.SearchStrategy[str]:
    spoken = st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)
    return spoken | st.text(max_size=60)


def parameters(name: str) -> st.SearchStrategy[Parameter]:
    number = st.none() | st.floats(-1000, 1000)
    common = {"name": st.just(name), "required": st.booleans(), "description": st.sampled_from(["", "in seconds", "%"])}
    scalar = st.one_of(
        st.builds(
            Parameter, **common, kind=st.sampled_from(["integer", "number"]), minimum=number, maximum=number,
            multiple_of=st.none() | st.sampled_from([0.1, 0.5, 5.0]),
            unit=st.none() | st.sampled_from(["s", "percent", "celsius", "kg", "nonsense"]),
        ),
        st.builds(
            Parameter, **common, kind=st.just("string"),
            format=st.none() | st.sampled_from(["date", "time", "date-time", "duration", "email", "uri", "odd"]),
            pattern=st.none() | st.sampled_from(["^[a-z]+$", "^(a|aa)+$", "(", "[0-9]{2}"]),
            max_length=st.none() | st.integers(0, 9),
        ),
        st.builds(Parameter, **common, kind=st.just("string"), options=st.just(("red", "blue", "on", "off"))),
        st.builds(Parameter, **common, kind=st.just("integer"), options=st.just((1, 20, 35))),
        st.builds(Parameter, **common, kind=st.just("string"), entities=st.just(("Kitchen Lamp", "Hall Lamp"))),
        st.builds(Parameter, **common, kind=st.just("boolean")),
        st.builds(Parameter, **common, kind=st.sampled_from(["object", "unsupported"])),
    )  # fmt: skip
    listed = st.builds(
        Parameter, **common, kind=st.just("array"), items=st.none() | scalar, max_items=st.none() | st.just(2)
    )
    return scalar | listed


@st.composite
def proposals(draw: st.DrawFn) -> tuple[ToolCall, ToolSpec, str]:
    text = draw(texts())
    names = draw(st.lists(st.sampled_from(["level", "duration_s", "name", "when"]), unique=True, max_size=3))
    spec = ToolSpec(name="tool", parameters=tuple(draw(parameters(name)) for name in names))
    place = st.tuples(st.integers(-2, len(text) + 2), st.integers(-2, len(text) + 2)).map(lambda p: Span(*p))
    option = st.none() | st.sampled_from(["red", "on", True, False, 20, 7, 0.5, "nonsense"])
    mention = st.builds(Mention, spans=st.lists(place, max_size=2).map(tuple), option=option)
    value = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.lists(st.integers(), max_size=3)
    )
    said = draw(st.dictionaries(st.sampled_from([*names, "other"]), mention, max_size=3))
    given_ = draw(st.dictionaries(st.sampled_from([*names, "other"]), value, max_size=2))
    anchor = draw(st.none() | place)
    return ToolCall(tool="tool", mentions=said, literals=given_, anchor=anchor), spec, text


@settings(max_examples=150, deadline=None)
@given(proposals(), MOMENTS)
def test_a_grounded_call_always_satisfies_its_tool(proposal: tuple[ToolCall, ToolSpec, str], now: datetime):
    call, spec, text = proposal

    grounded = ground(call, spec, text, now)

    if isinstance(grounded, GroundedCall):
        assert {p.name for p in spec.parameters if p.required} <= grounded.arguments.keys()
        for name, value in grounded.arguments.items():
            parameter = spec.parameter(name)
            assert parameter is not None
            assert schema.check(parameter, value) is None
        for spans in grounded.spans.values():
            assert all(0 <= s.start < s.end <= len(text) for s in spans)


@settings(max_examples=100, deadline=None)
@given(proposals())
def test_grounding_is_idempotent(proposal: tuple[ToolCall, ToolSpec, str]):
    call, spec, text = proposal

    grounded = ground(call, spec, text, NOW)

    assert ground(call, spec, text, NOW) == grounded
    if isinstance(grounded, GroundedCall):
        again = ground(ToolCall(tool="tool", literals=grounded.arguments), spec, "", NOW)
        assert isinstance(again, GroundedCall)
        assert again.arguments == grounded.arguments


@settings(max_examples=100, deadline=None)
@given(proposals())
def test_a_value_that_nobody_said_or_gave_is_never_there(proposal: tuple[ToolCall, ToolSpec, str]):
    call, spec, text = proposal

    grounded = ground(call, spec, text, NOW)

    if isinstance(grounded, GroundedCall):
        for name in grounded.arguments:
            assert name in call.mentions or name in call.literals


@settings(max_examples=200, deadline=None)
@given(texts(), MOMENTS)
def test_every_reader_takes_every_text(text: str, now: datetime):
    numbers.read(text)
    numbers.read_ordinal(text)
    quantities.read(text)
    durations.read(text)
    times.read(text)
    dates.read(text, now.date())
    moments.read(text, now)
    language.refusal(text)


@settings(max_examples=100, deadline=None)
@given(texts(), st.integers(0, 80), st.integers(0, 80))
def test_the_guards_take_every_text_and_anchor(text: str, start: int, length: int):
    call = ToolCall(tool="tool", anchor=Span(min(start, len(text)), min(start + length, len(text))))
    spec = ToolSpec(name="tool")

    for refusal in (negation.refusal(text, call, spec), mood.refusal(text, call, spec)):
        assert refusal is None or isinstance(refusal, Refusal)


@given(st.integers(-(10**9), 10**9))
def test_a_number_in_figures_is_read_back(value: int):
    assert numbers.read(str(value)) == value
    assert numbers.read(f"{value:,}") == value


@given(MOMENTS)
def test_a_moment_in_iso_form_is_read_back(moment: datetime):
    assert moments.read(moment.replace(microsecond=0).isoformat(), NOW) == moment.replace(microsecond=0)


@given(st.integers(0, 10**7))
def test_a_duration_in_iso_form_is_read_back(seconds: int):
    written = durations.iso(durations.Duration(0, numbers.read(str(seconds)) or 0))

    assert durations.read(written) == (0, seconds)
