"""A trained causal language model, ready to use: it goes on with a text."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attentio.config.schema import Config
from attentio.decoding.sampling import Sampled, Sampling, sample
from attentio.layers.packed import PackedWeights
from attentio.layers.positions import LearnedPositions
from attentio.layers.token_embedding import check_lengths
from attentio.models.causal_lm import CausalLM
from attentio.runs.build import CAUSAL_LM
from attentio.runs.directory import Contents
from attentio.runs.one_kind import OneKind
from attentio.runs.outputs import Generated, Piece, Scored, SelfAttention
from attentio.runs.vocabulary import check_known, needed, suppressed_ids
from attentio.text.normal import begun, checked, normalized
from attentio.text.protocol import AnyTokenizer

if TYPE_CHECKING:
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected


class CausalRun(OneKind):
    """A causal language model with its tokenizer, as one thing that goes on with a text.

    >>> run = at.CausalRun.load("causal-lm", checkpoint="best", device="cpu", allow_code=[])
    >>> run.generate("The prince", at.Sampling(top_p=0.8), samples=2, max_tokens=5, seed=1, each_step=lambda: None)
    [Generated('The prince..., 5 tokens, log-probability -..., cut off), Generated('The prince...)]
    >>> "".join(piece.text for piece in run.stream("The prince", max_tokens=3, seed=1))
    'The prince...'
    >>> run.score(["The prince"], progress=lambda done: None)
    [Scored(... tokens, ...)]
    >>> run.attention("The prince")
    SelfAttention(... tokens, weights [4, ...])
    >>> run.inspect("The prince", max_tokens=2, each_step=lambda: None)
    Inspected('The prince...', 4 attentions; .page() shows them)
    >>> run.change("The prince", at.Change(1, "hide"), max_tokens=2, each_step=lambda: None)
    Changed('The prince...' → '...')
    >>> run.read(" The prince "), run.most_tokens("The prince", 5) == len(run.encode("The prince")) + 5
    ('The prince ', True)
    >>> run.rows(["The prince"])[0][:-1] == run.encode("The prince")
    True
    >>> run.check_text("The prince", "line 1")
    >>> from attentio.runs.load import read
    >>> at.CausalRun.of(read("causal-lm"))
    <CausalRun ...>
    """

    blueprint = CAUSAL_LM
    main_use = "generate"

    def __init__(self, path: Path, config: Config, tokenizer: AnyTokenizer, model: CausalLM) -> None:
        self.path, self.config, self.tokenizer = path, config, tokenizer
        self.model = model.eval()
        self.end = needed(tokenizer.end, "end", path)

    @classmethod
    def of(cls, contents: Contents) -> "CausalRun":
        """The run of what a directory holds."""
        return cls(contents.path, contents.config, contents.tokenizers.source, contents.model)

    def read(self, prompt: str) -> str:
        """The beginning of a text as it is read in training, but for white space at its end, which more may follow."""
        (prompt,) = checked([prompt])
        return begun(prompt, lambda text: normalized(text, self.config.text.normalize))

    def generate(
        self,
        prompt: str,
        sampling: Sampling | None = None,
        *,
        samples: int = 1,
        max_tokens: int = 256,
        seed: int | None = None,
        each_step: Callable[[], None] = lambda: None,
    ) -> list[Generated]:
        """Go on with the prompt, `samples` times independently; an empty prompt begins a text.

        A text ends where the model ends it, after `max_tokens` drawn tokens, or where the positions that the model
        has learnt end. sampling: how tokens are drawn; None for the model's plain probabilities. The same seed draws
        the same; None draws differently each time. each_step: called after each step; what it raises ends the call.

        Raises AttentioError for a prompt with words that the vocabulary does not know, or one that is too long.
        """
        ids = self.encode(prompt)
        limit = self._limit(ids, max_tokens)
        steps = []
        for step in self._draw(ids, sampling or Sampling(), samples, limit, seed):
            steps.append(step)
            each_step()
        tokens = torch.stack([step.tokens[0] for step in steps], dim=1)
        log_probs = torch.stack([step.log_probs[0] for step in steps], dim=1).cpu().double().sum(1)
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
                text = self.tokenizer.settled(text)
            yield Piece(text[said:], self.tokenizer.tokens(ids[-1:])[0], float(step.log_probs))
            said = max(said, len(text))

    def check_text(self, text: str, where: str) -> None:
        """AttentioError, which begins with `where`, for more tokens than the model has learnt positions for."""
        read = normalized(text, self.config.text.normalize)
        check_lengths([self.model.embedding], lambda: len(*self.rows([read])) - 1, where)  # the last is not read

    def score(self, texts: Sequence[str], *, progress: Callable[[int], None] = lambda done: None) -> list[Scored]:
        """How probable the model finds each text, in order: every token of it, and its end.

        progress: told how many more texts are done, as they are.

        Raises AttentioError for a text with more tokens than the model has learnt positions for.
        """
        from attentio.runs.scoring import score_texts

        rows = self.rows([normalized(text, self.config.text.normalize) for text in checked(texts)])
        batch_size = self.config.decoding.batch_size
        return score_texts(self.model, self.tokenizer, rows, batch_size=batch_size, progress=progress)

    def attention(self, text: str) -> SelfAttention:
        """The attention of every layer and head when the model reads a text; no token looks at a later one."""
        ids = self.encode(text)
        with torch.inference_mode():
            return SelfAttention.of(self.tokenizer.tokens(ids), self.model.attention(self._row(ids)))

    def inspect(self, text: str, *, max_tokens: int = 0, each_step: Callable[[], None] = lambda: None) -> "Inspected":
        """A text as the model reads it, with every layer and head; or how it most probably goes on.

        max_tokens: most tokens to go on with. each_step: as in `generate`.
        """
        from attentio.runs.inspected import inspect_continuation

        text = self.read(text)
        greedy = Sampling(temperature=0.0)
        output = self.generate(text, greedy, max_tokens=max_tokens, each_step=each_step)[0] if max_tokens else None
        ids = self.encode(text)
        return inspect_continuation(self.model, self.tokenizer, text, ids, output, each_step=each_step)

    def change(
        self, text: str, change: "Change", *, max_tokens: int = 24, each_step: Callable[[], None] = lambda: None
    ) -> "Changed":
        """How a text most probably goes on, and once a token of it is erased, hidden or replaced.

        max_tokens: most tokens to go on with. each_step: called before each reading; what it raises ends the call.
        Raises AttentioError for a change that cannot be made.
        """
        from attentio.runs.changed import changed_continuation

        if max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
        return changed_continuation(
            self.model,
            self.tokenizer,
            self.encode(text),
            change,
            most=lambda ids: self._limit(ids, max_tokens),
            end=self.end,
            each_step=each_step,
        )

    def most_tokens(self, prompt: str, max_tokens: int) -> int:
        """Tokens of a prompt and of the longest text that may follow it."""
        ids = self.encode(prompt)
        return len(ids) + self._limit(ids, max_tokens)

    def encode(self, prompt: str) -> list[int]:
        """The ids that the model reads for a prompt: at least one."""
        prompt = self.read(prompt)
        ids = self.tokenizer.encode(prompt)
        check_known(prompt, ids, self.tokenizer)
        if self.tokenizer.begin is not None:
            return [self.tokenizer.begin, *ids]
        return ids or [self.end]  # a tokenizer such as GPT-2's: texts follow the end of others

    def rows(self, documents: Sequence[str]) -> list[list[int]]:
        """The ids of documents, one row per document; the model predicts every id but the first."""
        begin = self.end if self.tokenizer.begin is None else self.tokenizer.begin
        return [[begin, *ids, self.end] for ids in self.tokenizer.encode_all(documents)]

    def _draw(
        self, ids: Sequence[int], sampling: Sampling, samples: int, max_tokens: int, seed: int | None
    ) -> Iterator[Sampled]:
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        if seed is not None and not 0 <= seed < 2**64:
            raise ValueError(f"seed must be at least 0 and below 2**64, got {seed}")
        generator = torch.Generator()  # of the CPU: a seed means the same on every device
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        prompt = self._row(ids)
        with torch.no_grad():
            state = self.model.start(prompt[:, :-1], packed=PackedWeights())
        return sample(
            self.model,
            state.reorder(torch.zeros_like(prompt[:, :1]).expand(1, samples)),
            prompt[:, -1:].expand(1, samples),
            sampling=sampling,
            max_tokens=max_tokens,
            end=self.end,
            forbidden=suppressed_ids(self.tokenizer, self.model.output.out_features, but=self.end),
            prompt=prompt,
            generator=generator,
        )

    def _row(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([ids], device=self.model.output.weight.device)

    def _limit(self, ids: Sequence[int], max_tokens: int) -> int:
        """`max_tokens`, or as many as the model has learnt positions for: the last drawn token is not read."""
        positions = self.model.embedding.positions
        if not isinstance(positions, LearnedPositions):
            return max_tokens
        return min(max_tokens, max(1, positions.table.num_embeddings - len(ids) + 1))
