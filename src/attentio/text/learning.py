"""Vocabularies learnt from text, with the `tokenizers` library."""

import json
from collections.abc import Iterable
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from attentio.config.schema import TokenizerKind
from attentio.errors import AttentioError
from attentio.text.reserved import SPECIAL_TOKENS, UNK

SPACE = "▁"  # what Metaspace writes for a space
_NO_LIMIT = 2**31


def learn(
    texts: Iterable[str], kind: TokenizerKind, vocab_size: int | None, reserved: tuple[str, ...]
) -> tokenizers.Tokenizer:
    """The library's tokenizer with the vocabulary of the texts; the reserved symbols are its first ids.

    Raises:
        AttentioError: a vocabulary size that the texts cannot have.
    """
    pieces = kind in ("bpe", "unigram")
    if pieces:
        _check_piece_count(texts, kind, vocab_size, reserved)
    elif vocab_size is not None and vocab_size <= len(reserved):
        raise AttentioError(f"vocab_size {vocab_size} has no room beside {len(reserved)} reserved symbols; raise it")
    core = _core(kind, _learn(texts, kind, vocab_size or _NO_LIMIT, reserved))
    if pieces and core.get_vocab_size() != vocab_size:
        raise AttentioError(
            f"vocab_size {vocab_size}: the text yields only {core.get_vocab_size()} {kind} pieces; "
            f"lower it to that or less, as with --text.source.vocab_size, or give more text"
        )
    return core


def _check_piece_count(
    texts: Iterable[str], kind: TokenizerKind, vocab_size: int | None, reserved: tuple[str, ...]
) -> None:
    if vocab_size is None:
        raise AttentioError(f"a {kind} tokenizer needs vocab_size, the number of its pieces; 4000 is a usual start")
    alphabet = {SPACE}
    for text in texts:
        alphabet.update(text)
    alphabet -= {" "}
    # The unigram trainer exceeds its limit when the characters alone fill it.
    smallest = len(reserved) + len(alphabet) + (kind == "unigram")
    if vocab_size < smallest:
        raise AttentioError(
            f"vocab_size {vocab_size} is too small for a {kind} tokenizer: the text has {len(alphabet)} "
            f"different characters; give at least {smallest}"
        )


def _learn(texts: Iterable[str], kind: TokenizerKind, vocab_size: int, reserved: tuple[str, ...]) -> Any:
    """The model of the `tokenizers` library learnt from the texts; reserved symbols are its first ids."""
    model: Any
    trainer: Any
    common: dict[str, Any] = {
        "vocab_size": vocab_size,
        "special_tokens": list(reserved),
        "show_progress": False,
    }
    if kind == "bpe":
        model = models.BPE(unk_token=SPECIAL_TOKENS[UNK])
        trainer = trainers.BpeTrainer(min_frequency=2, **common)
    elif kind == "unigram":
        model = models.Unigram()
        trainer = trainers.UnigramTrainer(unk_token=SPECIAL_TOKENS[UNK], **common)
    else:
        model = models.WordLevel(unk_token=SPECIAL_TOKENS[UNK])
        trainer = trainers.WordLevelTrainer(**common)
    core = _core(kind, model)
    core.train_from_iterator(texts, trainer)
    if kind == "unigram":
        return _settle_unigram(json.loads(core.to_str())["model"]["vocab"], reserved)
    return core.model


def _settle_unigram(vocab: list[list[Any]], reserved: tuple[str, ...]) -> Any:
    """The unigram model with what its trainer leaves to chance taken out.

    The trainer sums in the order of a hash table, so scores differ by rounding between runs, and it gives
    characters that are no piece by themselves the lowest score plus 1e-4, 2e-4, ... in that order. Here such
    characters all get the lowest score, scores are rounded, and ties stand in code point order.
    """
    learnt = vocab[len(reserved) :]
    lowest = min(score for _, score in learnt)
    reach = lowest + 1e-4 * sum(len(piece) == 1 for piece, _ in learnt)
    settled = [(piece, round(lowest if len(piece) == 1 and score < reach else score, 3)) for piece, score in learnt]
    settled.sort(key=lambda entry: (-entry[1], entry[0]))
    return models.Unigram([(symbol, 0.0) for symbol in reserved] + settled, unk_id=UNK)


def _core(kind: TokenizerKind, model: Any) -> tokenizers.Tokenizer:
    """A tokenizer around the model, without "added tokens": those would be matched in text."""
    core = tokenizers.Tokenizer(model)
    if kind == "char":
        core.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
        core.decoder = decoders.Fuse()
    elif kind == "whitespace":
        core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace()
        core.decoder = decoders.Metaspace()
    return core
