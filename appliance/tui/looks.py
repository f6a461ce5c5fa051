"""The console's two themes."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

DARK: Final = Theme(
    name="appliance-dark",
    primary="#4FB8A8",
    secondary="#6C8EAD",
    accent="#7FB4F0",
    warning="#E9B44C",
    error="#E8615A",
    success="#79C77F",
    foreground="#DCE3E6",
    background="#0E1316",
    surface="#141B1F",
    panel="#1C262B",
    dark=True,
    variables={
        "mark-0": "#67D3C4",
        "mark-1": "#F0C05A",
        "mark-2": "#C79BF2",
        "mark-3": "#7FB4F0",
        "mark-4": "#F2908A",
        "mark-5": "#A6D672",
        "quiet": "#7D8C94",
        "line": "#2D3A41",
        "alarm": "#B3261E",
        "alarm-text": "#FFFFFF",
        "footer-key-foreground": "#7FB4F0",
        "input-selection-background": "#4FB8A8 35%",
    },
)

LIGHT: Final = Theme(
    name="appliance-light",
    primary="#0E7A6B",
    secondary="#3F6485",
    accent="#1F5FA8",
    warning="#8A5A00",
    error="#B3261E",
    success="#2E7034",
    foreground="#1B2327",
    background="#F4F6F5",
    surface="#FFFFFF",
    panel="#E6EBEA",
    dark=False,
    variables={
        "mark-0": "#0B6E61",
        "mark-1": "#8A5A00",
        "mark-2": "#6B3FA0",
        "mark-3": "#1F5FA8",
        "mark-4": "#A8322A",
        "mark-5": "#3F6B12",
        "quiet": "#5C6B72",
        "line": "#C3CCCB",
        "alarm": "#B3261E",
        "alarm-text": "#FFFFFF",
        "footer-key-foreground": "#1F5FA8",
        "input-selection-background": "#0E7A6B 25%",
    },
)

MARKS_N: Final = 6


def mark_style(letter: str) -> str:
    """Return the colour of a letter's words and badge."""
    return f"$mark-{(ord(letter) - ord('a')) % MARKS_N}"
