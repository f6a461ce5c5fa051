"""Public data sets to rows: a module reads each set, `schemas` gives its intents tools, `rows` joins the two."""
