"""What waits for the model: one thread takes it in order, and together what can be answered together."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from attentio.serving.limits import Limits, try_again
from attentio.serving.metrics import Metrics

EachStep = Callable[[], None]


@dataclass(eq=False, kw_only=True)
class Job:
    """One request to the model.

    call: from the items of jobs of one kind, and what to call at each step of decoding, to an outcome for each.
    work: see `Limits`. kind: jobs with the same are answered together; None for alone.
    outcome: done as soon as nobody waits for it any more.
    """

    call: Callable[[list[Any], EachStep], Sequence[Any]]
    item: Any
    work: int
    kind: Hashable = None
    outcome: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _UnwantedError(Exception):
    """Nobody waits for the outcome."""


class ModelQueue:
    """Always the same thread calls the model. To be used from one event loop, and closed."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._asked: set[Job] = set()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()
        metrics.waiting.set_function(lambda: len(self._waiting))

    @property
    def full(self) -> bool:
        """Whether the next job is refused."""
        return self._ended or len(self._waiting) >= self._limits.waiting

    async def outcome(self, job: Job, receive: Receive) -> Any:
        """What the model makes of the job.

        receive: of the request, which has been read; what comes next is that whoever asked has gone.

        Raises:
            HTTPException: it would do too much, too many wait, it took too long, or the server ends.
            ClientDisconnect: whoever asked has gone.
        """
        if job.work > self._limits.work:
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"the model would read and write up to {job.work:,} tokens for this, each hypothesis or sample counted "
                f"by itself; the limit is {self._limits.work:,}: shorten the text or ask for fewer",
            )
        if self.full:
            raise self._ending() if self._ended else try_again(HTTPStatus.TOO_MANY_REQUESTS, "too many are waiting")
        leaving = asyncio.create_task(_gone(receive))
        self._asked.add(job)
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        try:
            seconds = self._limits.deadline
            await asyncio.wait({job.outcome, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if job.outcome.done():
                return job.outcome.result()
            if leaving.done():
                raise ClientDisconnect
            raise HTTPException(HTTPStatus.GATEWAY_TIMEOUT, f"this took longer than the limit of {seconds:g} seconds")
        finally:
            leaving.cancel()
            job.outcome.cancel()
            self._asked.discard(job)
            with self._changed, contextlib.suppress(ValueError):
                self._waiting.remove(job)

    def end(self) -> None:
        """Refuse everything that is waiting or in hand, and whatever comes."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        for job in self._asked:
            if not job.outcome.done():
                job.outcome.set_exception(self._ending())

    def close(self) -> None:
        """Wait for the thread: a step of decoding at most, or the reading of a text."""
        self.end()
        self._thread.join(self._limits.grace)

    def _ending(self) -> HTTPException:
        return try_again(HTTPStatus.SERVICE_UNAVAILABLE, "the server is ending")

    def _run(self) -> None:
        while jobs := self._take():
            self._metrics.together.observe(len(jobs))
            with self._metrics.model_seconds.time():
                self._answer(jobs)

    def _take(self) -> list[Job]:
        """The job that has waited longest, and others of its kind; none when the queue has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            taken = self._waiting[:1]
            most = taken[0].work if taken else 0
            for job in self._waiting[1:]:
                if len(taken) == self._limits.together or job.kind is None or job.kind != taken[0].kind:
                    continue
                padded = max(most, job.work)
                if padded * (len(taken) + 1) <= self._limits.work:
                    taken.append(job)
                    most = padded
            self._waiting = [job for job in self._waiting if job not in taken]
            return taken

    def _answer(self, jobs: list[Job]) -> None:
        def each_step() -> None:
            if all(job.outcome.done() for job in jobs):
                raise _UnwantedError

        try:
            found = jobs[0].call([job.item for job in jobs], each_step)
        except _UnwantedError:
            return
        except BaseException as error:
            if len(jobs) == 1:  # a panic in Rust is no Exception
                _deliver(jobs, [error if isinstance(error, Exception) else RuntimeError(type(error).__name__)])
            for job in jobs if len(jobs) > 1 else ():  # the others are not to blame
                self._answer([job])
        else:
            _deliver(jobs, found)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _deliver(jobs: Sequence[Job], found: Sequence[Any]) -> None:
    """Hand what was found, or what was raised, over to the event loop."""

    def hand_over() -> None:
        for job, one in zip(jobs, found, strict=True):
            if job.outcome.done():
                continue
            if isinstance(one, Exception):
                job.outcome.set_exception(one)
            else:
                job.outcome.set_result(one)

    with contextlib.suppress(RuntimeError):  # the loop has ended
        jobs[0].outcome.get_loop().call_soon_threadsafe(hand_over)
