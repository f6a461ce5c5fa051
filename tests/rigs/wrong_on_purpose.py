"""Ways for the software to be wrong, so that a rig can be seen to fail."""

from types import SimpleNamespace

from appliance.agent import recovery
from appliance.agent.laws import Laws
from appliance.agent.run_book import RunBook
from appliance.agent.turn import Turn
from appliance.storage import inbox

_act = Turn._act


def _never_taken():
    """Leave a decided request in the queue: cut after its act, it is done again."""
    inbox.take = lambda *_: None


def _unrecovered():
    """Leave what a cut interrupted as it is: nobody is told what became of it."""
    recovery.recover = lambda *_, **__: []


def _act_first():
    """Act, and record the decision after it."""

    def act(turn, heard, decision):
        registry = turn._registry
        results = iter([registry.perform(deed.call) for deed in decision.deeds])
        turn._registry = SimpleNamespace(perform=lambda _call: next(results))
        try:
            return _act(turn, heard, decision)
        finally:
            turn._registry = registry

    Turn._act = act


def _forgets_steps():
    """Move a run without writing where it is now."""
    save = RunBook._save

    def saves(book, run, record):
        if record.kind == "started":
            save(book, run, record)

    RunBook._save = saves


def _never_counts():
    """Let calls begin without telling the laws."""
    Laws.begin = lambda *_, **__: None


FAULTS = {
    "no": lambda: None,
    "never-taken": _never_taken,
    "unrecovered": _unrecovered,
    "act-first": _act_first,
    "forgets-steps": _forgets_steps,
    "never-counts": _never_counts,
}


def break_it(wrong):
    """Make this process wrong in one way."""
    FAULTS[wrong]()
