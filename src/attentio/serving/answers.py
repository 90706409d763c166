"""What a served run answers, by path: a request's fields checked, the model asked, the result as JSON or as a page."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, Router

from attentio.errors import AttentioError
from attentio.runs.fields import Fields, Question
from attentio.runs.places import SUFFIX
from attentio.runs.tasks import AnyRun, task_of
from attentio.serving.door import Door
from attentio.serving.fields import FORM, JSON, query_fields, sent_fields
from attentio.serving.limits import Limits
from attentio.serving.live import IN_A_FRAME, LONGEST_SHOWN, failure_page, form_page, language_of, page_reply
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

    def door(self, *, page: bool, names: Collection[str] = LOOPBACK) -> Door:
        """The whole application. names: by which the server may be called."""
        routes = [
            Route("/", self.form if page else self.about),
            Route(self.verb, self.answer, methods=["POST"]),
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
        return Door(router, paths=paths, names=names, metrics=self._metrics, refusals={"/look": failure_page})

    async def about(self, request: Request) -> Response:
        return JSONResponse({"run": self._name, "model": self._kind, "post": [self.verb]})

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
        question = self._task.question(self._run, Fields(await sent_fields(request, JSON, self._limits)))
        job = Job(
            call=lambda questions, each_step: self._task.answers(self._run, questions, each_step),
            item=question,
            work=self._task.work(self._run, question),
            kind=tuple(question.options.items()) if question.together else None,
        )
        if question.stream:
            return await self._streamed(job, question.stream, request)
        return JSONResponse(await self._queue.outcome(job, request.receive))

    async def form(self, request: Request) -> Response:
        title = f"attentio · {self._name}"
        return form_page(title=title, kind=self._kind, language=language_of(query_fields(request), request.headers))

    async def look(self, request: Request) -> Response:
        given = await sent_fields(request, FORM, self._limits)
        fields = Fields(given)
        text = fields.checked_text()
        fields.text("language", "")
        fields.end()
        language = language_of(given, request.headers)

        def page(texts: list[str], each_step: EachStep) -> list[str]:
            return [self._task.live(self._run, text, each_step).page(language=language).html for text in texts]

        if len(text) > LONGEST_SHOWN:
            raise AttentioError(f"text has {len(text)} characters, more than the limit of {LONGEST_SHOWN} on the page")
        work = self._task.work(self._run, self._task.question(self._run, Fields({"text": text})))
        html = await self._queue.outcome(Job(call=page, item=text, work=work), request.receive)
        return page_reply(html, policy=IN_A_FRAME)

    async def _streamed(self, job: Job, stream: Callable[[], Iterator[dict[str, Any]]], request: Request) -> Response:
        """The pieces as they come, each a line of JSON; an error is the last."""
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()

        def call(_: list[Question], each_step: EachStep) -> list[None]:
            for piece in stream():
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
                each_step()
            return [None]

        answering = asyncio.create_task(self._queue.outcome(replace(job, call=call), request.receive))
        answering.add_done_callback(lambda _: pieces.put_nowait(None))
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
