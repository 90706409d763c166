"""attentio evaluate RUN [--data FILE]: a model's quality on held-out data, as a table and as JSON."""

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse.typing import PositiveInt

from attentio.errors import AttentioError

if TYPE_CHECKING:
    from attentio.commands.run import Run

HELP = "measure a model's quality on held-out data: translations by free decoding, language models by what they foresee"
TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory, made by attentio train")
    parser.add_argument(
        "--data", metavar="FILE", help="pairs, or text, to measure on (default: the run's data.test, or data.dev)"
    )
    parser.add_argument("--beam", type=PositiveInt, help="hypotheses a sentence; 1 is greedy (default: as configured)")
    parser.add_argument("--metrics", help="comma-separated: wer, per, exact, bleu, chrf, ter (default: as configured)")
    parser.add_argument(
        "--pseudo-perplexity",
        type=PositiveInt,
        metavar="N",
        help="of a masked language model: also mask every token of N documents, one at a time",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write (default: RUN/evaluation)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.commands.evaluate_language import evaluate_language
    from attentio.commands.run import Run, load

    trained = load(arguments.run)
    data = arguments.data or trained.config.data.test or trained.config.data.dev
    if not data:
        raise AttentioError(f"{arguments.run} was not trained by attentio and names no data; give --data FILE")
    if isinstance(trained, Run):
        return _evaluate_translation(trained, data, arguments)
    return evaluate_language(trained, data, arguments)


def _evaluate_translation(trained: "Run", data: str, arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from attentio.data.pairs import group_references, read_pairs
    from attentio.evaluation.by_length import by_source_length
    from attentio.evaluation.metrics import score
    from attentio.evaluation.report import as_json, length_table, score_table

    if arguments.pseudo_perplexity:
        raise AttentioError("--pseudo-perplexity is a figure of masked language models; leave it out")
    config = trained.config
    options: dict[str, Any] = {"units": config.evaluation.units, "bleu_tokenize": config.evaluation.bleu_tokenize}
    metrics = arguments.metrics.split(",") if arguments.metrics else config.evaluation.metrics
    pairs = read_pairs(data, bad_lines=config.data.bad_lines)
    examples = group_references(pairs.pairs)
    references = [example.references for example in examples]
    score(["x"], [["x"]], metrics=metrics, **options)  # an unknown metric is told before the long work

    console = Console(stderr=True, emoji=False, highlight=False)
    started = time.perf_counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("decoding", total=len(examples))
        found = trained.candidates(
            [example.source for example in examples],
            beam=arguments.beam,
            attention=False,
            progress=lambda done: bar.advance(task, done),
        )
    seconds = time.perf_counter() - started
    outputs = [best[0] for best in found]
    texts = [output.text for output in outputs]
    scores = score(texts, references, metrics=metrics, **options)
    bins = by_source_length(
        [len(output.source_tokens) - 1 for output in outputs], texts, references, metric=metrics[0], **options
    )

    folder = arguments.out or arguments.run / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    report = as_json(scores, bins) | {
        "data": pairs.name,
        "sources": len(examples),
        "skipped_lines": len(pairs.skipped),
        "beam": arguments.beam or config.decoding.beam,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "seconds": seconds,
        "output_tokens_per_second": sum(len(output.tokens) for output in outputs) / seconds,
    }
    (folder / "scores.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with (folder / "outputs.tsv").open("w", encoding="utf-8") as file:
        for example, text in zip(examples, texts, strict=True):
            columns = (example.source, text, *example.references)
            file.write("\t".join(re.sub(r"[\t\n]", " ", column) for column in columns) + "\n")

    table = Console(emoji=False, highlight=False)
    table.print(f"{pairs.name}: {len(examples):,} sources, beam {report['beam']}, {seconds:.1f} s")
    if pairs.skipped:
        table.print(f"skipped {len(pairs.skipped):,} bad lines; the first: {pairs.skipped[0]}", markup=False)
    table.print(score_table(scores))
    table.print(length_table(bins))
    console.print(f"wrote {folder / 'scores.json'} and {folder / 'outputs.tsv'}", soft_wrap=True)
    return 0
