"""An HTTP server for a model: many may ask at once, one call of the model runs at a time.

Everything runs on the standard library. The server answers known paths only, limits what it reads, and turns away web
pages of others: a browser would send their requests to a local address too.
"""

import contextlib
import ipaddress
import json
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from attentio.errors import AttentioError

LONGEST_BODY = 2**16  # bytes
MOST_WAITING = 16
"""Requests that may wait for the model, the one that it works on included."""
_READ_AWAY = 2**20  # bytes of a refused body that are still read, so that the refusal arrives


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    body: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, content: Any, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> "Reply":
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
        return cls(text.encode() + b"\n", "application/json; charset=utf-8", status, headers)

    @classmethod
    def html(cls, text: str, status: HTTPStatus = HTTPStatus.OK, *, policy: str) -> "Reply":
        """policy: the content security policy."""
        return cls(text.encode(), "text/html; charset=utf-8", status, {"Content-Security-Policy": policy})


def refuse_as_json(status: HTTPStatus, message: str) -> Reply:
    """{"error": message}"""
    return Reply.json({"error": message}, status)


@dataclass(frozen=True)
class Route:
    """What answers at a path.

    takes: what the body must be; None for GET, whose query it takes instead.
    answer: from the fields of the body or query, and the headers, to the reply; AttentioError for bad ones.
    refuse: the reply to a request that fails.
    uses_model: whether `answer` waits for its turn with the model.
    """

    answer: Callable[[Mapping[str, Any], Mapping[str, str]], Reply]
    takes: Literal["json", "form"] | None = None
    refuse: Callable[[HTTPStatus, str], Reply] = refuse_as_json
    uses_model: bool = True


_KINDS = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class RefusedError(Exception):
    """A request that cannot be answered."""

    def __init__(self, status: HTTPStatus, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class Server(ThreadingMixIn, TCPServer):
    """Listens as soon as it is made; `serve_forever` answers; `close` ends it.

    routes: by path.

    Raises:
        AttentioError: the address cannot be had.
    """

    daemon_threads = allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        self.routes = dict(routes)
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self.places = threading.BoundedSemaphore(MOST_WAITING)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except socket.gaierror:
            raise AttentioError(
                f"{host} is no address of this machine; leave --host out for this machine only"
            ) from None
        except OSError as error:
            remedy = "choose another with --port, or 0 for any that is free"
            raise AttentioError(f"cannot listen on port {port} of {host}: {error.strerror}; {remedy}") from None
        self.local = ipaddress.ip_address(str(self.server_address[0])).is_loopback
        self.host = host

    @property
    def url(self) -> str:
        """Where it can be reached."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}"

    def close(self) -> None:
        """Stop listening; calls of the model that have not begun are dropped."""
        self.worker.shutdown(wait=False, cancel_futures=True)
        self.server_close()

    def in_turn(self, call: Callable[[], Reply]) -> Reply:
        """The call's result, when it was its turn with the model. Always the same thread calls the model."""
        if not self.places.acquire(blocking=False):
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many are waiting; try again", **{"Retry-After": "2"}
            )
        try:
            return self.worker.submit(call).result()
        finally:
            self.places.release()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "attentio", ""
    timeout = 30  # seconds that a client may keep the server waiting

    def do_GET(self) -> None:
        self._handle("GET")

    def do_HEAD(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def _handle(self, method: str) -> None:
        started = time.perf_counter()
        path, _, query = self.path.partition("?")
        route = self.server.routes.get(path)
        refuse = refuse_as_json if route is None else route.refuse
        try:
            reply = self._reply(method, route, query)
        except RefusedError as refusal:
            made = refuse(refusal.status, str(refusal))
            reply = Reply(made.body, made.kind, made.status, {**made.headers, **refusal.headers})
        except AttentioError as error:
            reply = refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (ConnectionError, TimeoutError):
            return
        except Exception:
            traceback.print_exc()
            reply = refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed at this; its log says more")
        # Before the reply, so that what has been answered is in the log; in one write, since threads share it.
        shown = path if route else "(another path)"
        milliseconds = 1000 * (time.perf_counter() - started)
        sys.stderr.write(f"{self.command} {shown} {int(reply.status)} {milliseconds:.0f} ms\n")
        with contextlib.suppress(ConnectionError, TimeoutError):  # whoever asked has gone
            self._send(reply)

    def _reply(self, method: str, route: Route | None, query: str) -> Reply:
        body = self._body() if method == "POST" else b""
        self._check_sender()
        if route is None:
            known = ", ".join(self.server.routes)
            raise RefusedError(HTTPStatus.NOT_FOUND, f"nothing is here; known are {known}")
        expected = "GET" if route.takes is None else "POST"
        if method != expected:
            allow = {"Allow": "GET, HEAD" if expected == "GET" else expected}
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"use {expected} here", **allow)
        fields = _flat(query) if route.takes is None else self._fields(body, route.takes)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not route.uses_model:
            return route.answer(fields, headers)
        return self.server.in_turn(lambda: route.answer(fields, headers))

    def _check_sender(self) -> None:
        """Web pages of others are turned away, and names of others that lead here (DNS rebinding)."""
        host = self.headers.get("Host", "")
        if self.server.local and _hostname(host) not in ("localhost", "127.0.0.1", "::1", self.server.host):
            raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, "this server answers to this machine's own names only")
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise RefusedError(HTTPStatus.FORBIDDEN, "requests of other web pages are not answered")

    def _body(self) -> bytes:
        try:
            length = int(self.headers["Content-Length"])
        except (TypeError, ValueError):
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "say Content-Length") from None
        if not 0 <= length <= LONGEST_BODY:
            self.rfile.read(max(0, min(length, _READ_AWAY)))
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has {length} bytes, the limit is {LONGEST_BODY}"
            )
        return self.rfile.read(length)

    def _fields(self, body: bytes, takes: str) -> Mapping[str, Any]:
        kind = self.headers.get_content_type()
        if kind != _KINDS[takes]:
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be {_KINDS[takes]}, got {kind}")
        try:
            text = body.decode("utf-8")
            if takes == "form":
                return _flat(text)
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise AttentioError(f"the body cannot be read: {error}") from None
        if not isinstance(content, dict):
            raise AttentioError("the body must be a JSON object")
        return content

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        standing = {
            "Content-Type": reply.kind,
            "Content-Length": str(len(reply.body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",  # with no-referrer, forms of our own page would be nobody's
        }
        for name, value in {**standing, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library itself refuses: no HTTP, an unknown method."""
        self._send(refuse_as_json(HTTPStatus(code), message or HTTPStatus(code).phrase))

    def log_message(self, format: str, *args: Any) -> None:
        """Texts that people type are not written down."""


def _flat(encoded: str) -> dict[str, str]:
    """The fields of a query or form, each once."""
    try:
        found = parse_qs(encoded, keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise AttentioError(f"the fields cannot be read: {error}") from None
    return {name: values[-1] for name, values in found.items()}


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
