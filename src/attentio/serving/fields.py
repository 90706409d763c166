"""The fields of a request: of its query, or a JSON object."""

import asyncio
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from attentio.errors import AttentioError
from attentio.serving.limits import Limits

_JSON = "application/json"
_MOST_FIELDS = 20


async def sent_fields(request: Request, limits: Limits) -> dict[str, Any]:
    """What stands in the body.

    Raises:
        HTTPException: it is of another content type, too large, or too slow.
        AttentioError: it cannot be read.
    """
    given = request.headers.get("content-type", "nothing").partition(";")[0].strip().lower()
    if given != _JSON:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be {_JSON}, got {given}")
    try:
        async with asyncio.timeout(limits.patience):
            body = await _body(request, limits.body)
    except TimeoutError:
        told = f"the request took longer to arrive than the limit of {limits.patience:g} seconds"
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, told) from None
    try:
        found = json.loads(body.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise AttentioError(f"the body cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise AttentioError("the body must be a JSON object")
    return found


def query_fields(request: Request) -> dict[str, str]:
    """What stands in the address after the question mark. AttentioError for what cannot be read."""
    try:
        text = request.scope["query_string"].decode("ascii")
        return _once(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise AttentioError(f"the query cannot be read: {error}") from None


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    promised = int(request.headers.get("content-length", 0))  # the HTTP parser has refused what is no number
    if promised <= limit:
        async for part in request.stream():
            body += part
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more bytes than the limit of {limit}")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is there twice")
    return found
