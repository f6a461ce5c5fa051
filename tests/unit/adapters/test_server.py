"""One question to a server that misbehaves; a real one, on loopback."""

import socket
import threading
import time
from pathlib import Path

import pytest

from appliance.adapters import server as server_module
from appliance.adapters.chosen import EscalationSettings
from appliance.adapters.saying import Question, Silent, Word
from appliance.adapters.server import Server
from appliance.contracts.toolspec import ToolSpec

TOOLS = [
    ToolSpec.from_schema("turn_light_on", "Switch on.", {"properties": {"room": {"type": "string"}}}),
]
SAID = "it is dark in the hall"


@pytest.fixture
def small(second):
    return second.open_server()


def asking(small, home=Path(), **more):
    settings = {"proposer": "server", "endpoint": small.endpoint, "model": "small", "time_limit_s": 1.0, **more}
    return Server(EscalationSettings.model_validate(settings), home)


def why(server):
    with pytest.raises(Silent) as silent:
        server.ask(SAID, TOOLS)
    return silent.value.why


def test_an_answer_is_read_and_what_was_sent_is_named_by_its_hash(small, second):
    small.answer = second.completion([{"tool": "turn_light_on", "arguments": {"room": "hall"}}])

    word = asking(small).ask(SAID, TOOLS)

    assert [call.tool for call in word.calls] == ["turn_light_on"]
    assert len(word.sent_sha256) == 64
    assert small.headers[0][0] == "/v1/chat/completions"
    assert "Authorization" not in small.headers[0][1]


def test_the_key_comes_from_its_file_and_goes_nowhere_else(small, tmp_path):
    (tmp_path / "server.key").write_text("s3cret\n")
    (tmp_path / "server.key").chmod(0o600)

    asking(small, tmp_path, key_file="server.key").ask(SAID, TOOLS)

    assert small.headers[0][1]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(small.asked)


def test_a_key_file_that_is_not_there_sends_nothing(small, tmp_path):
    server = asking(small, tmp_path, key_file="server.key")

    assert why(server) == "unreachable"
    assert server.lacks() == "`key_file` cannot be read: No such file or directory"
    assert small.asked == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_may_read_is_not_used(small, tmp_path, mode):
    (tmp_path / "server.key").write_text("s3cret")
    (tmp_path / "server.key").chmod(mode)
    server = asking(small, tmp_path, key_file="server.key")

    assert why(server) == "unreachable"
    assert "chmod 0600" in server.lacks()
    assert small.asked == []


@pytest.mark.parametrize("raw", [b"", b"two words", b"two\nlines", b"\xff\xfe", b"a\r\nX-Evil: 1", b"x" * 5000])
def test_a_file_that_holds_no_key_is_not_used(small, tmp_path, raw):
    (tmp_path / "server.key").write_bytes(raw)
    (tmp_path / "server.key").chmod(0o600)
    server = asking(small, tmp_path, key_file="server.key")

    assert why(server) == "unreachable"
    assert "holds no key" in server.lacks()
    assert small.asked == []


def test_certificates_that_are_none_are_named(tmp_path):
    chosen = {"proposer": "server", "endpoint": "https://127.0.0.1:1/v1", "model": "small", "ca_file": "ca.pem"}
    server = Server(EscalationSettings.model_validate(chosen), tmp_path)
    assert server.lacks() == "`ca_file` cannot be read: No such file or directory"

    (tmp_path / "ca.pem").write_text("no certificate")
    assert server.lacks() == "`ca_file` holds no certificates in PEM form"


def test_why_nobody_answered_is_said_without_the_address(small):
    gone = asking(small)
    port = str(small.port)
    small.close()

    with pytest.raises(Silent) as silent:
        gone.ask(SAID, TOOLS)
    assert str(silent.value) == "Connection refused"
    assert port not in str(silent.value)


def test_a_server_without_an_end_is_cut_off(small, second):
    small.answer = second.endless

    assert why(asking(small)) == "malformed"


def test_a_server_that_sends_a_byte_now_and_then_is_cut_off_at_the_limit(small, second):
    small.answer = second.dripping()

    assert why(asking(small, time_limit_s=0.5)) == "timeout"


def test_a_server_that_says_nothing_is_cut_off_at_the_limit(small):
    small.answer = lambda _handler: small.ended.wait(30)

    assert why(asking(small, time_limit_s=0.5)) == "timeout"


def test_a_server_that_hangs_up_is_no_answer(small, second):
    small.answer = second.hanging_up
    assert why(asking(small)) == "unreachable"

    small.answer = second.short
    assert why(asking(small)) == "unreachable"


