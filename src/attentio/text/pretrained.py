"""`tokenizer.json`, the file of the Hugging Face `tokenizers` library: others' tokenizers read, and ours written.

The file is data: a pipeline of parts the library knows. Nothing in it is executed.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import pre_tokenizers, processors

from attentio.errors import AttentioError
from attentio.files import LARGEST, check_regular, read_json
from attentio.system import naming
from attentio.text.featured import FeaturedTokenizer
from attentio.text.tokenizer import BOS, EOS, MASK_TOKEN, PAD, SPECIAL_TOKENS, SURROGATE, UNK, Tokenizer
from attentio.text.words import word_starts

KIND = "pretrained"
"""Of the file that a run directory has of one."""

ABSENT = "\ufffe"
"""No character: begins the entries that a tokenizer never makes of text, though a model may say them."""
_ROLES = {
    "end": ("sep_token", "eos_token"),
    "pad": ("pad_token",),
    "mask": ("mask_token",),
}
"""What tokenizer_config.json calls each special token, the name that counts first."""


class PretrainedTokenizer:
    """Turns text into token ids and back as a `tokenizer.json` says; made by `read`.

    begin, end, pad, unknown, mask: the ids of the special tokens, None for those that it does not have. `begin` and
    `end` are what the tokenizer itself puts around a text; where it puts nothing after it, `end` is the end token
    that it declares.
    rows: of its model, which may have more than there are entries; no text becomes one of those.
    """

    def __init__(
        self,
        *,
        core: tokenizers.Tokenizer,
        begin: int | None,
        end: int | None,
        pad: int | None,
        unknown: int | None,
        mask: int | None,
        rows: int = 0,
    ) -> None:
        self.begin, self.end, self.pad, self.unknown, self.mask = begin, end, pad, unknown, mask
        self.core, self.rows = core, rows
        special = {i: token.content for i, token in core.get_added_tokens_decoder().items() if token.special}
        self._special = frozenset(special)
        self._reserved = re.compile("|".join(map(re.escape, special.values())) or r"(?!)")

    @classmethod
    def read(cls, folder: Path) -> "PretrainedTokenizer":
        """Read `tokenizer.json`, and which tokens are special from the JSON files beside it.

        Raises:
            AttentioError: no `tokenizer.json`, a damaged one, or one that puts more than one token before or after
                a text.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise AttentioError(
                f"{folder} has no tokenizer.json; write one with transformers: "
                f"AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            )
        check_regular(path, most=LARGEST)
        try:
            core = tokenizers.Tokenizer.from_file(str(path))
            core.no_truncation()
            core.no_padding()
            before, after = _surroundings(core)
        except AttentioError:
            raise
        except Exception as error:  # the class that the library raises
            raise AttentioError(f"{path}: not a tokenizer that can be read ({error}); copy it again") from None
        declared = _declared(core, folder)
        if len(before) > 1 or len(after) > 1:
            raise AttentioError(
                f"{path} puts {len(before)} tokens before a text and {len(after)} after it; "
                f"at most one each can be read"
            )
        return cls(
            core=core,
            begin=before[0] if before else None,
            end=after[0] if after else declared["end"],
            pad=declared["pad"],
            unknown=_unknown(core),
            mask=declared["mask"],
        )

    @classmethod
    def of(cls, content: Mapping[str, Any], path: Path) -> "PretrainedTokenizer":
        """The tokenizer that a JSON object describes, as in the file `path`, which `to_json` wrote.

        Raises:
            AttentioError: it is damaged, or something else.
        """
        not_ours = AttentioError(f"{path}: not a tokenizer file of attentio; give the file that training wrote")
        roles = {name: content.get(name) for name in _FIELDS}
        if content.keys() != {"kind", "tokenizer", *_FIELDS}:
            raise not_ours
        if not all((type(i) is int and i >= 0) or (i is None and name != "rows") for name, i in roles.items()):
            raise not_ours
        try:
            core = tokenizers.Tokenizer.from_str(json.dumps(content["tokenizer"]))
        except Exception as error:  # the class that the library raises
            raise not_ours from error
        found = cls(core=core, **roles)  # type: ignore[arg-type]
        if any(i is not None and i >= found.size for name, i in roles.items() if name != "rows"):
            raise not_ours
        return found

    def to_json(self) -> str:
        """What a run directory keeps of it: all that `of` needs."""
        content = {"kind": KIND, **{name: getattr(self, name) for name in _FIELDS}}
        return json.dumps(content | {"tokenizer": json.loads(self.core.to_str())}, ensure_ascii=False, indent=1) + "\n"

    def extended(self, texts: Iterable[str]) -> "PretrainedTokenizer":
        """AttentioError: its entries and their pieces go together, so that it takes no more of them."""
        raise AttentioError("text.extend: the tokenizer comes from elsewhere and is kept as it is; leave it out")

    @property
    def plain(self) -> "PretrainedTokenizer":
        """Itself: it knows no features of sources."""
        return self

    @property
    def size(self) -> int:
        """The number of entries, the special ones included, and all rows that its model has."""
        return max(self.core.get_vocab_size(), self.rows)

    @property
    def special_ids(self) -> frozenset[int]:
        """The ids that stand for no text: those the tokenizer declares special, those that have a role here, and the
        rows beyond its entries."""
        roles = (self.begin, self.end, self.pad, self.unknown, self.mask)
        beyond = range(self.core.get_vocab_size(), self.size)
        return self._special.union((i for i in roles if i is not None), beyond)

    def encode(self, text: str) -> list[int]:
        """The token ids of the text, without `begin` and `end`.

        Raises:
            AttentioError: the text holds a special token, or something that the tokenizer does not know where it has
                no token for the unknown.
        """
        return self.encode_all([text])[0]

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode` for many texts at once, which is much faster."""
        texts = list(texts)
        self._check(texts)
        with _refusals_told():
            return [encoded.ids for encoded in self.core.encode_batch_fast(texts, add_special_tokens=False)]

    def unknown_spans(self, text: str) -> list[tuple[int, int]]:
        """First and after the last character of everything that becomes `unknown`, in order.

        Raises:
            AttentioError: the text holds a special token.
        """
        self._check([text])
        with _refusals_told():
            encoded = self.core.encode(text, add_special_tokens=False)
        return [span for i, span in zip(encoded.ids, encoded.offsets, strict=True) if i == self.unknown]

    def encode_with_holes(self, text: str) -> list[int]:
        """The token ids of a text in which `[MASK]`, or the tokenizer's own mask token, stands where the model is to
        fill in: `mask` there.

        Raises:
            AttentioError: the tokenizer has no mask token, or the text holds another special token.
        """
        if self.mask is None:
            raise AttentioError("the tokenizer has no mask token; use the one of a masked language model")
        (hole,) = self.tokens([self.mask])
        parts = re.split(rf"\[MASK\]|{re.escape(hole)}", text)
        self._check(parts)
        with _refusals_told():
            return self.core.encode(hole.join(parts), add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the token ids; special ids are left out."""
        special = self.special_ids
        return self.core.decode([i for i in ids if i not in special])

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Every id as its own piece, as the vocabulary spells it.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        pieces = []
        for i in ids:
            piece = self.core.id_to_token(i)
            if piece is None and 0 <= i < self.size:
                piece = f"<{i}>"
            if piece is None:
                raise ValueError(f"ids must be in the vocabulary, got {i}")
            pieces.append(piece.removeprefix(ABSENT))
        return pieces

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Where a word begins, for each token, as far as the tokens themselves tell; the first always begins one."""
        return word_starts(self.tokens(ids))

    def settled(self, text: str) -> str:
        """The decoded text without an end that the next tokens may change: the first bytes of a letter."""
        return text.rstrip("\ufffd")

    def _check(self, texts: Sequence[str]) -> None:
        for text in texts:
            if found := self._reserved.search(text):
                raise AttentioError(
                    f"the reserved symbol {found[0]} occurs in the text {text[:40]!r}; remove or rewrite it"
                )
            if SURROGATE.search(text):
                raise AttentioError(f"half of a surrogate pair, no character, in the text {text[:40]!r}; remove it")


@contextmanager
def _refusals_told() -> Iterator[None]:
    """AttentioError for a text that the library cannot encode."""
    try:
        yield
    except Exception as error:  # the class that the library raises
        raise AttentioError(f"the tokenizer cannot read the text ({error}); give it a token for the unknown") from None


_FIELDS = ("begin", "end", "pad", "unknown", "mask", "rows")
"""What `to_json` keeps beside the pipeline."""


def tokenizer_of(content: dict[str, Any], path: Path) -> Tokenizer | PretrainedTokenizer:
    """The tokenizer that a file of a run directory holds, of either kind; AttentioError for a damaged one."""
    of = PretrainedTokenizer.of if content.get("kind") == KIND else FeaturedTokenizer.of
    return of(content, path)


def check(tokenizer: Tokenizer | PretrainedTokenizer) -> None:
    """Whether `write` can write it.

    Raises:
        AttentioError: a tokenizer of Hangul jamo; no part of the library takes syllables, and only those, apart.
    """
    if isinstance(tokenizer, Tokenizer) and tokenizer.jamo:
        raise AttentioError("a tokenizer with jamo: true cannot be written as tokenizer.json; train with jamo: false")


def write(tokenizer: Tokenizer | PretrainedTokenizer, folder: Path, *, begin: bool, end: bool, max_length: int) -> None:
    """Write one as `tokenizer.json` and `tokenizer_config.json`, so that transformers encodes as it does.

    begin, end: whether a begin token stands before and an end token after every text, as the model was trained.
    max_length: most tokens that the model takes.

    Raises:
        AttentioError: see `check`.
    """
    check(tokenizer)
    if isinstance(tokenizer, Tokenizer):
        core, names = _as_theirs(tokenizer, begin=begin, end=end)
    else:
        core, names = _as_it_came(tokenizer, end=end)
    with naming(folder / "tokenizer.json"):
        core.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        **names,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _as_it_came(tokenizer: PretrainedTokenizer, *, end: bool) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """The pipeline of one from elsewhere, and its special tokens by the names of their roles."""
    core = tokenizers.Tokenizer.from_str(tokenizer.core.to_str())
    first, last = ("cls", "sep") if tokenizer.mask is not None else ("bos", "eos")
    roles = {"pad": tokenizer.pad, "unk": tokenizer.unknown, "mask": tokenizer.mask}
    roles |= {first: tokenizer.begin, last: tokenizer.end}
    names = {f"{role}_token": core.id_to_token(i) for role, i in roles.items() if i is not None}
    if end and tokenizer.end is not None and not _surroundings(core)[1]:  # Marian's, which its own program puts there
        last_token = core.id_to_token(tokenizer.end)
        core.post_processor = processors.TemplateProcessing(
            single=f"$A {last_token}", special_tokens=[(last_token, tokenizer.end)]
        )
    return core, {name: token for name, token in names.items() if token is not None}


def _as_theirs(tokenizer: Tokenizer, *, begin: bool, end: bool) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """The pipeline of one of ours, and its special tokens by the names of their roles."""
    core = tokenizers.Tokenizer.from_str(tokenizer.core.to_str())
    symbols = {"pad_token": PAD, "unk_token": UNK, "bos_token": BOS, "eos_token": EOS}
    names = {key: SPECIAL_TOKENS[i] for key, i in symbols.items()}
    core.add_special_tokens([tokenizers.AddedToken(name, special=True, normalized=False) for name in SPECIAL_TOKENS])
    if tokenizer.mask is not None:
        names |= {"mask_token": MASK_TOKEN, "cls_token": SPECIAL_TOKENS[BOS], "sep_token": SPECIAL_TOKENS[EOS]}
        marks_words = isinstance(core.pre_tokenizer, pre_tokenizers.Metaspace)
        mask = tokenizers.AddedToken(MASK_TOKEN, special=True, normalized=False, lstrip=marks_words)
        core.add_special_tokens([mask])
    if isinstance(core.pre_tokenizer, pre_tokenizers.Metaspace):
        # "always" would let a word begin right after a mask.
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    before, after = SPECIAL_TOKENS[BOS] + " " if begin else "", " " + SPECIAL_TOKENS[EOS] if end else ""
    core.post_processor = processors.TemplateProcessing(
        single=f"{before}$A{after}", special_tokens=[(SPECIAL_TOKENS[i], i) for i in (BOS, EOS)]
    )
    return core, names


def _declared(core: tokenizers.Tokenizer, folder: Path) -> dict[str, int | None]:
    """The ids of the special tokens, by their roles, as the files beside the tokenizer name them."""
    names: dict[str, str] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        for key, token in read_json(folder / file).items() if (folder / file).is_file() else ():
            content = token.get("content") if isinstance(token, dict) else token
            if key.endswith("_token") and isinstance(content, str):
                names[key] = content
    return {
        role: next((core.token_to_id(names[key]) for key in keys if key in names), None)
        for role, keys in _ROLES.items()
    }


def _surroundings(core: tokenizers.Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after a text."""
    encoded = core.encode("a")
    mask = encoded.special_tokens_mask
    inside = [place for place, special in enumerate(mask) if not special]
    if not inside:
        raise AttentioError("the tokenizer makes nothing of the text 'a'; give one that knows it")
    return encoded.ids[: inside[0]], encoded.ids[inside[-1] + 1 :]


def _unknown(core: tokenizers.Tokenizer) -> int | None:
    """The id of what the vocabulary does not know; None where, as with bytes, it knows everything."""
    model: dict[str, Any] = json.loads(core.to_str())["model"]
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    return core.token_to_id(model["unk_token"]) if model.get("unk_token") else None
