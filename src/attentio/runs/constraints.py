"""What outputs must be like, in text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attentio.decoding.constraints import TokenConstraints
from attentio.errors import AttentioError
from attentio.runs.vocabulary import check_known
from attentio.text import jamo as hangul
from attentio.text.normal import begun
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What outputs must be like; probabilities stay the model's own.

    prefix: text that every output begins with, in whole tokens; of Hangul spelt in jamo, in whole syllables.
    require: words that stand somewhere in every output, in the tokens that the tokenizer makes of each alone. Others
        may be glued to them where tokens are letters or pieces of words.
    no_repeat_ngram: no so many tokens in a row are said twice, but for what the prefix says; None allows it.

    >>> run = at.load("dates-luong")
    >>> run.candidates(["14 March 2026"], constraints=at.Constraints(prefix="19"))[0][0].text[:2]
    '19'
    >>> "77" in run.candidates(["14 March 2026"], constraints=at.Constraints(require=["77"]))[0][0].text
    True
    >>> run.candidates(["22 February 2022"], constraints=at.Constraints(no_repeat_ngram=2))
    [[Translation(...)]]
    >>> at.Constraints(prefix="19").of(run.tokenizers.target, run.read)
    TokenConstraints(prefix=[...], joining=[], required=[], no_repeat_ngram=None)
    """

    prefix: str = ""
    require: Sequence[str] = ()
    no_repeat_ngram: int | None = None

    def __post_init__(self) -> None:
        if self.no_repeat_ngram is not None and self.no_repeat_ngram < 1:
            raise ValueError(f"no_repeat_ngram must be at least 1, got {self.no_repeat_ngram}")
        if isinstance(self.require, str):
            raise ValueError(f"require must be a list of words, got one text; write [{self.require[:30]!r}]")

    def of(self, tokenizer: AnyTokenizer, read: Callable[[str], str]) -> TokenConstraints:
        """The same in tokens. read: how text is read before it becomes tokens.

        Raises AttentioError for text that the vocabulary does not know, or that says twice what may be said once.
        """
        letters = isinstance(tokenizer, Tokenizer) and tokenizer.kind == "char"  # pieces begin with their white space
        beginning = begun(self.prefix, read) if letters else read(self.prefix)
        prefix = _ids("prefix", beginning, tokenizer)
        required = [_ids("require", read(word), tokenizer) for word in self.require]
        if [] in required:
            raise AttentioError(f"{self.require[required.index([])]!r} cannot be required; give a word")
        n = self.no_repeat_ngram
        for text, ids in zip((self.prefix, *self.require), (prefix, *required), strict=True):
            if n is not None and len(ids) - n + 1 > len({tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}):
                raise AttentioError(f"{text!r} itself says {n} tokens in a row twice; allow more with no_repeat_ngram")
        distinct = dict.fromkeys(map(tuple, required))
        return TokenConstraints(
            prefix=prefix, joining=_joining(beginning, tokenizer), required=[*distinct], no_repeat_ngram=n
        )


def _joining(beginning: str, tokenizer: AnyTokenizer) -> list[int]:
    """The entries that would change the last letter of a beginning, where tokens are jamo."""
    if not (beginning and isinstance(tokenizer, Tokenizer) and tokenizer.jamo):
        return []
    entries, spelt = tokenizer.tokens(range(tokenizer.size)), hangul.decompose(beginning)
    return [i for i, token in enumerate(entries) if not hangul.recompose(spelt + token).startswith(beginning)]


def _ids(name: str, text: str, tokenizer: AnyTokenizer) -> list[int]:
    ids = tokenizer.encode(text)
    try:
        check_known(text, ids, tokenizer)
    except AttentioError as error:
        raise AttentioError(f"{name} {text[:40]!r}: {error}") from None
    return ids
