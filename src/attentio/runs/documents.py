"""What the kinds of language models have in common: their data, validation, and attention within a text."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio.config.schema import Config
from attentio.data.part import Part
from attentio.errors import AttentioError
from attentio.runs.build import Tokenizers
from attentio.runs.filler import MaskedRun
from attentio.runs.generator import CausalRun
from attentio.runs.labeller import LabelRun
from attentio.runs.outputs import AttentionPicture

if TYPE_CHECKING:
    from torch import nn

    from attentio.evaluation.language import TokenScores
    from attentio.evaluation.metrics import Score
    from attentio.evaluation.report import Evaluation
    from attentio.training.loop import Corpus, Validation

_SNIPPET = """\
    from transformers import pipeline
    {verb} = pipeline("{task}", {out!r})
    {verb}("{text}")"""


def keep(config: Config, train: Part, known: Tokenizers[Any]) -> Tokenizers[Any]:
    """The vocabulary of a model that training begins with, and what it lacks of the data for `text.extend`."""
    one = known.source.extended(train.items) if config.text.extend else known.source
    return Tokenizers(one, one)


def validation(
    config: Config, corpus: "Corpus", say: Callable[[str], None], figures: "Callable[[TokenScores], dict[str, float]]"
) -> "Callable[[nn.Module], Validation]":
    """How well the tokens of some fixed batches are predicted. figures: what is told of it."""
    from attentio.data.batches import IGNORE_INDEX
    from attentio.evaluation.language import score_tokens
    from attentio.training.loop import Validation

    batches = [corpus.load(indices, 0) for indices in corpus.epoch_batches(0)[: config.training.validation_size]]
    if not any((batch.labels != IGNORE_INDEX).any() for batch in batches):
        raise AttentioError("dev: no token of it is to be predicted; give more text")

    def validate(model: "nn.Module") -> Validation:
        found = score_tokens(model, batches)  # type: ignore[arg-type]
        scores = figures(found)
        summary = ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
        say(f"dev, {found.tokens:,} tokens: {summary}")
        return Validation(-math.log(found.perplexity), scores)

    return validate


def report(
    run: MaskedRun | CausalRun,
    part: Part,
    found: "TokenScores",
    scores: "list[Score]",
    *,
    title: str,
    seconds: float,
) -> "Evaluation":
    """What was found out about the documents, and how much of them the vocabulary does not know."""
    from attentio.evaluation.report import Evaluation

    unknown = sum(token == run.tokenizer.unknown for row in run.rows(part.items) for token in row)
    told = f"{unknown:,} tokens are unknown to the vocabulary; what they stand for is not measured"
    return Evaluation(
        title=title,
        summary=f"{len(part.items):,} documents, {found.tokens:,} predicted tokens, {seconds:.1f} s",
        scores=scores,
        facts={
            "documents": len(part.items),
            "tokens": found.tokens,
            "unknown_tokens": unknown,
            "seconds": seconds,
        },
        notes=[told] if unknown else [],
    )


def look(
    run: MaskedRun | CausalRun | LabelRun, text: str, *, layer: int | None = None, head: int | None = None
) -> AttentionPicture:
    """From the tokens of a text to one another; by default in the last layer, the mean of its heads."""
    tokens, weights = run.attention(text)
    layers, heads = weights.shape[:2]
    for name, asked, count in (("layer", layer, layers), ("head", head, heads)):
        if asked and asked > count:
            raise AttentioError(f"--{name} {asked}: the model has {count} of them")
    of_layer = weights[(layer or layers) - 1]
    shown = of_layer[head - 1] if head else of_layer.mean(dim=0)
    which = f"head {head}" if head else f"mean of {heads} heads"
    return AttentionPicture(run.read(text), f"layer {layer or layers}, {which}", shown, tokens, tokens)


def transformers_snippet(folder: Path, **parts: Any) -> str:
    """Python that opens an exported model with a pipeline of transformers."""
    return _SNIPPET.format(out=folder.as_posix(), **parts)
