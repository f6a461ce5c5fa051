"""A server in the OpenAI manner on loopback, that answers as a test tells it to, and misbehaves in every way."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(calls):
    """What a well-behaved server sends: a chat completion with JSON in it."""
    said = calls if isinstance(calls, str) else json.dumps({"calls": calls})
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [{"message": {"content": said}}]}).encode()


class SecondServer:
    """Answers on a free port; `answers` is what it sends next, bytes or a function of the handler."""

    def __init__(self):
        self.asked = []
        self.headers = []
        self.answer = completion([])
        self.ended = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.asked.append(json.loads(body))
                owner.headers.append((self.path, dict(self.headers)))
                if callable(owner.answer):
                    owner.answer(self)
                else:
                    reply(self, owner.answer)

            do_GET = do_POST  # noqa: N815 -- the library calls it so

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # whoever hangs up on us is what we are here for

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._server.server_address[1]

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def words(self, n=-1):
        """What a question said of the request."""
        return self.asked[n]["messages"][1]["content"]

    def settings(self, **more):
        """A section of settings that asks this server."""
        chosen = {"proposer": "server", "endpoint": self.endpoint, "model": "small", "time_limit_s": 5.0, **more}
        return "[escalation]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in chosen.items())

    def close(self):
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def reply(handler, body, status=200, **headers):
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def endless(handler):
    """A body without an end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 4096)


def dripping(pause_s=0.05):
    """A byte now and then, for ever: no single read is slow."""

    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(pause_s)

    return drip


def hanging_up(handler):
    """Nothing, and the line is dead."""
    handler.connection.close()


def short(handler):
    """Less than it said."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.connection.close()


def elsewhere(to):
    """A redirect."""
    return lambda handler: reply(handler, b"", 307, Location=to)
