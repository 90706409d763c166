"""attentio align RUN < pairs.tsv > links: which source token each target token comes from, line by line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio.commands.arriving import Arriving, as_they_arrive
from attentio.commands.numbers import Count, Weight
from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.evaluation.alignment import Gold, Link

TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The model is forced to produce the target, and shows what it looks at for each token: i-j links source token\n"
        "i with target token j, counted from 0. A token that looks most at the end of the source has no link.\n"
        "Gold: one line per pair, i-j for sure links and i?j for possible ones; the error rate is reported on\n"
        "standard error (Och & Ney 2003)."
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run, of a model that translates; several with commas between answer together",
    )
    parser.add_argument("--soft", action="store_true", help="every link with its weight, i-j:p, instead of the best")
    parser.add_argument("--words", action="store_true", help="link words between spaces instead of the model's tokens")
    parser.add_argument(
        "--shift",
        action="store_true",
        help="the attention of the step that reads a token, not of the one that produces it",
    )
    parser.add_argument("--layer", type=Count, help="layer of a Transformer decoder, from 1 (default: the last)")
    parser.add_argument(
        "--threshold", type=Weight, metavar="P", help="smallest weight of a link (default: 0, with --soft 0.01)"
    )
    parser.add_argument("--mutual", action="store_true", help="only links that are the best for both their tokens")
    parser.add_argument("--gold", type=Path, metavar="FILE", help="report the alignment error rate against this file")
    parser.add_argument("--one-based", action="store_true", help="the gold file counts from 1")
    parser.add_argument("--bad-lines", choices=("stop", "skip"), default="stop", help="skip: leave their output empty")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.commands.unknown import UnknownTexts
    from attentio.data.lines import read_pair_lines
    from attentio.errors import AttentioError
    from attentio.evaluation.alignment import format_hard, format_soft, hard_links, read_gold, soft_links
    from attentio.runs.load import load_as
    from attentio.runs.translator import Run

    if arguments.one_based and not arguments.gold:
        raise AttentioError("--one-based says how --gold counts; give that too")
    if arguments.mutual and arguments.soft:
        raise AttentioError("--mutual chooses among the best links; leave it or --soft out")
    if arguments.gold and arguments.bad_lines == "skip":
        raise AttentioError("--gold is for pairs that are all good; leave it or --bad-lines skip out")
    gold = read_gold(arguments.gold, first=int(arguments.one_based)) if arguments.gold else []
    least = {} if arguments.threshold is None else {"threshold": float(arguments.threshold)}
    trained = load_as(
        Run, arguments.run, checkpoint=arguments.checkpoint, device=arguments.device, allow_code=arguments.allow_code
    )
    found: list[list[Link]] = []
    blank = 0
    arriving = Arriving(sys.stdin.buffer)
    how: dict[str, Any] = {"featured": bool(trained.features), "bad_lines": arguments.bad_lines}
    how["check"] = trained.check_pair
    lines, unknown = enumerate(read_pair_lines(arriving, "<stdin>", **how), start=1), UnknownTexts()
    for chunk in as_they_arrive(lines, arriving):
        pairs = [(trained.read_source(source), trained.read(target)) for _, (source, target) in chunk if source]
        aligned = zip(pairs, trained.align(pairs, layer=arguments.layer), strict=True)
        for number, (given, _) in chunk:
            if given:
                (source, target), one = next(aligned)
                unknown.note_pair(trained, source, target, number)
                matrix = one.matrix(words=arguments.words, shift=arguments.shift)
                end = matrix.shape[1] - 1
                links = [link for link in hard_links(matrix, mutual=arguments.mutual, **least) if link.source < end]
                sizes = (len(matrix), end)
                print(format_soft(soft_links(matrix[:, :end], **least)) if arguments.soft else format_hard(links))
            else:  # one line in stays one line out
                blank, links, sizes = blank + 1, [], (0, 0)
                print()
            if arguments.gold:
                _check_gold(gold, len(found), sizes, arguments.gold)
                found.append(links)
        sys.stdout.flush()
    unknown.end()
    if blank:
        print(said(f"lines that are blank or were skipped, which have no links: {blank:,}"), file=sys.stderr)
    if arguments.gold:
        if len(found) < len(gold):
            raise AttentioError(f"{arguments.gold} has {len(gold)} lines, but {len(found)} pairs were given")
        _tell(found, gold)
    return 0


def _check_gold(gold: "list[Gold]", index: int, sizes: tuple[int, int], path: Path) -> None:
    """AttentioError where the gold alignments do not fit the pairs. sizes: of the target and the source."""
    from attentio.errors import AttentioError

    if index >= len(gold):
        raise AttentioError(f"{path} has {len(gold)} lines, but more pairs were given")
    target, source = sizes
    for link in sorted(gold[index].possible):
        if link.source >= source or link.target >= target:
            raise AttentioError(
                f"{path}:{index + 1}: source {link.source} and target {link.target}, counted from 0, in a pair of "
                f"{source} and {target}; --one-based if the file counts from 1, --words if it counts words"
            )


def _tell(found: "list[list[Link]]", gold: "list[Gold]") -> None:
    from attentio.evaluation.alignment import score_alignments

    score = score_alignments(found, gold)
    told = (
        f"alignment error rate {score.error_rate:.2%}, precision {score.precision:.2%}, recall {score.recall:.2%}; "
        f"{len(found):,} pairs, {sum(map(len, found)):,} links"
    )
    print(said(told), file=sys.stderr)
