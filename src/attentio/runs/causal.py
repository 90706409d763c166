"""Causal language models: their data, training, use and quality."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio.config.schema import Config
from attentio.data.part import Part
from attentio.decoding.sampling import Sampling
from attentio.errors import AttentioError
from attentio.runs import documents
from attentio.runs.build import CAUSAL_LM, Tokenizers, learn_tokenizer
from attentio.runs.directory import Contents
from attentio.runs.fields import Fields, Question
from attentio.runs.generator import CausalRun
from attentio.runs.vocabulary import random_ids
from attentio.text.protocol import AnyTokenizer

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import Tensor, nn

    from attentio.data.kept import Cache
    from attentio.evaluation.report import Evaluation
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected
    from attentio.runs.watched import Fixed
    from attentio.text.tokenizer import Tokenizer
    from attentio.training.loop import Corpus, Validation

blueprint = CAUSAL_LM
run_class = CausalRun
verb = "generate"
options: Mapping[str, frozenset[str]] = {"evaluate": frozenset(), "look": frozenset({"layer", "head"})}

LIVE_TOKENS = 24
"""Most tokens that the live page goes on with."""

_NUMBERS = {"temperature": 1.0, "top_p": None, "min_p": None, "repetition_penalty": 1.0}

look = documents.look
keep = documents.keep


def example(folder: str) -> str:
    return f'generate {folder} "a beginning"'


def learn(config: Config, train: Part) -> "Tokenizers[Tokenizer]":
    one = learn_tokenizer(config.text.source, train.items)
    return Tokenizers(one, one)


def corpus(
    config: Config, part: Part, tokenizers: Tokenizers[AnyTokenizer], *, seed: int, cache: "Cache | None" = None
) -> "Corpus":
    from attentio.data.packing import PackedTexts

    return PackedTexts(
        part.items,
        tokenizers.source,
        block=config.text.block,
        batch_tokens=config.training.batch_tokens,
        seed=seed,
        cache=cache,
    )


def notes(contents: Contents, corpus: "Corpus", dev: Part) -> list[str]:
    return []


def metrics(config: Config) -> list[str]:
    return ["perplexity"]


def validation(contents: Contents, dev: Part, say: Callable[[str], None]) -> "Callable[[nn.Module], Validation]":
    config = contents.config
    batches = corpus(config, dev, contents.tokenizers, seed=0)
    return documents.validation(config, batches, say, lambda found: {"perplexity": found.perplexity})


def evaluate(run: CausalRun, part: Part, bar: "Progress") -> "Evaluation":
    """How well every token is predicted: each document by itself, in windows that overlap where it is long."""
    from attentio.evaluation.language import next_tokens, score_tokens
    from attentio.evaluation.metrics import Score

    started = time.perf_counter()
    block, batch_tokens = run.config.text.block, run.config.training.batch_tokens
    batches = next_tokens(run.rows(part.items), block=block, batch_tokens=batch_tokens)
    windows = bar.track(batches, description="tokens", total=None)
    found = score_tokens(run.model, windows)  # type: ignore[arg-type]
    size = sum(len(document.encode()) for document in part.items)
    scores = [
        Score("perplexity", found.perplexity, False, None),
        Score("bits-per-byte", found.bits_per_byte(size), False, None),
    ]
    title = "prediction of each token from the true ones before it"
    return documents.report(run, part, found, scores, title=title, seconds=time.perf_counter() - started)


def to_watch(contents: Contents, dev: Part, count: int) -> "Fixed":
    from attentio.runs.watched import fixed_rows

    run = CausalRun.of(contents)
    return fixed_rows((run.rows([text])[0] for text in dev.items), run.tokenizer, count=count, lengths=False)


def example_inputs(run: CausalRun) -> "dict[str, Tensor]":
    return {"tokens": random_ids(run.tokenizer, rows=3, length=11)}


def question(run: CausalRun, fields: Fields) -> Question:
    text = fields.checked_text(default="")
    samples = fields.whole("samples", 1, least=1, most=16) or 1
    max_tokens = fields.whole("max_tokens", 64, least=1, most=1024) or 1
    seed = fields.whole("seed", None, least=0, most=2**63 - 1)
    numbers = {name: fields.number(name, default) for name, default in _NUMBERS.items()}
    top_k = fields.whole("top_k", None, least=1, most=10**6)
    stream = fields.flag("stream")
    fields.end()
    if stream and samples > 1:
        raise AttentioError(f"samples must be 1 where the answer is streamed, got {samples}")
    try:
        sampling = Sampling(top_k=top_k, **numbers)  # type: ignore[arg-type]
    except ValueError as error:
        raise AttentioError(str(error)) from None
    options = {"sampling": sampling, "samples": samples, "max_tokens": max_tokens, "seed": seed}
    return Question(text=text, options=options, stream=partial(_pieces, run, text, options) if stream else None)


def _pieces(run: CausalRun, text: str, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of `run.stream`, and whether the model ended the text."""
    token = None
    for piece in run.stream(text, **{name: value for name, value in options.items() if name != "samples"}):
        yield vars(piece)
        token = piece.token
    yield {"finished": token == run.tokenizer.tokens([run.end])[0]}


def work(run: CausalRun, question: Question) -> int:
    return int(question.options["samples"] * run.most_tokens(question.text, question.options["max_tokens"]))


def answers(run: CausalRun, questions: Sequence[Question], each_step: Callable[[], None]) -> list[dict[str, Any]]:
    (one,) = questions
    found = run.generate(one.text, **one.options, each_step=each_step)
    kept = ("text", "tokens", "log_prob", "finished")
    return [{"text": one.text, "samples": [{name: getattr(each, name) for name in kept} for each in found]}]


def change(run: CausalRun, text: str, change: "Change", each_step: Callable[[], None]) -> "Changed":
    return run.change(text, change, max_tokens=LIVE_TOKENS, each_step=each_step)


def change_work(run: CausalRun, text: str) -> int:
    return (2 * LIVE_TOKENS + 1) * run.most_tokens(text, LIVE_TOKENS)  # read anew for each token


def to_try(text: str) -> str:
    """Its beginning."""
    words = text.split()
    return " ".join(words[: min(4, max(1, len(words) // 2))])


def live(run: CausalRun, text: str, each_step: Callable[[], None]) -> "Inspected":
    return run.inspect(text, max_tokens=LIVE_TOKENS, each_step=each_step)


def transformers_snippet(folder: Path) -> str:
    return documents.transformers_snippet(folder, verb="generate", task="text-generation", text="...")
