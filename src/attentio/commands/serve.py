"""attentio serve RUN [--page]: a trained model on a port of this machine."""

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path

from jsonargparse.typing import restricted_number_type

HELP = "answer requests over HTTP: JSON, and with --page a live page of what the model looks at"
TAKES_OVERRIDES = False

Port = restricted_number_type("Port", int, [(">=", 0), ("<=", 65535)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'POST /translate, /fill or /generate, as the model is, with {"text": "..."}; the answer is JSON too.\n'
        "One call of the model runs at a time. Ctrl-C ends it."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory, made by attentio train")
    parser.add_argument("--page", action="store_true", help="at /, a page to type a text and see its attention")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=Port, default=8000, help="0 for any that is free (default: 8000)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.commands.answers import routes
    from attentio.commands.run import load
    from attentio.serving.server import Server

    trained = load(arguments.run)
    server = Server(arguments.host, arguments.port, routes(trained, page=arguments.page))
    print(f"{arguments.run} at {server.url} (Ctrl-C ends it)", flush=True)
    if not server.local:
        print("Everybody who reaches this machine over the network can use it.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what stops services ends this one as Ctrl-C does
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("ended", flush=True)
    finally:
        server.close()
    return 0
