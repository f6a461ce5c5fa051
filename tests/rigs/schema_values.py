"""Values that a JSON Schema allows, made at random: for the keywords that our records' schemas use."""

from datetime import UTC

from hypothesis import strategies as st

NAMES = st.text("abcdefgh", min_size=1, max_size=4)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


def values(schema, definitions):
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return ANYTHING if name == "JsonValue" else values(definitions[name], definitions)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return st.one_of([values(each, definitions) for each in schema[key]])
    return MAKERS[schema.get("type")](schema, definitions)


def _text(schema, _definitions):
    longest = min(schema.get("maxLength", 8), schema.get("minLength", 0) + 8)
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
    if "pattern" in schema:
        return st.from_regex(f"(?a:{schema['pattern']})", fullmatch=True).filter(
            lambda text: len(text) <= schema.get("maxLength", len(text)) and not text.endswith("\n")
        )
    return st.text(min_size=schema.get("minLength", 0), max_size=longest)


def _integer(schema, _definitions):
    low = schema.get("minimum", -(2**53) + 1)
    return st.integers(low, schema.get("maximum", 2**53 - 1))


def _number(schema, _definitions):
    return st.floats(schema.get("minimum", -1e9), schema.get("maximum", 1e9)) | _integer(
        {"minimum": 0, "maximum": 100} | {key: int(schema[key]) for key in ("minimum", "maximum") if key in schema}, {}
    )


def _array(schema, definitions):
    few = schema.get("minItems", 0)
    most = min(schema.get("maxItems", few + 2), few + 2)
    return st.lists(values(schema.get("items", {}), definitions), min_size=few, max_size=most)


def _object(schema, definitions):
    properties = {name: values(each, definitions) for name, each in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    if properties:
        return st.fixed_dictionaries(
            {name: each for name, each in properties.items() if name in required},
            optional={name: each for name, each in properties.items() if name not in required},
        )
    of = schema.get("additionalProperties", {})
    names = NAMES
    if patterns := schema.get("patternProperties"):
        ((pattern, of),) = patterns.items()
        names = st.from_regex(pattern, fullmatch=True).filter(lambda text: not text.endswith("\n"))
    elif "propertyNames" in schema:
        names = values({"type": "string", **schema["propertyNames"]}, definitions)
    if of is False:
        return st.just({})
    inner = ANYTHING if of is True else values(of, definitions)
    return st.dictionaries(names, inner, min_size=schema.get("minProperties", 0), max_size=2)


MAKERS = {
    None: lambda _schema, _definitions: ANYTHING,
    "null": lambda _schema, _definitions: st.none(),
    "boolean": lambda _schema, _definitions: st.booleans(),
    "string": _text,
    "integer": _integer,
    "number": _number,
    "array": _array,
    "object": _object,
}
