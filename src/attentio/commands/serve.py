"""attentio serve RUN [--page]: a trained model on a port of this machine."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from attentio.commands.engine import add_engine, with_engine
from attentio.commands.numbers import Port, Seconds

TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'POST /translate, /fill, /generate or /label, as the model is, with {"text": "..."}; the answer is JSON.\n'
        "GET /openapi.json describes it; /health, /ready and /metrics are for those who watch it. Ctrl-C ends it."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory, a bundle, or a model that comes along")
    parser.add_argument("--page", action="store_true", help="serve a page at /, to type a text and see its attention")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=Port, default=8000, help="0 for any free port (default: 8000)")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name or address that people call this server by; needed for any --host but this machine's own",
    )
    parser.add_argument(
        "--deadline", type=Seconds, default=30.0, metavar="SECONDS", help="for each answer (default: 30)"
    )
    add_engine(parser)


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    # Requests that are answered together have ever new shapes; for each, oneDNN would keep a plan, up to 1,024 of them.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")

    from attentio.runs.load import load
    from attentio.runs.places import resolve
    from attentio.serving.answers import Answers
    from attentio.serving.limits import Limits
    from attentio.serving.log import log_in_json
    from attentio.serving.metrics import Metrics
    from attentio.serving.model_queue import ModelQueue
    from attentio.serving.names import is_loopback, names_of
    from attentio.serving.server import Server

    names = names_of(arguments.host, arguments.allow_host)
    trained = load(
        resolve(arguments.run),
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        allow_code=arguments.allow_code,
    )
    trained = with_engine(trained, arguments.engine)
    limits, metrics = Limits(deadline=float(arguments.deadline)), Metrics()
    queue = ModelQueue(limits, metrics)
    door = Answers(trained, queue, metrics, limits).door(page=arguments.page, names=names)
    server = Server(arguments.host, arguments.port, door, queue, limits)
    print(f"{arguments.run} at {server.url} (Ctrl-C ends it)", flush=True)
    if not is_loopback(arguments.host):
        print("Everybody who reaches this machine over the network can use it.", flush=True)
    with log_in_json():
        server.run()
    print("ended", flush=True)
    return 0
