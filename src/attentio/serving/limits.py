"""What a server takes on."""

from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.exceptions import HTTPException

from attentio.system import most_open_files


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Times are seconds.

    deadline: from a request's arrival to its answer, the wait for the model included.
    work: tokens that the model reads and writes for a request, each hypothesis counted by itself; and for requests
        that it answers together, each counted as the largest.
    waiting: requests that wait for the model. together: those that it answers in one call.
    body: bytes of a request. patience: that a client may take to send a request, or to take in a part of its answer.
    grace: that requests in hand get when the server ends.
    connections: at a time; half of the files that the process may open, since the model and the log need some too.
    """

    deadline: float = 30.0
    work: int = 20_000
    waiting: int = 256
    together: int = 64
    body: int = 2**16
    patience: float = 10.0
    grace: float = 10.0
    connections: int = field(default_factory=lambda: min(1024, most_open_files() // 2))


def try_again(status: HTTPStatus, message: str) -> HTTPException:
    """What is refused now may be answered later."""
    return HTTPException(status, f"{message}; try again", {"Retry-After": "2"})
