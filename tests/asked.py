"""A request to the application that serves a run, without a port."""

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

from attentio.serving.answers import Answers
from attentio.serving.limits import Limits
from attentio.serving.metrics import Metrics
from attentio.serving.model_queue import ModelQueue


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one line that is all of the answer."""
        assert self.headers["content-type"].startswith("application/json")
        (name, told), *others = self.json.items()
        assert (name, others) == ("error", [])
        assert "\n" not in told
        return told


def asked(run: Any, path: str, *, page: bool = False, **fields: Any) -> Answer:
    """The answer of a server of its own: to fields as a query at /, as JSON elsewhere."""
    get = path in ("/", "/openapi.json")
    scope = {
        "type": "http",
        "method": "GET" if get else "POST",
        "path": path,
        "query_string": urlencode(fields).encode() if get else b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }
    return asyncio.run(_answer(run, page, scope, json.dumps(fields).encode()))


async def _answer(run: Any, page: bool, scope: dict[str, Any], body: bytes) -> Answer:
    limits, metrics, sent = Limits(), Metrics(), []
    queue = ModelQueue(limits, metrics)
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for part in parts:
            return part
        return await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await Answers(run, queue, metrics, limits).door(page=page)(scope, receive, send)
    finally:
        queue.close()
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:]))
