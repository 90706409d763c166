"""What every request passes: who may ask, what goes into the log and the metrics, and errors in one line."""

import logging
import time
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attentio.errors import AttentioError
from attentio.serving.metrics import Metrics

_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, forms of our own page would be nobody's
}
_LEFT = 499  # what the log says, as nginx's, of a client that did not wait for its answer
_log = logging.getLogger(__name__)


class Door:
    """An ASGI application around another.

    names: by which the server may be called.
    ending: whether the server is about to end, so that connections are not kept.
    """

    def __init__(
        self,
        inside: ASGIApp,
        *,
        paths: Collection[str],
        names: Collection[str],
        metrics: Metrics,
    ) -> None:
        self._inside, self._paths, self._names = inside, frozenset(paths), names
        self._metrics = metrics
        self.ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, told = time.perf_counter(), False
        path = scope["path"] if scope["path"] in self._paths else "(another path)"

        def note(status: int) -> None:
            nonlocal told
            told = True
            seconds = time.perf_counter() - started
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(seconds)
            fields = {"path": path, "status": status, "ms": round(1000 * seconds)}
            _log.info("answered", extra={"fields": fields})

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                note(message["status"])  # before the reply, so that what has been answered is in the log
                headers = MutableHeaders(scope=message)
                for name, value in (*_ALWAYS.items(), *([("Connection", "close")] if self.ending else [])):
                    headers.setdefault(name, value)
            await send(message)

        try:
            check_sender(Headers(scope=scope), self._names)
            await self._inside({**scope, "app": self}, receive, answer)  # the router lets an app refuse
        except ClientDisconnect:
            pass
        except Exception as error:
            if told:  # nothing else can be said any more
                raise
            await _refusal(error)(scope, receive, answer)
        finally:
            if not told:
                note(_LEFT)


def _refusal(error: Exception) -> Response:
    """{"error": what is wrong}"""

    def refuse(status: HTTPStatus, message: str) -> Response:
        return JSONResponse({"error": message}, status)

    if isinstance(error, AttentioError):
        return refuse(HTTPStatus.BAD_REQUEST, " ".join(str(error).splitlines()))
    if not isinstance(error, HTTPException):
        _log.error("failed", exc_info=error)
        return refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed at this; its log says more")
    headers = error.headers or {}
    wrong_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    reply = refuse(HTTPStatus(error.status_code), f"use {headers['Allow']} here" if wrong_method else error.detail)
    reply.headers.update(headers)
    return reply


def check_sender(headers: Headers, names: Collection[str]) -> None:
    """Web pages of others are turned away, and names of others that lead here (DNS rebinding).

    Raises:
        HTTPException: the request comes from one of them.
    """
    hosts = headers.getlist("host")
    if len(hosts) != 1 or _parts(f"//{hosts[0]}")[1] not in names:
        raise HTTPException(
            HTTPStatus.MISDIRECTED_REQUEST, "this server answers to its own names only; --allow-host adds one"
        )
    for origin in headers.getlist("origin"):
        if _parts(origin)[0] != hosts[0].lower():
            raise HTTPException(HTTPStatus.FORBIDDEN, "requests of other web pages are not answered")


def _parts(url: str) -> tuple[str, str | None]:
    """Its host with the port, and without; nothing of what is no URL."""
    try:
        parts = urlsplit(url)
        return parts.netloc.lower(), parts.hostname
    except ValueError:
        return "", None
