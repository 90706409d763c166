"""What a served run answers, by path: a request's fields checked, the model asked, the result as JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, Router

from attentio.errors import AttentioError
from attentio.runs.changed import Change, asked_change
from attentio.runs.examples import examples
from attentio.runs.fields import Fields, Question
from attentio.runs.places import SUFFIX
from attentio.runs.tasks import AnyRun, task_of
from attentio.serving.door import Door
from attentio.serving.fields import query_fields, sent_fields
from attentio.serving.front import LONGEST_SHOWN, front_page, language_of
from attentio.serving.limits import Limits
from attentio.serving.metrics import Metrics
from attentio.serving.model_queue import EachStep, Job, ModelQueue
from attentio.serving.names import LOOPBACK
from attentio.serving.openapi import openapi


class Answers:
    """The answers at each path that a run has. queue: of the run's model."""

    def __init__(self, run: AnyRun, queue: ModelQueue, metrics: Metrics, limits: Limits) -> None:
        self._run, self._queue, self._metrics, self._limits = run, queue, metrics, limits
        self._task, self._kind = task_of(run.config), run.config.model.type
        self.verb = f"/{self._task.verb}"
        self._name = run.path.resolve().name.removesuffix(SUFFIX)
        self._examples = examples(run.path, run.config)

    def door(self, *, page: bool, names: Collection[str] = LOOPBACK) -> Door:
        """The whole application. names: by which the server may be called."""
        routes = [
            Route("/", self.front if page else self.about),
            Route(self.verb, self.answer, methods=["POST"]),
            Route("/change", self.change, methods=["POST"]),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
            *([Route("/look", self.look, methods=["POST"])] if page else []),
        ]
        paths = [route.path for route in routes]

        async def nothing(*_: Any) -> None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"nothing is here; known are {', '.join(paths)}")

        router = Router(routes, redirect_slashes=False, default=nothing)
        return Door(router, paths=paths, names=names, metrics=self._metrics)

    async def about(self, request: Request) -> Response:
        return JSONResponse({"run": self._name, "model": self._kind, "post": [self.verb, "/change"]})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"healthy": True})

    async def ready(self, request: Request) -> Response:
        """Whether another request would be taken on."""
        full = self._queue.full
        return JSONResponse({"ready": not full}, HTTPStatus.SERVICE_UNAVAILABLE if full else HTTPStatus.OK)

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi(self._run))

    async def answer(self, request: Request) -> Response:
        question = self._task.question(self._run, Fields(await sent_fields(request, self._limits)))
        job = Job(
            call=lambda questions, each_step: self._task.answers(self._run, questions, each_step),
            item=question,
            work=self._task.work(self._run, question),
            kind=tuple(question.options.items()) if question.together else None,
        )
        if question.stream:
            return await self._streamed(job, question.stream, request)
        return JSONResponse(await self._queue.outcome(job, request.receive))

    async def change(self, request: Request) -> Response:
        fields = Fields(await sent_fields(request, self._limits))
        text, change = asked_change(fields)

        def changed(changes: list[Change], each_step: EachStep) -> list[dict[str, Any]]:
            return [asdict(self._task.change(self._run, text, each, each_step)) for each in changes]

        job = Job(call=changed, item=change, work=self._task.change_work(self._run, text))
        return JSONResponse({"text": text, **await self._queue.outcome(job, request.receive)})

    async def front(self, request: Request) -> Response:
        return front_page(
            name=self._name,
            kind=self._kind,
            language=language_of(query_fields(request), request.headers),
            examples=self._examples,
            featured=bool(getattr(self._run, "features", ())),
        )

    async def look(self, request: Request) -> Response:
        fields = Fields(await sent_fields(request, self._limits))
        text = fields.checked_text()
        fields.end()

        def pages(texts: list[str], each_step: EachStep) -> list[dict[str, Any]]:
            shown = []
            for text in texts:
                each = self._task.live(self._run, text, each_step)
                each_step()  # a page takes time too
                shown.append({"page": each.page().html, "tokens": each.tokens[: len(each.tokens) - each.continued]})
            return shown

        if len(text) > LONGEST_SHOWN:
            raise AttentioError(f"text has {len(text)} characters, more than the limit of {LONGEST_SHOWN} on the page")
        work = self._task.work(self._run, self._task.question(self._run, Fields({"text": text})))
        return JSONResponse(await self._queue.outcome(Job(call=pages, item=text, work=work), request.receive))

    async def _streamed(self, job: Job, stream: Callable[[], Iterator[dict[str, Any]]], request: Request) -> Response:
        """The pieces as they come, each a line of JSON; an error is the last."""
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()

        def call(_: list[Question], each_step: EachStep) -> list[None]:
            for piece in stream():
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
                each_step()
            return [None]

        answering = asyncio.create_task(self._queue.outcome(replace(job, call=call), request.receive))

        def done(answered: "asyncio.Task[Any]") -> None:
            if not answered.cancelled():
                answered.exception()  # asked for here, as nobody else does when the client has left
            pieces.put_nowait(None)

        answering.add_done_callback(done)
        first = await pieces.get()
        if first is None:
            await answering  # which raises

        async def lines() -> AsyncIterator[str]:
            piece = first
            while piece is not None:
                yield json.dumps(piece, ensure_ascii=False) + "\n"
                piece = await pieces.get()
            error = answering.exception()
            if isinstance(error, HTTPException):
                yield json.dumps({"error": error.detail}) + "\n"
            elif error:
                raise error

        return StreamingResponse(lines(), media_type="application/x-ndjson")
