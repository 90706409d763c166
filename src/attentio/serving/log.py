"""The log of a server: a JSON object a line on standard error, and nothing in it that people send."""

import contextlib
import json
import logging
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from pathlib import Path

_MOST_UNWRITTEN = 10_000


class JsonLines(logging.Formatter):
    """Of an error it says what kind and where, never its message, which may quote a text."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            frames = traceback.extract_tb(record.exc_info[2])
            said["error"] = record.exc_info[0].__name__
            said["at"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(said)


class _Noting(QueueHandler):
    """Keeps the lines for the thread that writes them; loses some where nobody reads what is written."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


@contextmanager
def log_in_json() -> Iterator[None]:
    """Inside, what attentio, the HTTP server and asyncio log goes to standard error; no request waits for that."""
    records: queue.Queue[logging.LogRecord | None] = queue.Queue(_MOST_UNWRITTEN)

    def write() -> None:
        for record in iter(records.get, None):
            sys.stderr.write(f"{record.getMessage()}\n")
            sys.stderr.flush()

    handler = _Noting(records)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("attentio").setLevel(logging.INFO)
    writer = threading.Thread(target=write, name="log", daemon=True)
    writer.start()
    try:
        yield
    finally:
        with contextlib.suppress(queue.Full):
            records.put_nowait(None)
        writer.join(1)
