"""A server in a process of its own, and what to ask it with."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from asked import Answer

TESTS = Path(__file__).parents[1]
SLOW = Path(__file__).with_name("slow_server.py")
GENERATE = {"text": "ab", "max_tokens": 100, "seed": 1}


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that takes a moment."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


class Served(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    log: Path

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 20, **headers: str) -> Answer:
        """body: a dict is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body, named)
        reply = connection.getresponse()
        answer = Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        connection.close()
        return answer

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def logged(self, text: str) -> list[dict[str, Any]]:
        """The lines of the log, once this stands in one of them."""
        until(lambda: text in self.log.read_text())
        return [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def count(self, name: str) -> float:
        """A metric, all its labels together."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split()[0] == name)

    def begun(self) -> float:
        """How often the model has begun to answer."""
        return self.count("attentio_answered_together_count")

    def wait_until_busy(self, before: float) -> None:
        """Until a request is with the model; before: what `begun` was when it was sent."""
        until(lambda: self.begun() > before)


@contextmanager
def served(command: Sequence[str], folder: Path, shell: str = "") -> Iterator[Served]:
    """shell: what the process is started behind, such as a limit."""
    log = folder / "log"
    path = os.pathsep.join([str(TESTS), *sys.path])
    with (
        log.open("w") as errors,
        subprocess.Popen(
            ["bash", "-c", f'{shell} exec "$@"', "bash", sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert "http://127.0.0.1:" in said, log.read_text()
            yield Served(process, int(said.split("http://127.0.0.1:")[1].split()[0]), log)
        finally:
            process.kill()
        process.wait(10)


def slow_server(folder: Path, type: str, seconds: float, shell: str = "", **limits: float) -> Any:
    return served([str(SLOW), type, str(seconds), json.dumps(limits)], folder, shell)
