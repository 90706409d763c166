"""A trained masked language model, ready to use: it fills holes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from attentio.commands.inspected import Inspected, inspect_filling
from attentio.commands.language import VERBS, AnyTokenizer, SelfAttention, check_known, needed, never_said
from attentio.commands.loading import Loaded, load_directory
from attentio.commands.options import Config
from attentio.errors import AttentioError
from attentio.models.masked_lm import MaskedLM


@dataclass(frozen=True)
class Candidate:
    """What may stand in a hole.

    text: the whole text with the token in its hole, and every other hole filled with its most probable token.
    probability: that the model gives to the token there, of its whole vocabulary.
    """

    token: str
    text: str
    probability: float


class MaskedRun:
    """A masked language model with its tokenizer, as one thing that fills holes."""

    def __init__(self, path: Path, config: Config, tokenizer: AnyTokenizer, model: MaskedLM) -> None:
        self.path, self.config, self.tokenizer = path, config, tokenizer
        self.model = model.eval()
        self.begin = needed(tokenizer.begin, "begin", path)
        self.end = needed(tokenizer.end, "end", path)
        self.mask = needed(tokenizer.mask, "mask", path)

    @classmethod
    def load(cls, path: str | Path, *, checkpoint: str = "best") -> "MaskedRun":
        """Read a run directory; `checkpoint` is "best" or "last".

        Raises AttentioError for one that holds another kind of model, or is damaged.
        """
        return cls.of(load_directory(path, checkpoint=checkpoint))

    @classmethod
    def of(cls, loaded: Loaded) -> "MaskedRun":
        """The run of what was loaded; AttentioError if that is another kind of model."""
        if not isinstance(loaded.model, MaskedLM):
            verb = VERBS[loaded.config.model.type]
            raise AttentioError(f"{loaded.path} is no masked language model; use `attentio {verb}`")
        return cls(loaded.path, loaded.config, loaded.tokenizers.source, loaded.model)

    def fill(self, text: str, *, top: int = 5) -> list[list[Candidate]]:
        """For each [MASK] in the text, in order, the `top` most probable tokens, best first.

        All holes are predicted from one reading of the text, each as if it were the only question: tokens that
        are best in their holes need not go together.

        Raises AttentioError for a text without [MASK], or with words that the vocabulary does not know.
        """
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        ids = self.encode(text)
        holes = [place for place, token in enumerate(ids) if token == self.mask]
        if not holes:
            raise AttentioError("no [MASK] in the text; write one where a word is missing")
        with torch.inference_mode():
            features = self.model.features(torch.tensor([ids]), torch.tensor([len(ids)]))
            probabilities = self.model.output(features[0, holes]).softmax(-1)
        never = never_said(self.tokenizer, probabilities.shape[1])
        found = probabilities.index_fill(1, torch.tensor(never), -1.0).topk(
            min(top, probabilities.shape[1] - len(never))
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
                for token, probability in zip(tokens, chances, strict=True)
            ]
            for place, tokens, chances in zip(holes, found.indices.tolist(), found.values.tolist(), strict=True)
        ]

    def attention(self, text: str) -> SelfAttention:
        """The attention of every layer and head when the model reads a text, which may have holes."""
        ids = self.encode(text)
        with torch.inference_mode():
            blocks = self.model.attention(torch.tensor([ids]), torch.tensor([len(ids)]))
        return SelfAttention(
            self.tokenizer.tokens(ids), torch.stack([block.own[0] for block in blocks if block.own is not None])
        )

    def inspect(self, text: str) -> Inspected:
        """A text, which may have holes, as the model reads it, with every layer and head; and what may fill them."""
        return inspect_filling(self, text)

    def encode(self, text: str) -> list[int]:
        """The ids that the model reads for a text that may have holes."""
        ids = self.tokenizer.encode_with_holes(text)
        check_known(text, ids, self.tokenizer)
        return [self.begin, *ids, self.end]

    def rows(self, documents: Sequence[str]) -> list[list[int]]:
        """The ids of documents without holes, as the model reads them: long ones in several rows."""
        room = self.config.text.block - 2
        return [
            [self.begin, *ids[start : start + room], self.end]
            for ids in self.tokenizer.encode_all(documents)
            for start in range(0, len(ids), room)
        ]
