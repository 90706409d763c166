"""The server, over real connections: what it answers, and what it turns away."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from attentio.errors import AttentioError
from attentio.serving.fields import LONGEST_TEXT, Fields
from attentio.serving.server import LONGEST_BODY, MOST_WAITING, Reply, Route, Server


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        assert self.headers["Content-Type"].startswith("application/json")
        return json.loads(self.body)["error"]


class Slow:
    """A model that waits until it is let go, and counts how many calls of it run at once."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Semaphore(0)
        self.running = self.most = 0
        self.threads: set[int] = set()

    def __call__(self, fields: Any, headers: Any) -> Reply:
        self.threads.add(threading.get_ident())
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.release()
        assert self.go.wait(10)
        self.running -= 1
        return Reply.json(fields)


def echo(fields: Any, headers: Any) -> Reply:
    return Reply.json({"fields": fields, "agent": headers.get("user-agent")})


def fail(fields: Any, headers: Any) -> Reply:
    raise RuntimeError("secret")


def complain(fields: Any, headers: Any) -> Reply:
    raise AttentioError("text: empty; fill or remove it")


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.go.set()


@pytest.fixture
def server(slow: Slow) -> Iterator[Server]:
    routes = {
        "/": Route(echo, uses_model=False),
        "/echo": Route(echo, takes="json"),
        "/form": Route(echo, takes="form"),
        "/fail": Route(fail, takes="json"),
        "/complain": Route(complain, takes="json"),
        "/slow": Route(slow, takes="json"),
    }
    server = Server("127.0.0.1", 0, routes)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    yield server
    slow.go.set()
    server.shutdown()
    server.close()
    thread.join(5)
    assert not thread.is_alive()


def ask(server: Server, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None and "Content-Type" not in named:
        named["Content-Type"] = "application/json"
    connection.request(method, path, body, named)
    reply = connection.getresponse()
    answer = Answer(reply.status, dict(reply.getheaders()), reply.read())
    connection.close()
    return answer


def test_json_goes_in_and_comes_out_as_it_is(server: Server) -> None:
    answer = ask(server, "POST", "/echo", json.dumps({"text": "안녕 <b>"}))
    assert answer.status == 200
    assert json.loads(answer.body)["fields"] == {"text": "안녕 <b>"}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_form_and_a_query_are_fields_too(server: Server) -> None:
    kind = {"Content_Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert json.loads(ask(server, "POST", "/form", "text=%EC%95%88+b&empty=", **kind).body)["fields"] == {
        "text": "안 b",
        "empty": "",
    }
    assert json.loads(ask(server, "GET", "/?language=ko").body)["fields"] == {"language": "ko"}
    assert ask(server, "GET", "/?" + "&".join(["a=b"] * 21)).status == 400


def test_head_is_get_without_the_body(server: Server) -> None:
    answer = ask(server, "HEAD", "/")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "told"),
    [
        ("GET", "/nowhere", None, {}, 404, "known are /, /echo"),
        ("POST", "/nowhere", "{}", {}, 404, "nothing is here"),
        ("GET", "/echo", None, {}, 405, "use POST here"),
        ("POST", "/", "{}", {}, 405, "use GET here"),
        ("DELETE", "/echo", None, {}, 501, "Unsupported method"),
        ("POST", "/echo", "{", {}, 400, "the body cannot be read: Expecting property name"),
        ("POST", "/echo", b"\xff{}", {}, 400, "the body cannot be read: 'utf-8'"),
        ("POST", "/echo", "[" * 30_000, {}, 400, "the body cannot be read: maximum recursion"),
        ("POST", "/echo", "[1]", {}, 400, "the body must be a JSON object"),
        ("POST", "/echo", "text=a", {"Content_Type": "text/plain"}, 415, "must be application/json, got text/plain"),
        ("POST", "/form", "{}", {}, 415, "must be application/x-www-form-urlencoded"),
        ("POST", "/echo", "x" * (LONGEST_BODY + 1), {}, 413, f"the limit is {LONGEST_BODY}"),
        ("POST", "/echo", "{}", {"Origin": "http://evil.example"}, 403, "other web pages"),
        ("POST", "/echo", "{}", {"Origin": "null"}, 403, "other web pages"),
        ("POST", "/echo", "{}", {"Host": "evil.example:80"}, 421, "own names only"),
        ("POST", "/complain", "{}", {}, 400, "text: empty"),
        ("POST", "/fail", "{}", {}, 500, "its log says more"),
    ],
    ids=range(17),
)
def test_what_cannot_be_answered_says_why_with_the_proper_status(
    server: Server, capfd, method: str, path: str, body: str | None, headers: dict[str, str], status: int, told: str
) -> None:
    answer = ask(server, method, path, body, **headers)
    assert answer.status == status
    assert told in answer.error
    assert "secret" not in answer.error
    assert ("secret" in capfd.readouterr().err) == (path == "/fail")
    assert status != 405 or answer.headers["Allow"].startswith("POST" if path == "/echo" else "GET")


