"""A law as a picture: Mermaid, Graphviz, or one self-contained HTML page with the validator's findings drawn on it."""
