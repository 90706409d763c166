"""The command line: `attentio VERB ...`. Errors that the user can mend are one line and exit code 2."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from attentio.commands.process import settle
from attentio.errors import AttentioError

VERBS = ("train", "translate", "fill", "generate", "evaluate", "compare", "look", "align", "doctor", "serve", "export")
"""One module of this folder each. They import torch and the like only when they run, so that --help is quick."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0, 2 for a user's mistake, 128 + n when stopped by signal n."""
    settle()
    parser = argparse.ArgumentParser(
        prog="attentio",
        description="Attention from A to Z: train it, use it, look inside.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"attentio {version('attentio')}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs = {verb: import_module(f"attentio.commands.{verb}") for verb in VERBS}
    for name, module in verbs.items():
        subparser = subparsers.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
    arguments, rest = parser.parse_known_args(argv)
    verb = verbs[arguments.verb]
    if rest and not verb.TAKES_OVERRIDES:
        parser.error(f"{arguments.verb} does not know {rest[0]!r}; see attentio {arguments.verb} --help")
    try:
        return int(verb.run(arguments, rest))
    except AttentioError as error:
        print(f"attentio: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a full disk, a folder without permission
        print(f"attentio: {error.filename or 'writing'}: {error.strerror}; nothing more was written", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
