"""A trained causal language model, ready to use: it goes on with a text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from attentio.commands.inspected import Inspected, inspect_continuation
from attentio.commands.language import VERBS, AnyTokenizer, SelfAttention, check_known, needed, never_said
from attentio.commands.loading import Loaded, load_directory
from attentio.commands.options import Config
from attentio.decoding.sampling import Sampled, Sampling, sample
from attentio.errors import AttentioError
from attentio.layers.positions import LearnedPositions
from attentio.layers.unchanging import unchanging_weights
from attentio.models.causal_lm import CausalLM
from attentio.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Generated:
    """One sample.

    text: the prompt and what follows it. tokens: those that were drawn, the end token last if the text ended; ids:
    theirs.
    log_prob: natural logarithm of the probability that the model itself gives to the drawn tokens.
    finished: whether the model ended the text; otherwise it is cut off.
    """

    text: str
    tokens: list[str]
    ids: list[int]
    log_prob: float
    finished: bool


@dataclass(frozen=True)
class Piece:
    """One drawn token of a text that is still growing. text: what has become certain with it, perhaps nothing yet."""

    text: str
    token: str
    log_prob: float


class CausalRun:
    """A causal language model with its tokenizer, as one thing that goes on with a text."""

    def __init__(self, path: Path, config: Config, tokenizer: AnyTokenizer, model: CausalLM) -> None:
        self.path, self.config, self.tokenizer = path, config, tokenizer
        self.model = model.eval()
        self.end = needed(tokenizer.end, "end", path)

    @classmethod
    def load(cls, path: str | Path, *, checkpoint: str = "best") -> "CausalRun":
        """Read a run directory; `checkpoint` is "best" or "last".

        Raises AttentioError for one that holds another kind of model, or is damaged.
        """
        return cls.of(load_directory(path, checkpoint=checkpoint))

    @classmethod
    def of(cls, loaded: Loaded) -> "CausalRun":
        """The run of what was loaded; AttentioError if that is another kind of model."""
        if not isinstance(loaded.model, CausalLM):
            verb = VERBS[loaded.config.model.type]
            raise AttentioError(f"{loaded.path} is no causal language model; use `attentio {verb}`")
        return cls(loaded.path, loaded.config, loaded.tokenizers.source, loaded.model)

    def generate(
        self,
        prompt: str,
        sampling: Sampling | None = None,
        *,
        samples: int = 1,
        max_tokens: int = 256,
        seed: int | None = None,
    ) -> list[Generated]:
        """Go on with the prompt, `samples` times independently; an empty prompt begins a text.

        A text ends where the model ends it, after `max_tokens` drawn tokens, or where the positions that the model
        has learnt end. sampling: how tokens are drawn; None for the model's plain probabilities. The same seed draws
        the same; None draws differently each time.

        Raises AttentioError for a prompt with words that the vocabulary does not know, or one that is too long.
        """
        ids = self.encode(prompt)
        limit = self._limit(ids, max_tokens)
        with unchanging_weights():  # without loops, which round otherwise: the same seed draws the same
            steps = list(self._draw(ids, sampling or Sampling(), samples, limit, seed))
        tokens = torch.stack([step.tokens[0] for step in steps], dim=1)
        log_probs = torch.stack([step.log_probs[0] for step in steps], dim=1).double().sum(1)
        lengths = torch.stack([step.live[0] for step in steps], dim=1).sum(1)
        drawn = [row[:length] for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)]
        return [
            Generated(
                text=self.tokenizer.decode([*ids, *row]),
                tokens=self.tokenizer.tokens(row),
                ids=row,
                log_prob=log_prob,
                finished=row[-1] == self.end,
            )
            for row, log_prob in zip(drawn, log_probs.tolist(), strict=True)
        ]

    def stream(
        self, prompt: str, sampling: Sampling | None = None, *, max_tokens: int = 256, seed: int | None = None
    ) -> Iterator[Piece]:
        """One sample, as `generate` draws it, token by token.

        The texts of the pieces, one after the other, are the text; the first has the prompt too. A piece
        holds only what later tokens cannot change: a letter in several bytes comes with the last of them, a Hangul
        syllable spelt in jamo when it is certain that no final consonant follows.
        """
        ids = self.encode(prompt)
        limit = self._limit(ids, max_tokens)
        said = 0
        for count, step in enumerate(self._draw(ids, sampling or Sampling(), 1, limit, seed), start=1):
            ids = [*ids, int(step.tokens)]
            text = self.tokenizer.decode(ids)
            if ids[-1] != self.end and count < limit:
                text = self._certain(text)
            yield Piece(text[said:], self.tokenizer.tokens(ids[-1:])[0], float(step.log_probs))
            said = max(said, len(text))

    def attention(self, text: str) -> SelfAttention:
        """The attention of every layer and head when the model reads a text; no token looks at a later one."""
        ids = self.encode(text)
        with torch.inference_mode():
            blocks = self.model.attention(torch.tensor([ids]))
        return SelfAttention(
            self.tokenizer.tokens(ids), torch.stack([block.own[0] for block in blocks if block.own is not None])
        )

    def inspect(self, text: str, *, max_tokens: int = 0) -> Inspected:
        """A text as the model reads it, with every layer and head; or how it most probably goes on.

        max_tokens: most tokens to go on with.
        """
        greedy = Sampling(temperature=0.0)
        output = self.generate(text, greedy, max_tokens=max_tokens)[0] if max_tokens else None
        return inspect_continuation(self, text, output)

    def encode(self, prompt: str) -> list[int]:
        """The ids that the model reads for a prompt: at least one."""
        ids = self.tokenizer.encode(prompt)
        check_known(prompt, ids, self.tokenizer)
        if self.tokenizer.begin is not None:
            return [self.tokenizer.begin, *ids]
        return ids or [self.end]  # a tokenizer such as GPT-2's: texts follow the end of others

    def rows(self, documents: Sequence[str]) -> list[list[int]]:
        """The ids of documents, a row each, which the model is to foresee but for the first."""
        begin = self.end if self.tokenizer.begin is None else self.tokenizer.begin
        return [[begin, *ids, self.end] for ids in self.tokenizer.encode_all(documents)]

    def _draw(
        self, ids: Sequence[int], sampling: Sampling, samples: int, max_tokens: int, seed: int | None
    ) -> Iterator[Sampled]:
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        prompt = torch.tensor([ids])
        with torch.no_grad():
            state = self.model.start(prompt[:, :-1])
        return sample(
            self.model,
            state.reorder(torch.zeros(1, samples, dtype=torch.long)),
            prompt[:, -1:].expand(1, samples),
            sampling=sampling,
            max_tokens=max_tokens,
            end=self.end,
            forbidden=never_said(self.tokenizer, self.model.output.out_features, but=self.end),
            prompt=prompt,
            generator=generator,
        )

    def _limit(self, ids: Sequence[int], max_tokens: int) -> int:
        """`max_tokens`, or as many as the model has learnt positions for: the last drawn token is not read."""
        positions = self.model.embedding.positions
        if not isinstance(positions, LearnedPositions):
            return max_tokens
        return min(max_tokens, max(1, positions.table.num_embeddings - len(ids) + 1))

    def _certain(self, text: str) -> str:
        """The text without an end that the next tokens may change."""
        text = text.rstrip("\ufffd")  # the first bytes of a letter
        if isinstance(self.tokenizer, Tokenizer) and self.tokenizer.jamo and text and _may_grow(text[-1]):
            return text[:-1]
        return text


def _may_grow(letter: str) -> bool:
    """Whether a jamo after it could join it: an initial consonant, or a Hangul syllable without a final consonant."""
    return "\u1100" <= letter <= "\u1112" or ("가" <= letter <= "힣" and (ord(letter) - ord("가")) % 28 == 0)
