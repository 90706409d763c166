"""Text as token ids, and back: characters, words between spaces, or pieces learnt from the text.

The first four ids of each vocabulary are reserved, and a fifth, MASK, where a masked language model needs it.
Text can never become one of them, UNK apart: text that holds a reserved symbol is refused, and none of them is
matched in text.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import tokenizers
from tokenizers import pre_tokenizers

from attentio.config.schema import TokenizerKind
from attentio.errors import AttentioError
from attentio.files import read_json
from attentio.text import jamo as hangul
from attentio.text.learning import SPACE, learn
from attentio.text.reserved import BOS, EOS, MASK, MASK_TOKEN, PAD, SPECIAL_TOKENS, UNK, find_reserved

__all__ = [
    "BOS",
    "EOS",
    "MASK",
    "MASK_TOKEN",
    "PAD",
    "SPECIAL_TOKENS",
    "SURROGATE",
    "UNK",
    "Tokenizer",
    "find_reserved",
]

_HOLE = re.compile(r"\[MASK\]|<mask>")  # how people write a hole
SURROGATE = re.compile("[\ud800-\udfff]")
_CHUNK = 4096  # texts that are encoded at once: the library keeps much more than the ids of each


class Tokenizer:
    """Turns text into token ids and token ids into text. Made by `train` or `load`.

    | kind | a token is | decode(encode(text)) |
    |---|---|---|
    | char | one Unicode code point, spaces included | the text itself, if its characters are known |
    | whitespace | what stands between white space | the text, with one space between words |
    | bpe | a piece, made by merging frequent pairs (Sennrich et al. 2016, section 3.2) | the text (*) |
    | unigram | a piece, from a unigram language model (Kudo 2018, section 3.2) | the text (*) |

    (*) if its characters are known; one leading space is lost, and U+2581, the pieces' mark for a space,
    becomes a space.

    With `jamo`, Hangul syllables are spelt in conjoining jamo before anything else; `decode` puts them
    together.

    pad, unknown, begin, end, mask: the reserved ids; mask is None where the vocabulary has none.
    core: the pipeline of the `tokenizers` library, which knows nothing of jamo and of reserved symbols in text.
    """

    pad, unknown, begin, end = PAD, UNK, BOS, EOS

    def __init__(self, *, kind: TokenizerKind, jamo: bool, mask: bool, core: tokenizers.Tokenizer) -> None:
        self.kind = kind
        self.jamo = jamo
        self.mask = MASK if mask else None
        self.core = core

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: TokenizerKind,
        vocab_size: int | None = None,
        jamo: bool = False,
        mask: bool = False,
    ) -> "Tokenizer":
        """Learn the vocabulary of the texts; the same texts always give the same vocabulary.

        Args:
            texts: the training text.
            kind: what a token is; see the class.
            vocab_size: number of entries, reserved ones included. For char and whitespace a limit: the most
                frequent stay, ties in code point order; without it all stay. For bpe and unigram exact,
                and required.
            jamo: spell Hangul syllables in jamo.
            mask: reserve MASK, for a masked language model.

        Raises:
            AttentioError: no text, a reserved symbol in it, or a vocabulary size that it cannot have.
        """
        if kind not in get_args(TokenizerKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(TokenizerKind))}, got {kind!r}")
        reserved = (*SPECIAL_TOKENS, MASK_TOKEN) if mask else SPECIAL_TOKENS
        prepared = _Prepared(list(texts) if isinstance(texts, Iterator) else texts, jamo=jamo, mask=mask)
        if not any(text.strip() for text in prepared):
            raise AttentioError("no text to learn a vocabulary from; give at least one line that is not empty")
        core = learn(prepared, kind, vocab_size, reserved)
        return cls(kind=kind, jamo=jamo, mask=mask, core=core)

    def extended(self, texts: Iterable[str]) -> "Tokenizer":
        """A tokenizer with further entries, after those that are there: what it does not know of the texts.

        Those are words for the kind whitespace, and otherwise letters, each a piece of its own; in code point order.
        """
        prepared = map(self.prepared, texts)
        found = set().union(*(text.split() if self.kind == "whitespace" else text for text in prepared))
        if self._marks_words:
            found = {SPACE if symbol.isspace() else symbol for symbol in found}
        content = json.loads(self.core.to_str())
        vocabulary = content["model"]["vocab"]
        pieces = isinstance(vocabulary, list)  # of unigram, each with its score
        known = {piece for piece, _ in vocabulary} if pieces else set(vocabulary)
        new = sorted(found - known)
        if pieces:
            lowest = min(score for _, score in vocabulary)
            vocabulary += [[symbol, lowest] for symbol in new]
        else:
            vocabulary |= {symbol: self.size + number for number, symbol in enumerate(new)}
        core = tokenizers.Tokenizer.from_str(json.dumps(content))
        return Tokenizer(kind=self.kind, jamo=self.jamo, mask=self.mask is not None, core=core)

    @property
    def plain(self) -> "Tokenizer":
        """The tokenizer of the texts alone, without features of sources: see `text.features`."""
        return self

    @property
    def special_ids(self) -> tuple[int, ...]:
        """The reserved ids, UNK included."""
        return tuple(range(len(SPECIAL_TOKENS) + (self.mask is not None)))

    @property
    def size(self) -> int:
        """The number of entries, the reserved ones included."""
        return self.core.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The token ids of the text, without BOS and EOS; what the vocabulary does not know is UNK.

        Raises:
            AttentioError: the text holds a reserved symbol.
        """
        return self.encode_all([text])[0]

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode` for many texts at once, which is much faster."""
        prepared = [*map(self.prepared, texts)]
        ids: list[list[int]] = []
        for start in range(0, len(prepared), _CHUNK):
            chunk = prepared[start : start + _CHUNK]
            ids += [encoded.ids for encoded in self.core.encode_batch_fast(chunk, add_special_tokens=False)]
        return ids

    def prepared(self, text: str) -> str:
        """The text as the library reads it: with `jamo`, spelt in them; AttentioError for a reserved symbol in it."""
        return _prepare(text, jamo=self.jamo, mask=self.mask is not None)

    def unknown_spans(self, text: str) -> list[tuple[int, int]]:
        """First and after the last character of everything that becomes UNK, in order.

        Raises:
            AttentioError: the text holds a reserved symbol.
        """
        encoded = self.core.encode(self.prepared(text), add_special_tokens=False)
        # The character that each of the prepared ones comes from: a syllable becomes several jamo.
        origin = [i for i, letter in enumerate(text) for _ in (hangul.decompose(letter) if self.jamo else letter)]
        spans = [span for i, span in zip(encoded.ids, encoded.offsets, strict=True) if i == UNK]
        return list(dict.fromkeys((origin[start], origin[stop - 1] + 1) for start, stop in spans))

    def encode_with_holes(self, text: str) -> list[int]:
        """The token ids of a text in which `[MASK]` or `<mask>` stands where the model is to fill in: MASK there.

        What stands between the holes becomes the tokens that it would be in the whole text: the space before
        a hole belongs to the hole, as it would to the word, and what is glued to the end of a hole begins no
        word. (A token of the whole text that reaches into the hole cannot be known.)

        Raises:
            AttentioError: the vocabulary has no MASK, or the text holds another reserved symbol.
        """
        if self.mask is None:
            raise AttentioError("the tokenizer has no <mask>; use the one of a masked language model")
        parts = _HOLE.split(text)
        if self._marks_words:
            parts = [*(part.removesuffix(" ") for part in parts[:-1]), parts[-1]]
        ids = self.encode(parts[0])
        for part in parts[1:]:
            ids += [self.mask, *self._encode_inside(part)]
        return ids

    def _encode_inside(self, text: str) -> list[int]:
        """`encode` for text that does not stand at the beginning: a word begins there only after a space."""
        if not self._marks_words:
            return self.encode(text)
        inside = tokenizers.Tokenizer(self.core.model)
        inside.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        return inside.encode(self.prepared(text), add_special_tokens=False).ids

    @property
    def _marks_words(self) -> bool:
        return self.kind in ("bpe", "unigram")

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Where a word begins, for each token; the first token always begins one.

        | kind | a word |
        |---|---|
        | char | what stands between white space; each white space is a word of its own |
        | whitespace | a token |
        | bpe, unigram | from one mark of a space ("▁") to the next |

        A reserved id is a word of its own, UNK apart, which is a letter or piece like any other.
        """
        if self.kind == "whitespace":
            return [True] * len(ids)
        tokens, pieces = self.tokens(ids), self._marks_words
        apart = {PAD, BOS, EOS, self.mask}
        alone = [i in apart or (not pieces and token.isspace()) for i, token in zip(ids, tokens, strict=True)]
        marked = [pieces and token.startswith(SPACE) for token in tokens]
        return [this or last or mark for this, last, mark in zip(alone, [True, *alone], marked, strict=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the token ids; reserved ids (UNK too) are left out."""
        special = self.special_ids
        text = self.core.decode([i for i in ids if i not in special])
        return hangul.recompose(text) if self.jamo else text

    def settled(self, text: str) -> str:
        """The decoded text without an end that the next tokens may change: with `jamo`, an open Hangul syllable."""
        return text[:-1] if self.jamo and hangul.may_grow(text[-1:]) else text

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Every id as its own readable piece, for pictures: "</s>" is EOS, "▁" a space before a word.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        size = self.size
        if strange := [i for i in ids if not 0 <= i < size]:
            raise ValueError(f"ids must be from 0 to {size - 1}, the vocabulary's last, got {strange[0]}")
        return [str(self.core.id_to_token(i)) for i in ids]

    def save(self, path: Path) -> None:
        """Write the tokenizer to one JSON file."""
        path.write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        """What `save` writes."""
        return json.dumps(self.described(), ensure_ascii=False, indent=1) + "\n"

    def described(self) -> dict[str, Any]:
        """The JSON object that `of` takes."""
        content = {"kind": self.kind, "jamo": self.jamo, "tokenizer": json.loads(self.core.to_str())}
        return content if self.mask is None else {**content, "mask": True}

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read what `save` wrote.

        Raises:
            AttentioError: there is no such file, it is damaged, or it is something else.
        """
        return cls.of(read_json(path), path)

    @classmethod
    def of(cls, content: dict[str, Any], path: Path) -> "Tokenizer":
        """The tokenizer that a JSON object describes, as in the file `path`; raises as `load`."""
        not_ours = AttentioError(f"{path}: not a tokenizer file of attentio; give the file that training wrote")
        if content.keys() - {"mask"} != {"kind", "jamo", "tokenizer"}:
            raise not_ours
        kind, jamo, mask = content["kind"], content["jamo"], content.get("mask", False)
        if kind not in get_args(TokenizerKind) or not isinstance(jamo, bool) or not isinstance(mask, bool):
            raise not_ours
        try:
            core = tokenizers.Tokenizer.from_str(json.dumps(content["tokenizer"]))
        except Exception as error:  # the class that the library raises
            raise not_ours from error
        reserved = (*SPECIAL_TOKENS, MASK_TOKEN) if mask else SPECIAL_TOKENS
        if tuple(core.id_to_token(i) for i in range(len(reserved))) != reserved:
            raise not_ours
        if max(core.get_vocab().values()) >= core.get_vocab_size():  # an id that no model has room for
            raise not_ours
        return cls(kind=kind, jamo=jamo, mask=mask, core=core)


class _Prepared:
    """Texts as the library reads them, to be gone through as often as needed without holding them."""

    def __init__(self, texts: Iterable[str], *, jamo: bool, mask: bool) -> None:
        self.texts, self.jamo, self.mask = texts, jamo, mask

    def __iter__(self) -> Iterator[str]:
        return (_prepare(text, jamo=self.jamo, mask=self.mask) for text in self.texts)


def _prepare(text: str, *, jamo: bool, mask: bool) -> str:
    if reserved := find_reserved(text, mask=mask):
        raise AttentioError(f"the reserved symbol {reserved} occurs in the text {text[:40]!r}; remove or rewrite it")
    if SURROGATE.search(text):
        raise AttentioError(f"half of a surrogate pair, no character, in the text {text[:40]!r}; remove it")
    return hangul.decompose(text) if jamo else text
