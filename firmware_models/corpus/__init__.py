"""Training and development rows for the pointing network, made from tables by seed and converted from public data.

A file holds one JSON object a line. `checking.check` says what is wrong with a row; these are its fields:

    id         unique within its file
    source     "generated" or the data set
    family     the domain of the tool that is asked for (for converted rows the intent)
    phrasing   the phrasing family: how the words are put
    habit      of generated rows: clean, lower, typos, fillers or telegram
    kind       call, multi, same_tool_twice, negated, missing, out_of_range, unrelated, near_miss, question, quoted
               or one_tool
    request    what was said
    now        the device's time as ISO 8601 without a zone, where the words may depend on it, or null
    tools      1 to 8 of {name, description, parameters: JSON Schema of an object}, shuffled
    calls      in the order said: {name, arguments: {parameter: {value, spans}}, anchor}
    expect     call, ask (a required value was not said) or refuse

Spans and anchors are character offsets into `request`, half open, from the start of a word to the end of one. A span
holds the words that say the value, with the unit and without article or preposition; several spans mean a list, or
evidence in two places. Where a verb implies an option ("shut"), the verb is the span. An anchor is the verb with its
object, the words that carry the call; a clause that leaves its verb out is carried by its first own value.

Negated, unrelated, near-miss, question and quoted rows have no calls and expect "refuse". A row that lacks a required
value lists the call without it and expects "ask". A row out of range lists the value as said and expects "refuse".
"""
