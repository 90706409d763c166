"""A real server process, and what clients that are wrong, slow, many or gone do to others: nothing."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from served import GENERATE, Answer, Served, slow_server, until

from attentio.errors import AttentioError
from attentio.serving.names import names_of

STEP = 0.02
LIMITS = {"deadline": 4, "patience": 1, "waiting": 4, "grace": 2, "work": 400, "body": 5000, "connections": 20}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A causal language model, 50 tokens a second."""
    with slow_server(tmp_path_factory.mktemp("slow"), "causal-lm", STEP, **LIMITS) as served:
        yield served
        assert served.process.poll() is None, served.log.read_text()
        assert '"error"' not in served.log.read_text(), "nothing failed"


def generate(server: Served, **fields: Any) -> Answer:
    return server.ask("POST", "/generate", {**GENERATE, **fields})


def in_background(call: Callable[[], Any], count: int = 1) -> list[Any]:
    pool = ThreadPoolExecutor(count)
    return [pool.submit(call) for _ in range(count)]


def raw(body: bytes) -> bytes:
    """A request to generate, on a connection that ends with its answer."""
    return (
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "told"),
    [
        ("GET", "/nowhere", None, {}, 404, "known are /, /generate"),
        ("POST", "/generate/", "{}", {}, 404, "nothing is here"),
        ("GET", "/generate", None, {}, 405, "use POST here"),
        ("POST", "/health", "{}", {}, 405, "use "),
        ("DELETE", "/generate", None, {}, 405, "use POST here"),
        ("POST", "/generate", "{", {}, 400, "the body cannot be read: Expecting property name"),
        ("POST", "/generate", b"", {}, 400, "the body cannot be read: Expecting value"),
        ("POST", "/generate", b"\xff{}", {}, 400, "the body cannot be read: 'utf-8'"),
        ("POST", "/generate", "[" * 4000, {}, 400, "the body cannot be read: maximum recursion"),
        ("POST", "/generate", '{"seed": ' + "1" * 4500 + "}", {}, 400, "the body cannot be read: Exceeds the limit"),
        ("POST", "/generate", '{"seed": 1, "seed": 2}', {}, 400, "a field is there twice"),
        ("POST", "/generate", "[1]", {}, 400, "the body must be a JSON object"),
        ("POST", "/generate", '{"text": 1}', {}, 400, "text must be a text, got 1"),
        (
            "POST",
            "/generate",
            '{"text": "a", "temperature": 1e39}',
            {},
            400,
            "temperature must be 0 (greedy), or 1e-06 to",
        ),
        ("POST", "/generate", '{"temperature": NaN}', {}, 400, "temperature must be a number, got nan"),
        ("POST", "/generate", '{"text": "\\ud800"}', {}, 400, "half of a surrogate pair"),
        ("POST", "/generate", '{"\\ud800": 1}', {}, 400, "unknown field '\\ud800'"),
        ("POST", "/generate", '{"text": "a\\nQ"}', {}, 400, ""),
        ("POST", "/generate", "{}", {"Content_Type": "text/plain"}, 415, "must be application/json, got text/plain"),
        ("POST", "/generate", "x" * 5001, {}, 413, "the limit of 5000"),
        ("POST", "/generate", iter([b"x" * 3000] * 2), {}, 413, "the limit of 5000"),
        ("GET", "/?language=de", None, {}, 400, "language must be en or ko"),
        ("GET", "/?language=ko&language=en", None, {}, 400, "a field is there twice"),
        ("GET", "/?language=%FF", None, {}, 400, "the query cannot be read"),
        ("GET", "/?" + "&".join(["a=b"] * 21), None, {}, 400, "the query cannot be read"),
        ("POST", "/generate", "{}", {"Origin": "http://evil.example"}, 403, "other web pages"),
        ("POST", "/generate", "{}", {"Origin": "null"}, 403, "other web pages"),
        ("POST", "/generate", "{}", {"Origin": "http://["}, 403, "other web pages"),
        ("POST", "/generate", "{}", {"Origin": ""}, 403, "other web pages"),
        ("POST", "/generate", "{}", {"Host": "evil.example:80"}, 421, "own names only"),
        ("GET", "/metrics", None, {"Host": "["}, 421, "own names only"),
        ("GET", "/health", None, {"Host": "localhost.evil.example"}, 421, "own names only"),
    ],
    ids=range(32),
)
def test_what_cannot_be_answered_says_why_with_the_proper_status(
    server: Served, method: str, path: str, body: Any, headers: dict[str, str], status: int, told: str
) -> None:
    answer = server.ask(method, path, body, **headers)
    assert answer.status == status
    assert told in answer.error
    assert status != 405 or set(answer.headers["allow"].split(", ")) == (
        {"GET", "HEAD"} if path == "/health" else {"POST"}
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2**20,
    ],
    ids=["bytes", "no host", "two hosts", "no length", "a long length", "a huge header"],
)
def test_what_is_no_http_is_refused_and_its_connection_ended(server: Served, sent: bytes) -> None:
    with server.connect() as connection:
        try:
            connection.sendall(sent)
            assert b" 400 " in connection.makefile("rb").readline()
        except ConnectionError:  # ended while it was still being sent
            assert len(sent) > 2**16
    assert server.ask("GET", "/health").status == 200


