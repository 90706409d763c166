"""A trained masked language model, ready to use: it fills holes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.config.schema import Config
from attentio.data.batches import pad_rows
from attentio.decoding.search import ASTRAY
from attentio.errors import AttentioError
from attentio.models.masked_lm import MaskedLM
from attentio.runs.build import MASKED_LM
from attentio.runs.directory import Contents
from attentio.runs.one_kind import OneKind
from attentio.runs.outputs import Candidate, SelfAttention
from attentio.runs.vocabulary import check_known, needed, suppressed_ids
from attentio.text.normal import checked, normalized
from attentio.text.protocol import AnyTokenizer

if TYPE_CHECKING:
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected


class MaskedRun(OneKind):
    """A masked language model with its tokenizer, as one thing that fills holes.

    >>> run = at.MaskedRun.load("masked-lm", checkpoint="best", device="cpu", allow_code=[])
    >>> run.fill("He looked [MASK] her.", top=1)
    [[Candidate(token='...', text='He looked ... her.', probability=...)]]
    >>> first, second = run.fill_all(["He [MASK] her.", "She [MASK] [MASK]."], top=3)
    >>> len(second), [len(hole) for hole in second]
    (2, [3, 3])
    >>> run.attention("He looked.")
    SelfAttention(... tokens, weights [4, ...])
    >>> run.inspect("He looked [MASK] her.", each_step=lambda: None)
    Inspected('He looked ...', 4 attentions; .page() shows them)
    >>> run.change("He looked [MASK] her.", at.Change(1, "erase"), each_step=lambda: None)
    Changed('He looked ... her.' → 'He looked ... her.')
    >>> run.read(" He looked. "), run.rows(["He looked."])[0] == run.encode("He looked.")
    ('He looked.', True)
    >>> from attentio.runs.load import read
    >>> at.MaskedRun.of(read("masked-lm"))
    <MaskedRun ...>
    """

    blueprint = MASKED_LM
    main_use = "fill"

    def __init__(self, path: Path, config: Config, tokenizer: AnyTokenizer, model: MaskedLM) -> None:
        self.path, self.config, self.tokenizer = path, config, tokenizer
        self.model = model.eval()
        self.begin = needed(tokenizer.begin, "begin", path)
        self.end = needed(tokenizer.end, "end", path)
        self.mask = needed(tokenizer.mask, "mask", path)

    @classmethod
    def of(cls, contents: Contents) -> "MaskedRun":
        """The run of what a directory holds."""
        return cls(contents.path, contents.config, contents.tokenizers.source, contents.model)

    def read(self, text: str) -> str:
        """The text as it is read in training: see `text.normalize`."""
        return normalized(text, self.config.text.normalize)

    def fill(self, text: str, *, top: int = 5) -> list[list[Candidate]]:
        """For each [MASK] in the text, in order, the `top` most probable tokens, best first.

        All holes are predicted from one reading of the text, each as if it were the only question: tokens that
        are best in their holes need not go together.

        Raises AttentioError for a text without [MASK], or with words that the vocabulary does not know.
        """
        return self.fill_all([text], top=top)[0]

    def fill_all(self, texts: Sequence[str], *, top: int = 5) -> list[list[list[Candidate]]]:
        """`fill` for each text; all are read at once."""
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        rows = [self.encode(text) for text in checked(texts)]
        if not rows:
            return []
        if not all(self.mask in ids for ids in rows):
            raise AttentioError("no [MASK] in the text; write one where a word is missing")
        with torch.inference_mode():
            features = self.model.features(*self._padded(rows))
            return [self._candidates(ids, each, top) for ids, each in zip(rows, features, strict=True)]

    def _candidates(self, ids: list[int], features: Float[Tensor, "length width"], top: int) -> list[list[Candidate]]:
        holes = [place for place, token in enumerate(ids) if token == self.mask]
        probabilities = self.model.output(features[holes]).softmax(-1).cpu()
        if probabilities.isnan().any():
            raise AttentioError(f"{self.path}: the model's logits are not finite; {ASTRAY}")
        suppressed = suppressed_ids(self.tokenizer, probabilities.shape[1])
        found = probabilities.index_fill(1, torch.tensor(suppressed), -1.0).topk(
            min(top, probabilities.shape[1] - len(suppressed))
        )
        best = list(ids)
        for place, token in zip(holes, found.indices[:, 0].tolist(), strict=True):
            best[place] = token
        return [
            [
                Candidate(
                    token=self.tokenizer.tokens([token])[0],
                    text=self.tokenizer.decode([*best[:place], token, *best[place + 1 :]]),
                    probability=probability,
                )
                for token, probability in zip(tokens, probabilities, strict=True)
            ]
            for place, tokens, probabilities in zip(holes, found.indices.tolist(), found.values.tolist(), strict=True)
        ]

    def attention(self, text: str) -> SelfAttention:
        """The attention of every layer and head when the model reads a text, which may have holes."""
        ids = self.encode(text)
        with torch.inference_mode():
            return SelfAttention.of(self.tokenizer.tokens(ids), self.model.attention(*self._padded([ids])))

    def inspect(self, text: str, *, each_step: Callable[[], None] = lambda: None) -> "Inspected":
        """A text, which may have holes, as the model reads it, with every layer and head; and what may fill them.

        each_step: called before each reading; what it raises ends the call.
        """
        from attentio.runs.inspected import inspect_filling

        text = self.read(text)
        ids = self.encode(text)
        filled = self.fill(text, top=1)[0][0].text if self.mask in ids else None
        return inspect_filling(self.model, self.tokenizer, text, ids, filled, each_step=each_step)

    def change(self, text: str, change: "Change", *, each_step: Callable[[], None] = lambda: None) -> "Changed":
        """What fills the holes of a text, and once a token of it is erased, hidden (a hole, too) or replaced.

        each_step: called before each reading; what it raises ends the call. Raises AttentioError for a change that
        cannot be made.
        """
        from attentio.runs.changed import changed_filling

        ids = self.encode(text)
        return changed_filling(self.model, self.tokenizer, ids, change, mask=self.mask, each_step=each_step)

    def encode(self, text: str) -> list[int]:
        """The ids that the model reads for a text that may have holes."""
        text = self.read(text)
        ids = self.tokenizer.encode_with_holes(text)
        check_known(text, ids, self.tokenizer)
        return [self.begin, *ids, self.end]

    def _padded(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Texts and their lengths, as the model takes them."""
        device = self.model.output.weight.device
        return pad_rows(rows).to(device), torch.tensor([len(ids) for ids in rows], device=device)

    def rows(self, documents: Sequence[str]) -> list[list[int]]:
        """The ids of documents without holes, as the model reads them: long ones in several rows."""
        room = self.config.text.block - 2
        return [
            [self.begin, *ids[start : start + room], self.end]
            for ids in self.tokenizer.encode_all(documents)
            for start in range(0, len(ids), room)
        ]
