"""The network's dense answer, read at the places that mean something.

The graph answers for every position: a few scalars, and for each pointer a query and a key. Which of them count is
known from the encoding, so the gathering and the small products are done here, in numpy, in microseconds.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.inference.encoding import Encoded

Float32Array = npt.NDArray[np.float32]

SCALARS: Final = ("call", "again", "present", "option", "act", "ask", "refuse")
"""What the columns of the scalar output are: tool is called; called more than once; parameter was said; option was
meant; and, at [CLS], what the whole request comes to."""

POINTERS: Final = ("start", "end", "begin", "inside")
"""`start` and `end` compete over the request's tokens (one span); `begin` and `inside` judge each token alone
(several spans)."""

POINTER_D: Final = 64

ACT, ASK, REFUSE = (SCALARS.index(name) for name in ("act", "ask", "refuse"))


class Answer(NamedTuple):
    """What the network said about one encoded request.

    Shapes:
        scalars: (T, S); queries, keys: (T, P * d).
    """

    scalars: Float32Array
    queries: Float32Array
    keys: Float32Array


class Pointer(NamedTuple):
    """Where one marker points: a score for every token of the request.

    Shapes:
        every field: (R,), R the tokens of the request.
    """

    start: Float32Array
    end: Float32Array
    begin: Float32Array
    inside: Float32Array


def scalar(answer: Answer, name: str, marker: int) -> float:
    """The score called *name* at a marker, in logits."""
    return float(answer.scalars[marker, SCALARS.index(name)])


def outcome(answer: Answer) -> Float32Array:
    """Logits of act, ask, refuse for the whole request.

    Shapes:
        returns: (3,)
    """
    return answer.scalars[0, [ACT, ASK, REFUSE]]


def pointer(answer: Answer, encoded: Encoded, marker: int) -> Pointer:
    """Where the parameter or tool at *marker* points."""
    request_n = len(encoded.request)
    query = answer.queries[marker].reshape(len(POINTERS), POINTER_D)
    keys = answer.keys[1 : request_n + 1].reshape(request_n, len(POINTERS), POINTER_D)
    scores = np.einsum("pd,rpd->pr", query, keys) / np.float32(POINTER_D**0.5)
    return Pointer(*scores.astype(np.float32))


def sigmoid(score: float) -> float:
    """Log-odds to a probability."""
    return float(1 / (1 + np.exp(-np.float64(score))))


def log_sigmoid(score: float) -> float:
    """Log-odds to the logarithm of the probability."""
    return float(-np.logaddexp(0.0, -score))
