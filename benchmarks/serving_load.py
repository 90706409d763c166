"""Requests a second, latency and memory of `attentio serve`, of several servers in turn.

    python benchmarks/serving_load.py words.txt "attentio serve runs/cmudict --port 0" "other/bin/attentio serve .."

Each connection asks again as soon as it is answered: one line of words.txt a request, at /translate. The last line of
each server says what the SIGTERM at the end did: statuses, and errors of requests that were sent and got no answer.
"""

import argparse
import asyncio
import json
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles

import aiohttp


class Server:
    """One that runs, and what was measured of it."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.process = subprocess.Popen(
            shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        self.url = next((word for word in said.split() if word.startswith("http://")), "")
        if not self.url:
            sys.exit(f"{command}: does not say where it is")
        self.rates: list[float] = []
        self.seconds: list[float] = []
        self.megabytes: list[int] = []
        self.outcomes: Counter[str] = Counter()

    def memory(self) -> int:
        """Megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024


async def load(server: Server, words: Iterator[str], connections: int, seconds: float, end_early: bool = False) -> None:
    """All connections for some seconds; end_early: until the server ends, which it is told to after half of them."""
    until, answered = time.perf_counter() + seconds, 0

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while time.perf_counter() < until:
            began = time.perf_counter()
            try:
                async with session.post(f"{server.url}/translate", json={"text": next(words)}) as reply:
                    await reply.read()
                    server.outcomes[str(reply.status)] += 1
                    answered += reply.status == 200
            except aiohttp.ClientConnectorError:  # nothing was accepted
                return
            except aiohttp.ClientError as error:
                server.outcomes[type(error).__name__] += 1
            else:
                server.seconds.append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        clients = [asyncio.create_task(ask(session)) for _ in range(connections)]
        if end_early:
            await asyncio.sleep(seconds / 2)
            server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*clients)
    server.rates.append(answered / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", type=Path)
    parser.add_argument("commands", nargs="+")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5, help="the servers take turns in each")
    options = parser.parse_args()
    words = cycle(options.words.read_text(encoding="utf-8").splitlines())
    servers = [Server(command) for command in options.commands]
    for server in servers:
        asyncio.run(load(server, words, options.connections, 2))  # warm
        server.rates.clear()
        server.seconds.clear()
    for _ in range(options.rounds):
        for server in servers:
            asyncio.run(load(server, words, options.connections, options.seconds))
            server.megabytes.append(server.memory())
    for server in servers:
        cuts = quantiles(server.seconds, n=100)
        figures = {
            "requests_per_second": round(median(server.rates)),
            "p50_ms": round(1000 * cuts[49]),
            "p99_ms": round(1000 * cuts[98]),
            "megabytes_after_each_round": server.megabytes,
            "outcomes": dict(server.outcomes),
        }
        server.outcomes.clear()
        print(server.command, json.dumps(figures), sep="\n  ", flush=True)
        began = time.perf_counter()
        asyncio.run(load(server, words, options.connections, options.seconds, end_early=True))
        server.process.wait(120)
        ended = time.perf_counter() - began - options.seconds / 2
        print(f"  ended in {ended:.1f} s: {json.dumps(server.outcomes)}", flush=True)


if __name__ == "__main__":
    main()
