"""An application on a port, by uvicorn: connections are bounded, and nobody who asked is left without an answer."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from attentio.errors import AttentioError
from attentio.serving.door import Door
from attentio.serving.limits import Limits
from attentio.serving.model_queue import ModelQueue
from attentio.system import stop_signals

_LINGER = 0.5  # seconds in which what clients have sent on open connections still arrives
_QUEUE = 128  # connections that the system holds until they are accepted
_LOOK_AGAIN = 1.0  # seconds


class Server(uvicorn.Server):
    """Listens as soon as it is made; `run` answers, until a signal asks it to end.

    Raises:
        AttentioError: the address cannot be had.
    """

    def __init__(self, host: str, port: int, door: Door, queue: ModelQueue, limits: Limits) -> None:
        backlog = min(_QUEUE, max(1, limits.connections // 2))  # so many are accepted before any is turned away
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=backlog)
        except OSError as error:
            remedy = "choose another with --port, or 0 for any that is free"
            strerror = str(error.strerror or error).partition(" (while")[0]
            raise AttentioError(f"cannot listen on port {port} of {host}: {strerror}; {remedy}") from None
        self._host, self._door, self._queue, self._limits = host, door, queue, limits
        connection: Any = partial(Connection, limits=limits)
        super().__init__(
            uvicorn.Config(
                door,
                http=connection,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=backlog,
                timeout_keep_alive=int(limits.patience),
                timeout_graceful_shutdown=int(limits.grace) + 2,
            )
        )

    @property
    def url(self) -> str:
        """Where it can be reached."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._socket.getsockname()[1]}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until a signal asks to end. Requests in hand then have `limits.grace` seconds."""
        try:
            super().run(sockets or [self._socket])
        finally:
            self._queue.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._socket.listen(_QUEUE)  # asyncio accepts as many at once as it was told, and has told the system too

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Connections end with their next answer; those that are quiet end after a moment."""
        self._door.ending = True
        for server in self.servers:
            server.close()
        asyncio.get_running_loop().call_later(self._limits.grace, self._queue.end)
        await asyncio.sleep(_LINGER)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal ends the grace: who still waits is told so, where uvicorn would cut the answers off."""
        if self.should_exit:
            self._loop.call_soon_threadsafe(self._queue.end)
        else:
            super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise them anew at the end; here the end is the end."""
        for number in stop_signals():
            signal.signal(number, self.handle_exit)
        yield


class Connection(H11Protocol):
    """uvicorn's, which by itself waits for ever for a request, and accepts connections without end."""

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits, self._since = limits, self.loop.time()
        self._state: tuple[Any, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether a whole request is here that has no whole answer yet."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        open_ = [each for each in self.connections if isinstance(each, Connection) and not each.transport.is_closing()]
        if len(open_) > self._limits.connections:  # who says nothing makes place for who does
            min((each for each in open_ if not each.busy), key=lambda each: each._since).transport.abort()
        self._watch()

    def _watch(self) -> None:
        """End the connection where nothing has moved for too long."""
        state = (self.cycle, self.busy, self.transport.get_write_buffer_size() >> 16)
        limits, now = self._limits, self.loop.time()
        if state != self._state:
            self._state, self._since = state, now
        if now - self._since > limits.patience + self.busy * (limits.deadline + limits.patience):
            self.transport.abort()
        if self in self.connections:
            self.loop.call_later(_LOOK_AGAIN, self._watch)
