"""What `attentio evaluate` measures of a language model: how well it foresees the tokens of held-out text."""

import argparse
import json
import time

import numpy as np
from rich.console import Console
from rich.progress import Progress

from attentio.commands.build import Tokenizers
from attentio.commands.causal_run import CausalRun
from attentio.commands.corpora import Part, make_corpus, read_part
from attentio.commands.masked_run import MaskedRun
from attentio.errors import AttentioError
from attentio.evaluation.language import UNASKED, Foreseen, foresee, masked_one_by_one, next_tokens
from attentio.evaluation.metrics import Score
from attentio.evaluation.report import as_json, score_table
from attentio.text.tokenizer import Tokenizer


def evaluate_language(trained: MaskedRun | CausalRun, data: str, arguments: argparse.Namespace) -> int:
    """Measure, write `scores.json` and print a table. Returns the exit code."""
    if arguments.beam or arguments.metrics:
        raise AttentioError("--beam and --metrics are for models that translate; leave them out")
    if arguments.pseudo_perplexity and isinstance(trained, CausalRun):
        raise AttentioError("--pseudo-perplexity is a figure of masked language models; leave it out")
    part = read_part(trained.config, data)
    console = Console(stderr=True, emoji=False, highlight=False)
    started = time.perf_counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        if isinstance(trained, MaskedRun):
            title = "prediction of masked tokens from all the others"
            found, scores = _masked(trained, part, arguments.pseudo_perplexity or 0, bar)
        else:
            title = "prediction of each token from the true ones before it"
            found, scores = _causal(trained, part, bar)
    seconds = time.perf_counter() - started
    unknown = sum(token == trained.tokenizer.unknown for row in trained.rows(part.items) for token in row)

    folder = arguments.out or arguments.run / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    report = as_json(scores) | {
        "data": part.name,
        "documents": len(part.items),
        "skipped_lines": len(part.skipped),
        "tokens": found.tokens,
        "unknown_tokens": unknown,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "seconds": seconds,
    }
    (folder / "scores.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    table = Console(emoji=False, highlight=False)
    table.print(f"{part.name}: {len(part.items):,} documents, {found.tokens:,} tokens foreseen, {seconds:.1f} s")
    if part.skipped:
        table.print(f"skipped {len(part.skipped):,} bad lines; the first: {part.skipped[0]}", markup=False)
    if unknown:
        table.print(f"{unknown:,} tokens are unknown to the vocabulary; what they stand for is not measured")
    table.print(score_table(scores, title=title))
    console.print(f"wrote {folder / 'scores.json'}", soft_wrap=True)
    return 0


def _masked(trained: MaskedRun, part: Part, pseudo: int, bar: Progress) -> tuple[Foreseen, list[Score]]:
    """The holes are those of every validation: the same seed draws them."""
    config, tokenizer = trained.config, trained.tokenizer
    found, scores = None, []
    if isinstance(tokenizer, Tokenizer):
        corpus = make_corpus(config, part, Tokenizers(tokenizer, tokenizer), seed=0)
        numbers = corpus.epoch_batches(0)
        holes = (corpus.load(one, 0) for one in bar.track(numbers, description="holes"))
        found = foresee(trained.model, holes)  # type: ignore[arg-type]
        scores.append(Score("masked-accuracy", found.accuracy, True, None))
        scores.append(Score("masked-perplexity", found.perplexity, False, None))
    elif not pseudo:
        raise AttentioError(f"{trained.path} does not say how to draw holes; give --pseudo-perplexity N")
    if pseudo:
        chosen = np.random.default_rng(0).permutation(len(part.items))[:pseudo]
        batches = masked_one_by_one(
            trained.rows([part.items[i] for i in sorted(chosen)]),
            mask=trained.mask,
            special=tokenizer.special_ids,
            batch_tokens=config.training.batch_tokens,
        )
        copies = bar.track(batches, description="one by one", total=None)
        alone = foresee(trained.model, copies, unasked=UNASKED)  # type: ignore[arg-type]
        scores.append(Score("pseudo-perplexity", alone.perplexity, False, None))
        found = found or alone
    assert found is not None
    return found, scores


def _causal(trained: CausalRun, part: Part, bar: Progress) -> tuple[Foreseen, list[Score]]:
    """Every document by itself, in windows that overlap where it is long."""
    config = trained.config
    batches = next_tokens(trained.rows(part.items), block=config.text.block, batch_tokens=config.training.batch_tokens)
    windows = bar.track(batches, description="tokens", total=None)
    found = foresee(trained.model, windows, unasked=UNASKED)  # type: ignore[arg-type]
    size = sum(len(document.encode()) for document in part.items)
    return found, [
        Score("perplexity", found.perplexity, False, None),
        Score("bits-per-byte", found.bits_per_byte(size), False, None),
    ]
