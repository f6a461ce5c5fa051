"""One question to one server: the only place that opens a connection for another model.

The standard library, because none of the clients on the index has what is needed: one limit for the whole exchange
(they limit each read, so that a server that sends a byte a second is read for ever), and no way to be sent elsewhere.

Covers: a server that is slow, endless, silent, hangs up, redirects (not followed), compresses, lies about its length;
proxies named in the environment (never read).
Does not cover: a name server that hangs: the thread that waits for it is left behind, and nothing is asked meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import SplitResult

from appliance import __version__
from appliance.adapters import asking, key_file, masking
from appliance.adapters.asking import BadAnswer
from appliance.adapters.chosen import EscalationSettings, split
from appliance.adapters.key_file import UnfitFile
from appliance.adapters.saying import Silent, Word
from appliance.contracts.toolspec import ToolSpec

MAX_ANSWER_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 8192


class Server:
    """An OpenAI-compatible server, as the owner chose it."""

    kind = "server"

    def __init__(self, chosen: EscalationSettings, home: Path) -> None:
        self._at: SplitResult = split(chosen.endpoint)
        self._model = chosen.model
        self._time_limit_s = chosen.time_limit_s
        self._key_file = home / chosen.key_file if chosen.key_file else None
        self._ca_file = home / chosen.ca_file if chosen.ca_file else None
        self.name = chosen.model
        self.where_sha256 = hashlib.sha256(self._at.geturl().encode("utf-8")).hexdigest()

    def lacks(self) -> str:
        """Return what keeps it from being asked at all; empty where nothing does. Asks nobody."""
        try:
            self._headers()
            if self._at.scheme == "https":
                self._trusted()
        except UnfitFile as error:
            return str(error)
        return ""

    def ask(self, text: str, tools: Sequence[ToolSpec]) -> Word:
        """Ask what *text* wants of *tools*.

        Raises:
            Silent: there is no answer; says why.
        """
        masked = masking.mask(text, tools)
        body = asking.body(self._model, masked, tools)
        sent = hashlib.sha256(body).hexdigest()
        try:
            calls = asking.read(self._exchange(body), masked, tools)
        except BadAnswer as error:
            raise Silent("malformed", str(error), sent) from error
        except TimeoutError as error:
            raise Silent("timeout", f"no whole answer within {self._time_limit_s:g} s", sent) from error
        except UnfitFile as error:
            raise Silent("unreachable", str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise Silent("unreachable", _what(error), sent) from error
        return Word(calls, sent)

    def _exchange(self, body: bytes) -> bytes:
        until_s = time.monotonic() + self._time_limit_s
        headers = self._headers()
        connection = self._connection()
        try:
            connection.connect()
            sock = connection.sock
            assert isinstance(sock, socket.socket)
            with _Limit(sock, until_s):
                connection.request("POST", f"{self._at.path}/chat/completions", body, headers)
                with connection.getresponse() as answer:
                    if answer.status != 200:
                        raise Silent("refused", f"status {answer.status}", hashlib.sha256(body).hexdigest())
                    return _whole(answer)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host = self._at.hostname or ""
        if self._at.scheme == "http":
            return http.client.HTTPConnection(host, self._at.port or 80, timeout=self._time_limit_s)
        return http.client.HTTPSConnection(
            host, self._at.port or 443, timeout=self._time_limit_s, context=self._trusted()
        )

    def _trusted(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=None if self._ca_file is None else str(self._ca_file))
        except ssl.SSLError as error:
            raise UnfitFile("`ca_file` holds no certificates in PEM form") from error
        except OSError as error:
            raise UnfitFile(f"`ca_file` cannot be read: {error.strerror}") from error

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"edge-agent-appliance/{__version__}",
            "Connection": "close",
        }
        if self._key_file is not None:
            headers["Authorization"] = f"Bearer {key_file.read(self._key_file)}"
        return headers


class _Limit:
    """Cuts a connection at a moment: whatever is read or written then ends, and says why."""

    def __init__(self, sock: socket.socket, until_s: float) -> None:
        self._sock = sock
        self._is_over = False
        self._timer = threading.Timer(max(0.0, until_s - time.monotonic()), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._is_over:
            raise TimeoutError from error

    def _cut(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):  # gone already
            # The plain socket's own: that of a TLS socket would take the keys away under the reader's hands.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _what(error: OSError | http.client.HTTPException) -> str:
    """Say what went wrong without a word of the server's, and without its address."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason})"  # OpenSSL's constant; its message would name the host
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _whole(answer: http.client.HTTPResponse) -> bytes:
    """Read an answer to its end, and no more of it than may be.

    Raises:
        BadAnswer: it has no end in sight.
    """
    read = bytearray()
    while piece := answer.read1(_CHUNK_BYTES):
        read += piece
        if len(read) > MAX_ANSWER_BYTES:
            raise BadAnswer(f"its answer is larger than {MAX_ANSWER_BYTES} bytes")
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return bytes(read)
