"""attentio label RUN < in > out: the labels of each line, one line in, one line out, in order."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from attentio.commands.arriving import Arriving, as_they_arrive
from attentio.commands.words import said

TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "A line gets a label for each of its words, with spaces between them, or one label, as was learnt."
    parser.add_argument("run", metavar="RUN", type=Path, help="a run, of a labeller")
    parser.add_argument("--json", action="store_true", help="write one JSON object per line, with the probabilities")
    parser.add_argument("--bad-lines", choices=("stop", "skip"), default="stop", help="skip: leave their output empty")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.commands.unknown import UnknownTexts
    from attentio.data.lines import read_sources
    from attentio.runs.labeller import LabelRun
    from attentio.runs.load import load_as

    trained = load_as(
        LabelRun,
        arguments.run,
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        allow_code=arguments.allow_code,
    )
    arriving = Arriving(sys.stdin.buffer)
    lines = read_sources(arriving, "<stdin>", bad_lines=arguments.bad_lines)
    unknown, cut = UnknownTexts(), 0
    for chunk in as_they_arrive(lines, arriving):
        found = iter(trained.label([text for _, text in chunk if text]))
        for number, text in chunk:
            one = next(found) if text else None
            if one is None:
                print("{}" if arguments.json else "")
                continue
            unknown.note(one.unknown, f"line {number}")
            cut += one.cut
            written = {"words": one.words, "labels": one.labels, "probabilities": one.probabilities}
            print(json.dumps(written, ensure_ascii=False) if arguments.json else " ".join(one.labels))
        sys.stdout.flush()
    unknown.end()
    if cut:
        told = f"of {cut:,} texts only the beginning was read, text.block ({trained.config.text.block}) tokens"
        print(said(told), file=sys.stderr)
    return 0
