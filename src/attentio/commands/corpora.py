"""The data of a run: read, made into token ids, and into what is trained and validated on."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from attentio.commands.build import Tokenizers, build_text_tokenizer, build_tokenizers
from attentio.commands.options import Config
from attentio.data.batches import EncodedPairs, PairBatches
from attentio.data.masked_texts import MaskedTexts
from attentio.data.masking import Masking
from attentio.data.packing import PackedTexts
from attentio.data.pairs import Pair, group_references, read_pairs
from attentio.data.texts import read_texts
from attentio.evaluation.language import foresee
from attentio.evaluation.metrics import score
from attentio.training.loop import Corpus, Validation

Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One part of the data. items: pairs, or documents of text. unit: what they are called."""

    name: str
    items: list[Any]
    skipped: tuple[str, ...]
    unit: str

    def facts(self) -> dict[str, Any]:
        """What is written down of it, so that a resumed run can tell whether it is still the same."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(("\t".join(item) if isinstance(item, Pair) else item).encode() + b"\n")
        return {
            "name": self.name,
            self.unit: len(self.items),
            "sha256": digest.hexdigest(),
            "skipped": list(self.skipped),
        }


def read_part(config: Config, spec: str) -> Part:
    """Read one part of a run's data: pairs, or text for a language model. AttentioError for bad data."""
    if config.model.type == "encoder-decoder":
        pairs = read_pairs(spec, bad_lines=config.data.bad_lines)
        return Part(pairs.name, pairs.pairs, pairs.skipped, "pairs")
    texts = read_texts(spec, document=config.data.document, bad_lines=config.data.bad_lines)
    return Part(texts.name, list(texts.documents), texts.skipped, "documents")


def learn_tokenizers(config: Config, train: Part) -> Tokenizers:
    """The vocabularies of the training data."""
    if config.model.type == "encoder-decoder":
        return build_tokenizers(config, train.items)
    return build_text_tokenizer(config, train.items)


def make_corpus(config: Config, part: Part, tokenizers: Tokenizers, *, seed: int) -> Corpus:
    """The batches of one part."""
    batch_tokens = config.training.batch_tokens
    if config.model.type == "encoder-decoder":
        return PairBatches(EncodedPairs.encode(part.items, *tokenizers), batch_tokens=batch_tokens, seed=seed)
    rows: dict[str, Any] = {"block": config.text.block, "batch_tokens": batch_tokens, "seed": seed}
    if config.model.type == "masked-lm":
        return MaskedTexts(part.items, tokenizers.source, masking=Masking(**asdict(config.masking)), **rows)
    return PackedTexts(part.items, tokenizers.source, **rows)


def validation_metrics(config: Config) -> list[str]:
    """The names of what a validation measures."""
    if config.model.type == "masked-lm":
        return ["masked-accuracy", "masked-perplexity"]
    return ["perplexity"] if config.model.type == "causal-lm" else [*config.evaluation.metrics]


def make_validation(
    config: Config,
    dev: Part,
    tokenizers: Tokenizers,
    translate: Callable[[list[str]], list[str]],
    say: Say,
) -> Callable[[nn.Module], Validation]:
    """What is measured on the way.

    translate: greedy decoding with the model in hand, for an encoder-decoder. say: where to show the results.
    """
    if config.model.type == "encoder-decoder":
        return lambda _: _by_free_decoding(config, dev, translate, say)
    corpus = make_corpus(config, dev, tokenizers, seed=0)
    batches = [corpus.load(indices, 0) for indices in corpus.epoch_batches(0)[: config.training.validation_size]]
    names = validation_metrics(config)

    def validate(model: nn.Module) -> Validation:
        found = foresee(model, batches)  # type: ignore[arg-type]
        figures = (found.accuracy, found.perplexity) if config.model.type == "masked-lm" else (found.perplexity,)
        scores = dict(zip(names, figures, strict=True))
        say(f"dev, {found.tokens:,} tokens: " + ", ".join(f"{name} {value:.2f}" for name, value in scores.items()))
        return Validation(-math.log(found.perplexity), scores)

    return validate


def _by_free_decoding(config: Config, dev: Part, translate: Callable[[list[str]], list[str]], say: Say) -> Validation:
    """Quality of greedy decoding on a fixed choice of the dev set, and some outputs to look at."""
    examples = group_references(dev.items)
    chosen = np.random.default_rng(config.training.seed).permutation(len(examples))[: config.training.validation_size]
    examples = [examples[i] for i in sorted(chosen)]
    outputs = translate([example.source for example in examples])
    evaluation = config.evaluation
    scores = score(
        outputs,
        [example.references for example in examples],
        metrics=evaluation.metrics,
        units=evaluation.units,
        bleu_tokenize=evaluation.bleu_tokenize,
    )
    summary = ", ".join(f"{one.name} {one.value:.2f}" for one in scores)
    say(f"dev, {len(examples)} decoded greedily: {summary}")
    for example, output in list(zip(examples, outputs, strict=True))[: config.training.samples]:
        say(f"  {example.source} → {output}  ({example.references[0]})")
    goal = scores[0].value if scores[0].higher_is_better else -scores[0].value
    return Validation(goal, {one.name: one.value for one in scores})
