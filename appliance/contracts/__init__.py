"""Frozen records that travel between the steps, the files and the wire."""
