"""What a look at a ledger can find, and how it is said."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from appliance.contracts.record import Record
from appliance.trust.keys import PublicKey
from appliance.trust.notes import Checkpoint, Note

State = Literal["anchored", "consistent-unanchored", "broken"]

UNANCHORED: Final = (
    "The records are consistent with each other. Without a checkpoint kept elsewhere and the device's public key this "
    "does not prove that records were not cut off at the end, nor that the whole ledger was not written anew."
)
SIGNED: Final = (
    "Records 1 to {size} are the ones that the device signed. This does not prove that later ones were not cut off "
    "together with their checkpoints: the newest checkpoint is the one in this file. A checkpoint kept elsewhere does."
)
INSIDE_PRUNED: Final = (
    "The checkpoint over {size} records ends inside records {first} to {last}, which were pruned: only the root over "
    "all of them is kept, and it is neither borne out nor contradicted. A proof made before the pruning still ties "
    "it to a later one (`verify --proof FILE --checkpoint OLD`). One over {upto} records, or a later one, holds."
)
INSIDE_LOST: Final = (
    "The checkpoint over {size} records ends after records that were lost with a damaged file: it is neither borne out "
    "nor contradicted."
)
LOST: Final = "Records were lost with a damaged file; what is here of the others is what was written."
UNVERIFIABLE: Final = (
    "Records were lost with a damaged file. Records {runs} are here, but others of their run of 256 went, and "
    "only the root over all of them was signed: nothing bears these out."
)
UNSIGNED: Final = "Records {first} to {last} are younger than the newest checkpoint: nobody vouches for them yet."


RUNS_MOST: Final = 50
"""Of findings that change no verdict, as many are named."""


class Began(Record):
    """How an epoch began, as its first record says."""

    reason: str = ""
    """Why a new epoch began (`new`, `rollback`, ...), the record's own word; empty where it says none."""

    predecessor_epoch: str = ""
    """The epoch before it; empty where it says there was none."""

    predecessor_origin: str = ""
    """That ledger's name in its checkpoints, from the checkpoint that is cited; empty where none is."""

    predecessor_size: int = 0
    """How many records of that ledger the cited checkpoint is over."""

    predecessor_here: bool = False
    """The earlier ledger's records are in this file (`past`)."""


class Verification(Record):
    """What a look at a ledger found."""

    state: State
    epoch: str
    origin: str | None = None
    """The name that the device gave this ledger in its checkpoints."""

    rows_n: int = 0
    """Records that are here and were checked."""

    size: int = 0
    """Records that the ledger has, pruned ones counted."""

    root: str = ""
    """Root over them, hexadecimal; empty where it cannot be computed."""

    signed_size: int = 0
    """Records 1 to this one are those that the device signed."""

    unheld: int | None = None
    """Size of the given checkpoint, where it can be held against nothing: it ends among records that are gone."""

    pruned: tuple[tuple[int, int], ...] = ()
    """Records that the device no longer has, first and last; their roots are here."""

    lost: tuple[tuple[int, int], ...] = ()
    """Records that were lost with a damaged file, first and last."""

    unverifiable: tuple[tuple[int, int], ...] = ()
    """Records that are here and cannot be held against anything signed: others of their segment were lost with a
    damaged file. First and last of each run. A ledger with such records is never "anchored"; where `anchored_upto`
    is not 0 the rest of it is ("anchored up to N, except records X to Y")."""

    anchored_upto: int = 0
    """Size of the given checkpoint where it holds (0 where none was given or it holds nothing): what "anchored" is
    about. Records after it are only as good as the checkpoints in the file."""

    unsigned_tail: int = 0
    """How many of the newest records no checkpoint of the device covers; all of them where none holds."""

    unsigned_since: str = ""
    """The time that the oldest of those records states, as written; empty where there are none."""

    erased_unexplained: tuple[tuple[int, int], ...] = ()
    """Records whose personal values are gone though no `redacted` record names them: erased behind the device's back.
    First and last of each run, at most `RUNS_MOST` runs."""

    holds_unexplained: tuple[str, ...] = ()
    """Holds of which the table and the ledger's `hold` records say different things, a sentence for each, at most
    `RUNS_MOST`."""

    began: Began | None = None
    """How the epoch began; None where its first record is not here or cannot be read."""

    bad_seq: int | None = None
    """The first record that is not what was written, or the first that may be."""

    bad_upto: int | None = None
    """The last that may be the first bad one: equal to `bad_seq` where it is known exactly."""

    reason: str = ""
    """What is wrong, or what this does not prove."""


class Broken(NamedTuple):
    """The first thing that is wrong."""

    bad_seq: int
    bad_upto: int
    reason: str


class Given(NamedTuple):
    """What the person who verifies brings along."""

    key: PublicKey | None = None
    checkpoint: Note | None = None
    """Signed by the device; kept elsewhere."""

    remembered: Checkpoint | None = None
    """What lies beside the database on the device; finds a careless cut, proves nothing."""


NOTHING: Final = Given()