def test_its_own_pages_may_ask(server: Served) -> None:
    host = f"LocalHost:{server.port}"
    assert server.ask("GET", "/health", Host=host, Origin=f"http://localhost:{server.port}").status == 200


def test_pages_carry_a_policy_and_nothing_is_cached(server: Served) -> None:
    answer = server.ask("HEAD", "/")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


def test_too_much_work_is_refused_before_it_is_begun(server: Served) -> None:
    began = time.monotonic()
    answer = generate(server, samples=5)
    assert answer.status == 422
    assert answer.error.startswith("the model would read and write up to 515 tokens for this")
    assert "the limit is 400: shorten the text or ask for fewer" in answer.error
    assert time.monotonic() - began < 1


def test_what_takes_too_long_is_ended_and_the_next_one_answered(server: Served) -> None:
    began = time.monotonic()
    answer = generate(server, max_tokens=390)
    assert answer.status == 504
    assert answer.error == "this took longer than the limit of 4 seconds"
    assert 3.9 < time.monotonic() - began < 6
    began = time.monotonic()
    assert generate(server, max_tokens=2).status == 200
    assert time.monotonic() - began < 2, "the model does not go on with what nobody waits for"


def test_the_model_stops_when_its_client_has_gone(server: Served) -> None:
    body = json.dumps(GENERATE | {"max_tokens": 390}).encode()
    begun = server.begun()
    with server.connect() as connection:
        connection.sendall(raw(body))
        server.wait_until_busy(begun)
    began = time.monotonic()
    assert generate(server, max_tokens=2).status == 200
    assert time.monotonic() - began < 2
    server.logged('"status": 499')


def test_while_the_model_is_busy_others_are_answered_and_too_many_told_to_try_again(server: Served) -> None:
    begun = server.begun()
    first = in_background(lambda: generate(server, max_tokens=60))
    server.wait_until_busy(begun)
    others = in_background(lambda: generate(server, max_tokens=2), LIMITS["waiting"])
    until(lambda: server.count("attentio_waiting") == LIMITS["waiting"])
    assert server.ask("GET", "/health").json == {"healthy": True}
    ready = server.ask("GET", "/ready")
    assert (ready.status, ready.json) == (503, {"ready": False})
    refused = generate(server)
    assert (refused.status, refused.headers["retry-after"]) == (429, "2")
    assert refused.error == "too many are waiting; try again"
    assert [each.result().status for each in (*first, *others)] == [200] * 5
    assert server.ask("GET", "/ready").status == 200


