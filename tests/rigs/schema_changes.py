"""Which changes of a JSON Schema make a reader refuse what a writer writes: for schemas as pydantic makes them.

`refusals(reader, writer)` names every place where *reader* is narrower than *writer*. It knows the keywords that our
records use and stops at one that it does not know.
"""

BOUNDS = {
    "minimum": max, "exclusiveMinimum": max, "minLength": max, "minItems": max, "minProperties": max,
    "maximum": min, "exclusiveMaximum": min, "maxLength": min, "maxItems": min, "maxProperties": min,
}  # fmt: skip
IGNORED = {"title", "description", "default", "examples", "$ref"}
KNOWN = {
    *BOUNDS, *IGNORED, "type", "properties", "required", "additionalProperties", "propertyNames", "patternProperties",
    "items", "enum", "const", "pattern", "format", "anyOf", "oneOf",
}  # fmt: skip


class Comparison:
    def __init__(self, reader, writer, *, new_variants=False):
        self._reader = reader["$defs"]
        self._writer = writer["$defs"]
        self._new_variants = new_variants
        self._seen = set()

    def record(self, name):
        """Say what the reader would refuse of the record *name*."""
        if name not in self._writer:
            return []
        if name not in self._reader:
            return [f"{name}: the reader does not know this record"]
        self._seen.clear()
        return self._compare({"$ref": f"#/$defs/{name}"}, {"$ref": f"#/$defs/{name}"}, name)

    def _compare(self, reads, writes, place):
        pair = (reads.get("$ref"), writes.get("$ref"))
        if None not in pair:
            if pair in self._seen:
                return []
            self._seen.add(pair)
        reads, writes = _resolved(reads, self._reader), _resolved(writes, self._writer)
        for schema in (reads, writes):
            assert set(schema) <= KNOWN, f"{place}: teach this rig {set(schema) - KNOWN}"
        if not set(reads) - IGNORED:
            return []  # anything is read
        choices = [key for key in ("anyOf", "oneOf") if key in reads or key in writes]
        if choices:
            return self._variants(reads, writes, place)
        return [*_plain(reads, writes, place), *self._inside(reads, writes, place)]

    def _variants(self, reads, writes, place):
        read = _choices(reads)
        found = []
        for written in _choices(writes):
            tried = [self._tried(each, written, place) for each in read]
            if any(not faults for faults in tried):
                continue
            if self._new_variants and "oneOf" in writes and _name(written) not in map(_name, read):
                continue
            same = [faults for each, faults in zip(read, tried, strict=True) if _name(each) == _name(written)]
            found += min(same or tried, key=len)
        return found

    def _tried(self, reads, writes, place):
        before = set(self._seen)
        found = self._compare(reads, writes, place)
        if found:
            self._seen = before
        return found

    def _inside(self, reads, writes, place):
        found = []
        if "properties" in reads or "properties" in writes:
            read, written = reads.get("properties", {}), writes.get("properties", {})
            rest = reads.get("additionalProperties", True)
            for name, schema in written.items():
                if name in read:
                    found += self._compare(read[name], schema, f"{place}.{name}")
                elif rest is False:
                    found.append(f"{place}.{name}: the reader refuses a field that it does not know")
            sure = {*writes.get("required", ())}
            found += [
                f"{place}.{name}: the reader requires it, the writer may leave it out"
                for name in reads.get("required", ())
                if name not in sure
            ]
        for key in ("items", "additionalProperties", "propertyNames"):
            read, written = reads.get(key, True), writes.get(key, True)
            if key == "additionalProperties" and "properties" in writes:
                continue
            if read is True or written is False:
                continue
            if read is False:
                found.append(f"{place}: the reader takes no other keys")
            else:
                found += self._compare(read, {} if written is True else written, f"{place}[]")
        for pattern, schema in reads.get("patternProperties", {}).items():
            written = writes.get("patternProperties", {})
            if pattern not in written:
                found.append(f"{place}: the reader's keys are narrower: {pattern}")
            else:
                found += self._compare(schema, written[pattern], f"{place}[]")
        return found


def _plain(reads, writes, place):
    found = []
    if (
        "type" in reads
        and reads["type"] != writes.get("type")
        and (reads["type"], writes.get("type"))
        != (
            "number",
            "integer",
        )
    ):
        return [f"{place}: the reader takes {reads['type']}, the writer writes {writes.get('type', 'anything')}"]
    allowed, written = _values(reads), _values(writes)
    if allowed is not None and (written is None or not written <= allowed):
        found.append(f"{place}: the reader does not know {sorted((written or {'other values'}) - allowed)}")
    if written is None:
        for key, tighter in BOUNDS.items():
            if key in reads and (key not in writes or tighter(reads[key], writes[key]) != writes[key]):
                found.append(f"{place}: the reader's {key} is {reads[key]}, the writer's {writes.get(key, 'none')}")
        found += [
            f"{place}: the reader's {key} is another"
            for key in ("pattern", "format")
            if key in reads and reads[key] != writes.get(key)
        ]
    return found


def _values(schema):
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None


def _choices(schema):
    return schema.get("anyOf") or schema.get("oneOf") or [schema]


def _name(schema):
    return schema.get("$ref", schema.get("type"))


def _resolved(schema, definitions):
    if "$ref" in schema:
        return definitions[schema["$ref"].rsplit("/", 1)[1]]
    return schema


def breaks(old, new):
    """Say what of a new version of the schemas breaks with the old one.

    Controllers are updated before devices. So what rises is read by the new and written by the old; what comes down is
    written by the new and read by the old, for which a command that it has never heard of is only a command that it
    refuses.
    """
    up, down = Comparison(new, old), Comparison(old, new, new_variants=True)
    gone = [f"{name}: is no longer there" for name in (*old["upward"], *old["downward"]) if name not in new["$defs"]]
    found = [fault for name in (*old["upward"], "Signed") if name in new["$defs"] for fault in up.record(name)]
    return gone + found + [fault for name in old["downward"] if name in new["$defs"] for fault in down.record(name)]