@pytest.mark.parametrize("status", [201, 204, 400, 401, 404, 429, 500, 503])
def test_any_status_but_200_is_no_answer(small, second, status):
    small.answer = lambda handler: second.reply(handler, b"", status)

    assert why(asking(small)) == "refused"


def test_a_redirect_is_not_followed(small, second):
    other = second.open_server()
    small.answer = second.elsewhere(f"{other.endpoint}/chat/completions")

    assert why(asking(small)) == "refused"
    assert other.asked == []


def test_proxies_of_the_environment_are_not_asked(small, second, monkeypatch):
    proxy = second.open_server()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

    asking(small).ask(SAID, TOOLS)

    assert (len(small.asked), proxy.asked) == (1, [])


def test_nobody_there_is_no_answer(small):
    gone = asking(small)
    small.close()

    assert why(gone) == "unreachable"


def test_a_server_without_the_right_certificate_is_not_asked():
    listener = socket.create_server(("127.0.0.1", 0))
    settings = {
        "proposer": "server",
        "endpoint": f"https://127.0.0.1:{listener.getsockname()[1]}/v1",
        "model": "small",
        "time_limit_s": 1.0,
    }

    def plain():
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=plain)
    thread.start()

    assert why(Server(EscalationSettings.model_validate(settings), Path())) == "unreachable"
    thread.join()
    listener.close()


def test_an_answer_as_large_as_may_be_is_read_and_one_byte_more_is_not(small, second):
    whole = second.completion([])
    small.answer = whole + b" " * (server_module.MAX_ANSWER_BYTES - len(whole))
    assert asking(small).ask(SAID, TOOLS).calls == ()

    small.answer += b" "
    assert why(asking(small)) == "malformed"


def test_a_question_is_waited_for_no_longer_than_one_will():
    held = threading.Event()

    class Stuck:
        kind, name, where_sha256 = "server", "stuck", ""

        def ask(self, _text, _tools):
            held.wait(30)
            return Word(())

    question = Question(Stuck(), SAID, TOOLS).start()

    assert question.wait(0.05).why == "timeout"
    assert not question.is_over
    held.set()
    assert question.wait(30) == Word(())


def test_a_fault_of_a_model_is_no_answer_and_nobody_elses_fault():
    class Panic(BaseException):
        pass

    class Broken:
        kind, name, where_sha256 = "needle", "broken", ""

        def ask(self, _text, _tools):
            raise Panic

    said = Question(Broken(), SAID, TOOLS).start().wait(30)

    assert (said.why, str(said)) == ("fault", "Panic")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"endpoint": ""}, "looks like"),
        ({"endpoint": "127.0.0.1:8080"}, "looks like"),
        ({"endpoint": "ftp://127.0.0.1/v1"}, "looks like"),
        ({"endpoint": "http://models.example.org/v1"}, "without TLS"),
        ({"endpoint": "http://8.8.8.8/v1"}, "without TLS"),
        ({"endpoint": "http://0.0.0.0:1/v1"}, "without TLS"),
        ({"endpoint": "https://me:pass@example.org/v1"}, "password"),
        ({"endpoint": "https://example.org/v1?key=1"}, "query"),
        ({"endpoint": "https://example.org:99999/v1"}, "no address"),
        ({"endpoint": "https://example.org/v 1"}, "space"),
        ({"endpoint": "https://ex\u00e4mple.org/v1"}, "ASCII"),
        ({"endpoint": "https://example.org/v1", "model": ""}, "`model` is missing"),
        ({"proposer": "needle"}, "named with their hash"),
    ],
)
def test_settings_that_cannot_be_used_say_why(settings, complaint):
    with pytest.raises(ValueError, match="escalation") as error:
        EscalationSettings.model_validate({"proposer": "server", "model": "small", **settings})
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:8080/v1", "http://[::1]:8080/v1", "http://localhost/v1", "http://192.168.1.9:11434/v1",
     "https://models.example.org/v1/"],
)  # fmt: skip
def test_this_device_a_private_address_and_anybody_with_tls_may_be_asked(endpoint):
    EscalationSettings.model_validate({"proposer": "server", "model": "small", "endpoint": endpoint})


def test_a_time_limit_holds_for_the_whole_exchange(small, second):
    begun = []

    def late(handler):
        begun.append(time.monotonic())
        second.dripping(0.01)(handler)

    small.answer = late
    server = asking(small, time_limit_s=0.5)

    assert why(server) == "timeout"
    assert len(begun) == 1, "and it is not asked a second time"