def test_a_text_is_streamed_as_it_is_drawn(server: Served) -> None:
    whole = generate(server, max_tokens=20).json["samples"][0]
    with server.connect() as connection:
        body = json.dumps(GENERATE | {"max_tokens": 20, "stream": True}).encode()
        connection.sendall(raw(body))
        reply = connection.makefile("rb")
        began, lines, times = time.monotonic(), [], []
        for line in reply:
            if line.startswith(b"{"):
                lines.append(json.loads(line))
                times.append(time.monotonic() - began)
    *pieces, last = lines
    assert "".join(piece["text"] for piece in pieces) == whole["text"]
    assert [piece["token"] for piece in pieces] == whole["tokens"]
    assert last == {"finished": False}
    assert times[-1] - times[0] > 10 * STEP, "not all at once"
    assert generate(server, samples=2, stream=True).error == "samples must be 1 where the answer is streamed, got 2"
    cut = server.ask("POST", "/generate", GENERATE | {"max_tokens": 390, "stream": True}).body.splitlines()
    assert json.loads(cut[-1]) == {"error": "this took longer than the limit of 4 seconds"}


def test_clients_that_leave_a_stream_are_no_error(server: Served) -> None:
    for number in range(6):
        with server.connect() as connection:
            connection.sendall(raw(json.dumps(GENERATE | {"max_tokens": 60, "stream": True}).encode()))
            assert connection.recv(300).startswith(b"HTTP/1.1 200")
            time.sleep(0.02 * number)
        time.sleep(0.4)
    for _ in range(300):  # until Python looks for what nobody needs any more, the tasks among it
        assert server.ask("GET", "/metrics").status == 200
    assert "never retrieved" not in server.log.read_text()


def test_clients_that_say_nothing_or_little_do_not_keep_others_out(server: Served) -> None:
    said = (
        b"",
        b"GET / HT",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    )
    silent = [server.connect() for _ in range(3 * int(LIMITS["connections"]))]
    for number, connection in enumerate(silent):
        try:
            connection.sendall(said[number % 3])
        except ConnectionError:
            continue
    began = time.monotonic()
    assert [server.ask("GET", "/health").status for _ in range(5)] == [200] * 5
    assert time.monotonic() - began < 2
    ends = []
    for connection in silent:
        try:
            ends.append(connection.makefile("rb").readline())
        except ConnectionError:
            ends.append(b"")
        connection.close()
    assert set(ends) <= {b"", b"HTTP/1.1 408 Request Timeout\r\n"}
    assert time.monotonic() - began < 6, "who says nothing is not waited for"


def test_who_reads_no_answer_is_not_waited_for(server: Served) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", server.port))
        requests = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000_000
        with pytest.raises(ConnectionError):  # each asks for some kilobytes that are never read
            connection.sendall(requests)
    assert server.ask("GET", "/health").status == 200


def test_what_people_type_is_not_logged(server: Served) -> None:
    generate(server, text="gab", max_tokens=1)
    server.ask("GET", "/?text=gab")
    server.ask("GET", "/gab")
    server.ask("DELETE", "/health?gab=gab")
    time.sleep(0.5)
    lines = server.logged("/health")
    assert "gab" not in server.log.read_text().lower()
    assert {"time", "level", "event", "path", "status", "ms"} == set(lines[-1])
    assert [(line["path"], line["status"]) for line in lines[-4:]] == [
        ("/generate", 200),
        ("/", 200),
        ("(another path)", 404),
        ("/health", 405),
    ]