def test_a_body_without_its_length_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\n\r\n{}")
        assert b" 411 " in connection.makefile("rb").readline()


def test_its_own_pages_may_ask(server: Server) -> None:
    host = f"localhost:{server.server_address[1]}"
    assert ask(server, "POST", "/echo", "{}", Host=host, Origin=f"http://{host}").status == 200


def test_one_call_of_the_model_runs_at_a_time_in_one_thread_while_others_are_answered(
    server: Server, slow: Slow
) -> None:
    answers: list[Answer] = []
    askers = [threading.Thread(target=lambda: answers.append(ask(server, "POST", "/slow", "{}"))) for _ in range(5)]
    for asker in askers:
        asker.start()
    assert slow.begun.acquire(timeout=5)
    assert ask(server, "GET", "/").status == 200, "this one needs no model"
    slow.go.set()
    for asker in askers:
        asker.join(10)
    assert [answer.status for answer in answers] == [200] * 5
    assert (slow.most, len(slow.threads)) == (1, 1)


def test_too_many_waiting_are_told_to_try_again(server: Server, slow: Slow) -> None:
    for _ in range(MOST_WAITING):
        assert server.places.acquire(blocking=False)
    answer = ask(server, "POST", "/slow", "{}")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    for _ in range(MOST_WAITING):
        server.places.release()
    slow.go.set()
    assert ask(server, "POST", "/slow", "{}").status == 200, "places are given back"


def test_a_client_that_leaves_hurts_nobody(server: Server, slow: Slow, capfd) -> None:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           b"Content-Length: 2\r\n\r\n{}")  # fmt: skip
        assert slow.begun.acquire(timeout=5)
    slow.go.set()
    assert ask(server, "POST", "/slow", "{}").status == 200
    assert "Traceback" not in capfd.readouterr().err


def test_what_people_type_is_not_logged(server: Server, capfd) -> None:
    ask(server, "POST", "/echo", json.dumps({"text": "private"}))
    ask(server, "GET", "/?text=private")
    ask(server, "GET", "/private")
    logged = capfd.readouterr().err
    lines = [line.rsplit(" ", 2)[0] for line in logged.splitlines()]  # without their milliseconds
    assert lines == ["POST /echo 200", "GET / 200", "GET (another path) 404"], "each before its reply"
    assert "private" not in logged


def test_a_port_in_use_is_told(server: Server) -> None:
    port = server.server_address[1]
    with pytest.raises(AttentioError, match=f"cannot listen on port {port} of 127.0.0.1: Address already in use"):
        Server("127.0.0.1", port, {})


def test_a_host_that_is_none_is_told() -> None:
    with pytest.raises(AttentioError, match=r"host\.invalid is no address of this machine|cannot listen on port 0"):
        Server("host.invalid", 0, {})


def test_an_address_says_where_it_is() -> None:
    server = Server("::1", 0, {})
    assert server.local
    assert server.url == f"http://[::1]:{server.server_address[1]}"
    server.close()


FIELDS = {"text": "a", "beam": 3, "top_p": 0.5, "attention": True}


def test_fields_are_taken_by_name_and_type() -> None:
    fields = Fields(FIELDS)
    assert fields.text("text") == "a"
    assert fields.whole("beam", None, least=1, most=3) == 3
    assert fields.number("top_p", None) == 0.5
    assert fields.flag("attention") is True
    fields.end()
    empty = Fields({})
    assert (empty.text("text", "b"), empty.whole("beam", None, least=1, most=3), empty.number("top_p", 1.0)) == (
        "b",
        None,
        1.0,
    )
    assert empty.flag("attention") is False


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "text must be a text, got nothing"),
        ({"text": 1}, "text must be a text, got 1"),
        ({"text": "a" * (LONGEST_TEXT + 1)}, f"text has {LONGEST_TEXT + 1} characters, more than the limit"),
        ({"text": "a", "beam": "3"}, "beam must be a whole number from 1 to 5, got '3'"),
        ({"text": "a", "beam": True}, "beam must be a whole number"),
        ({"text": "a", "beam": 6}, "beam must be a whole number from 1 to 5, got 6"),
        ({"text": "a", "top_p": float("nan")}, "top_p must be a number, got nan"),
        ({"text": "a", "flag": 1}, "flag must be true or false, got 1"),
        ({"text": "a", "baem": 3}, "unknown field 'baem': did you mean beam? known are text, beam, top_p, flag"),
    ],
    ids=range(9),
)
def test_fields_that_are_wrong_are_told_by_name(given: dict[str, Any], told: str) -> None:
    def take(fields: Fields) -> None:
        fields.text("text")
        fields.whole("beam", None, least=1, most=5)
        fields.number("top_p", None)
        fields.flag("flag")
        fields.end()

    with pytest.raises(AttentioError) as caught:
        take(Fields(given))
    assert str(caught.value).startswith(told)
