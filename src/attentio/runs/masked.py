"""Masked language models: their data, training, use and quality."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attentio.config.schema import Config, MaskingConfig
from attentio.data.part import Part
from attentio.errors import AttentioError
from attentio.runs import documents
from attentio.runs.build import MASKED_LM, Tokenizers, learn_tokenizer
from attentio.runs.directory import Contents
from attentio.runs.fields import NUMBERS_PER_TOKEN, Fields, Question
from attentio.runs.filler import MaskedRun
from attentio.runs.vocabulary import HOLES, random_ids
from attentio.text.protocol import AnyTokenizer

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import Tensor, nn

    from attentio.data.kept import Cache
    from attentio.evaluation.language import TokenScores
    from attentio.evaluation.report import Evaluation
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected
    from attentio.runs.watched import Fixed
    from attentio.text.tokenizer import Tokenizer
    from attentio.training.loop import Corpus, Validation

blueprint = MASKED_LM
run_class = MaskedRun
verb = "fill"
options: Mapping[str, frozenset[str]] = {
    "evaluate": frozenset({"pseudo_perplexity"}),
    "look": frozenset({"layer", "head"}),
}

look = documents.look
keep = documents.keep


def example(folder: str) -> str:
    return f'fill {folder} "a text with a [MASK] in it"'


def learn(config: Config, train: Part) -> "Tokenizers[Tokenizer]":
    one = learn_tokenizer(config.text.source, train.items, mask=True)
    return Tokenizers(one, one)


def corpus(
    config: Config, part: Part, tokenizers: Tokenizers[AnyTokenizer], *, seed: int, cache: "Cache | None" = None
) -> "Corpus":
    masking = replace(config.masking, rate=config.masking.training_rate or config.masking.rate)
    return _texts(config, masking, part, tokenizers, seed=seed, cache=cache)


def questions(config: Config, part: Part, tokenizers: Tokenizers[AnyTokenizer]) -> "Corpus":
    """The text with holes that is measured on, the same ones at every validation and evaluation."""
    return _texts(config, config.masking, part, tokenizers, seed=0)


def _texts(
    config: Config,
    masking: MaskingConfig,
    part: Part,
    tokenizers: Tokenizers[AnyTokenizer],
    *,
    seed: int,
    cache: "Cache | None" = None,
) -> "Corpus":
    from attentio.data.masked_texts import MaskedTexts

    return MaskedTexts(
        part.items,
        tokenizers.source,
        masking=masking,
        block=config.text.block,
        batch_tokens=config.training.batch_tokens,
        seed=seed,
        cache=cache,
    )


def notes(contents: Contents, corpus: "Corpus", dev: Part) -> list[str]:
    return []


def metrics(config: Config) -> list[str]:
    return ["masked-accuracy", "masked-perplexity"]


def validation(contents: Contents, dev: Part, say: Callable[[str], None]) -> "Callable[[nn.Module], Validation]":
    config = contents.config
    return documents.validation(config, questions(config, dev, contents.tokenizers), say, _figures)


def _figures(found: "TokenScores") -> dict[str, float]:
    return {"masked-accuracy": found.accuracy, "masked-perplexity": found.perplexity}


def evaluate(run: MaskedRun, part: Part, bar: "Progress", *, pseudo_perplexity: int | None = None) -> "Evaluation":
    """How well masked tokens are predicted. The holes are those of every validation: the same seed draws them."""
    from attentio.evaluation.language import score_tokens
    from attentio.evaluation.metrics import Score

    started = time.perf_counter()
    found, scores = None, []
    if run.config.data.train:
        holes = questions(run.config, part, Tokenizers(run.tokenizer, run.tokenizer))
        batches = (holes.load(one, 0) for one in bar.track(holes.epoch_batches(0), description="holes"))
        found = score_tokens(run.model, batches)  # type: ignore[arg-type]
        scores.append(Score("masked-accuracy", found.accuracy, True, None))
        scores.append(Score("masked-perplexity", found.perplexity, False, None))
    elif not pseudo_perplexity:
        raise AttentioError(f"{run.path} does not say how to draw holes; give --pseudo-perplexity N")
    if pseudo_perplexity:
        alone = _one_by_one(run, part, pseudo_perplexity, bar)
        scores.append(Score("pseudo-perplexity", alone.perplexity, False, None))
        found = found or alone
    assert found is not None
    title = "prediction of masked tokens from all the others"
    return documents.report(run, part, found, scores, title=title, seconds=time.perf_counter() - started)


def _one_by_one(run: MaskedRun, part: Part, count: int, bar: "Progress") -> "TokenScores":
    """Every token of some documents, masked alone."""
    from attentio.evaluation.language import masked_one_by_one, score_tokens

    chosen = np.random.default_rng(0).permutation(len(part.items))[:count]
    batches = masked_one_by_one(
        run.rows([part.items[i] for i in sorted(chosen)]),
        mask=run.mask,
        special=run.tokenizer.special_ids,
        batch_tokens=run.config.training.batch_tokens,
    )
    copies = bar.track(batches, description="one by one", total=None)
    return score_tokens(run.model, copies)  # type: ignore[arg-type]


def to_watch(contents: Contents, dev: Part, count: int) -> "Fixed":
    from attentio.runs.watched import fixed_rows

    run = MaskedRun.of(contents)
    return fixed_rows((run.rows([text])[0] for text in dev.items), run.tokenizer, count=count, lengths=True)


def example_inputs(run: MaskedRun) -> "dict[str, Tensor]":
    return {"tokens": random_ids(run.tokenizer, rows=3, length=11), "lengths": torch.tensor([11, 4, 7])}


def question(run: MaskedRun, fields: Fields) -> Question:
    text = fields.checked_text()
    top = fields.whole("top", 5, least=1, most=100) or 1
    fields.end()
    return Question(text=text, options={"top": top}, together=True)


def work(run: MaskedRun, question: Question) -> int:
    ids = run.encode(question.text)
    written = ids.count(run.mask) * question.options["top"] * len(ids)  # each candidate comes with the whole text
    return int(len(ids) + written // NUMBERS_PER_TOKEN)


def answers(run: MaskedRun, questions: Sequence[Question], each_step: Callable[[], None]) -> list[dict[str, Any]]:
    texts = [question.text for question in questions]
    each_step()  # a reading is one step
    return [
        {"text": text, "holes": [[vars(candidate) for candidate in candidates] for candidates in holes]}
        for text, holes in zip(texts, run.fill_all(texts, **questions[0].options), strict=True)
    ]


def change(run: MaskedRun, text: str, change: "Change", each_step: Callable[[], None]) -> "Changed":
    return run.change(text, change, each_step=each_step)


def change_work(run: MaskedRun, text: str) -> int:
    return 2 * len(run.encode(text))


def to_try(text: str) -> str:
    """With a hole in its middle."""
    words = text.split()
    words[len(words) // 2] = HOLES[0]
    return " ".join(words)


def live(run: MaskedRun, text: str, each_step: Callable[[], None]) -> "Inspected":
    return run.inspect(text, each_step=each_step)


def transformers_snippet(folder: Path) -> str:
    return documents.transformers_snippet(folder, verb="fill", task="fill-mask", text="... <mask> ...")
