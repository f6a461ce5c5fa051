"""Recorded decisions, decided again: by the recorded model, to see that nothing differs, or by another one.

It never acts and never writes; the same reader and the same rules decide as on the device.
"""
