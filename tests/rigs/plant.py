"""The tools that act in a rig, and the knife: points at which this process is killed.

They append one line to a file and fsync it, so that what happened in the world is known also when the database was not
told.
"""

import os
import signal

from appliance.contracts.toolspec import Risk
from appliance.tools import declare
from appliance.tools.declare import Claims, Did


class Cut:
    """Kills this process at the *n*-th time it passes a point of one kind."""

    def __init__(self, kind, n):
        self.kind, self.left = kind, n

    def at(self, kind):
        if kind == self.kind or (self.kind == "any" and not kind.startswith("sql")):
            self._pass()

    def statement(self, _sql):
        if self.kind == "sql":
            self._pass()

    def _pass(self):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


NEVER = Cut("never", 0)


def plant(path, cut=NEVER):
    """Build the tool that acts on the world with a word that the request chooses."""

    def press(button: str) -> Did:
        _act(path, button, cut)
        return Did(f"Pressed {button}.")

    def was_pressed(did, button):
        return button in path.read_text().split()

    declaration = {
        "name": "press_button",
        "description": "Press a button",
        "parameters": {
            "type": "object",
            "properties": {"button": {"type": "string", "description": "Its number"}},
            "required": ["button"],
        },
    }
    return declare.from_schema(declaration, press, Claims(risk=Risk.LOW, family="plant", check=was_pressed))


def bell(path, cut, name, word):
    """Build a tool without arguments, so that a sentence can ask for two of them."""

    def ring() -> Did:
        _act(path, word, cut)
        return Did(f"The {word} was heard.")

    declaration = {
        "name": name,
        "description": name.replace("_", " the ").capitalize(),
        "parameters": {"type": "object", "properties": {}},
    }
    heard = Claims(risk=Risk.LOW, family="plant", check=lambda _did: word in path.read_text().split())
    return declare.from_schema(declaration, ring, heard)


def _act(path, word, cut):
    cut.at("before-act")
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, f"{word}\n".encode())
    os.fsync(handle)
    os.close(handle)
    cut.at("after-act")