@pytest.fixture(scope="module")
def translating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An encoder-decoder, 100 tokens a second. The last test ends it."""
    with slow_server(tmp_path_factory.mktemp("translating"), "encoder-decoder", 0.01) as served:
        yield served


def test_requests_that_wait_are_answered_together_and_as_if_alone(translating: Served) -> None:
    texts = ["a", "ab", "abC", "hgfe dcba", "안녕 abc", "h" * 40]
    options = [{}, {"beam": 3}, {"beam": 3, "n_best": 2, "attention": True}]
    asked = [{"text": text, **each} for text in texts for each in options]
    alone = [translating.ask("POST", "/translate", each).json for each in asked]
    before = translating.count("attentio_answered_together_count")
    with ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(lambda each: translating.ask("POST", "/translate", each).json, asked))
    assert translating.count("attentio_answered_together_count") - before < len(asked) / 2
    for one, other in zip(alone, found, strict=True):
        assert _rounded(one) == _rounded(other)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return pytest.approx(value, abs=1e-4) if isinstance(value, float) else value


def test_the_end_comes_soon_and_everyone_who_asked_is_told(tmp_path) -> None:
    """The first request can be answered before it, the others would take half a minute."""
    with slow_server(tmp_path, "causal-lm", STEP, grace=2) as server:
        first = in_background(lambda: generate(server, max_tokens=20))
        time.sleep(0.1)
        others = in_background(lambda: generate(server, max_tokens=500), 4)
        until(lambda: server.count("attentio_waiting") >= 3)
        quiet, kept = http_connection(server), "keep"
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        while kept != "close":  # no request is lost on a connection that was open before
            quiet.request("GET", "/health")
            reply = quiet.getresponse()
            assert (reply.status, reply.read()) == (200, b'{"healthy":true}')
            kept = reply.getheader("connection")
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert first[0].result().status == 200
        for answer in (other.result() for other in others):
            assert (answer.status, answer.headers["retry-after"]) == (503, "2")
            assert answer.error == "the server is ending; try again"
        assert server.process.stdout is not None
        assert server.process.stdout.readline() == "ended\n", server.log.read_text()
        assert time.monotonic() - began < 8
        assert server.process.wait(60) == 0


def test_who_asks_twice_for_the_end_need_not_wait_and_nobody_is_cut_off(tmp_path) -> None:
    with slow_server(tmp_path, "causal-lm", STEP, grace=60) as server:
        others = in_background(lambda: generate(server, max_tokens=500), 4)
        until(lambda: server.count("attentio_waiting") >= 3)
        began = time.monotonic()
        for _ in range(2):
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        for answer in (other.result() for other in others):
            assert (answer.status, answer.error) == (503, "the server is ending; try again")
        assert server.process.wait(60) == 0
        assert time.monotonic() - began < 20
        assert "Traceback" not in server.log.read_text()


def http_connection(server: Served) -> Any:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/health")
    connection.getresponse().read()
    return connection


def test_clients_that_never_pause_lose_nothing_at_the_end(translating: Served) -> None:
    """Each asks again as soon as it is answered, on the same connection, until it is told that this ends."""
    lost: list[str] = []

    def ask_on() -> int:
        connection, count = http_connection(translating), 0
        while True:
            try:
                connection.request(
                    "POST", "/translate", json.dumps({"text": "ab"}), {"Content-Type": "application/json"}
                )
                reply = connection.getresponse()
                reply.read()
            except OSError as error:
                lost.append(repr(error))
                return count
            count += reply.status == 200
            if reply.getheader("connection") == "close":
                return count

    clients = in_background(ask_on, 16)
    time.sleep(1)
    translating.process.send_signal(signal.SIGTERM)
    assert sum(each.result() for each in clients) > 16
    assert translating.process.wait(60) == 0
    assert not lost


def test_more_clients_than_the_process_may_open_files_are_no_harm(tmp_path) -> None:
    with slow_server(tmp_path, "causal-lm", 0.0, shell="ulimit -n 64;", patience=2) as server:
        crowd = []
        for _ in range(200):
            crowd.append(server.connect())
        began = time.monotonic()
        assert [generate(server, max_tokens=2).status for _ in range(5)] == [200] * 5
        assert time.monotonic() - began < 20
        before = server.count("process_cpu_seconds_total")
        time.sleep(1)
        assert server.count("process_cpu_seconds_total") - before < 0.5, "it does not spin"
        for connection in crowd:
            connection.close()


def test_other_machines_need_a_name_to_call_it_by() -> None:
    with pytest.raises(AttentioError, match=r"--host 0\.0\.0\.0 lets other machines in; say with --allow-host NAME"):
        names_of("0.0.0.0", [])
    assert names_of("0.0.0.0", ["Attention.example.org", "fe80::1"]) >= {"attention.example.org", "fe80::1", "::1"}
    assert names_of("127.0.0.2", []) >= {"127.0.0.2", "localhost"}
    with pytest.raises(AttentioError, match=r"--allow-host http://a: must be a name or an address alone"):
        names_of("::", ["http://a"])
    for allowed in ([], ["attention.example.org"]):
        with pytest.raises(AttentioError, match=r"host\.invalid is no address of this machine"):
            names_of("host.invalid", allowed)
