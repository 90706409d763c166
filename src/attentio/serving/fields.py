"""The fields of a request: of its query, a form or a JSON object."""

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

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
_MOST_FIELDS = 20


async def sent_fields(request: Request, content_type: str, limits: Limits) -> dict[str, Any]:
    """What stands in the body.

    Raises:
        HTTPException: it is of another content type, too large, or too slow.
        AttentioError: it cannot be read.
    """
    given = request.headers.get("content-type", "nothing").partition(";")[0].strip().lower()
    if given != content_type:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be {content_type}, got {given}")
    try:
        async with asyncio.timeout(limits.patience):
            body = await _body(request, limits.body)
    except TimeoutError:
        told = f"the request took longer to arrive than the limit of {limits.patience:g} seconds"
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, told) from None
    try:
        text = body.decode()
        found = _flat(text) if content_type == FORM else json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise AttentioError(f"the body cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise AttentioError("the body must be a JSON object")
    return found


def query_fields(request: Request) -> dict[str, str]:
    """What stands in the address after the question mark. AttentioError for what cannot be read."""
    try:
        return _flat(request.scope["query_string"].decode("ascii"))
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


def _flat(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    return _once(pairs)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is there twice")
    return found
