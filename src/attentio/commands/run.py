"""A trained model, read back from its run directory and ready to use."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from attentio.commands.aligned import Aligned, align
from attentio.commands.build import Tokenizers
from attentio.commands.causal_run import CausalRun
from attentio.commands.inspected import Inspected, inspect_translation
from attentio.commands.language import VERBS, never_said
from attentio.commands.loading import Loaded, load_directory
from attentio.commands.masked_run import MaskedRun
from attentio.commands.options import Config, DecodingConfig
from attentio.data.batches import EncodedPairs, length_sorted_batches
from attentio.data.pairs import Pair
from attentio.decoding.search import Hypothesis, search
from attentio.errors import AttentioError
from attentio.layers.positions import LearnedPositions
from attentio.layers.unchanging import unchanging_weights
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.masked_lm import MaskedLM
from attentio.models.transformer import TransformerDecoder
from attentio.text.tokenizer import PAD

LONGER_THAN_RATIO = 10
"""Tokens that any output may have besides max_length_ratio times its source's."""


@dataclass(frozen=True)
class Translation:
    """One output.

    tokens: those of the output, the end token last; source_tokens: those of the input, its end token last.
    ids: of tokens, in the vocabulary of the target.
    score: log-probability (natural) divided by the length penalty. attention: [tokens, source_tokens]; row t is the
    attention that token t came from; None for a model without attention.
    """

    text: str
    tokens: list[str]
    ids: list[int]
    source_tokens: list[str]
    score: float
    attention: Float[Tensor, "target source"] | None


class Run:
    """What a run directory holds, as one thing that translates."""

    def __init__(self, path: Path, config: Config, tokenizers: Tokenizers, model: EncoderDecoder) -> None:
        self.path, self.config, self.tokenizers = path, config, tokenizers
        self.model = model.eval()

    @classmethod
    def load(cls, path: str | Path, *, checkpoint: str = "best") -> "Run":
        """Read a run directory; `checkpoint` is "best" or "last".

        Raises AttentioError for a directory that is not a run, or whose files are missing, truncated or altered.
        """
        return cls.of(load_directory(path, checkpoint=checkpoint))

    @classmethod
    def of(cls, loaded: Loaded) -> "Run":
        """The run of what was loaded; AttentioError if that is a language model."""
        if not isinstance(loaded.model, EncoderDecoder):
            raise AttentioError(f"{loaded.path} cannot translate; use `attentio {VERBS[loaded.config.model.type]}`")
        return cls(loaded.path, loaded.config, loaded.tokenizers, loaded.model)

    def translate(self, texts: Sequence[str], *, beam: int | None = None) -> list[Translation]:
        """The best output for each text, in order; `candidates` has more options."""
        return [best[0] for best in self.candidates(texts, beam=beam)]

    def candidates(
        self,
        texts: Sequence[str],
        *,
        n_best: int = 1,
        beam: int | None = None,
        length_penalty: float | None = None,
        max_length_ratio: float | None = None,
        batch_size: int | None = None,
        attention: bool = True,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[list[Translation]]:
        """The `n_best` outputs for each text, best first.

        Options that are None are as configured. attention: whether the outputs carry it, which takes time.
        progress: told how many more texts are done, as they are.
        """
        asked = {
            "beam": beam,
            "length_penalty": length_penalty,
            "max_length_ratio": max_length_ratio,
            "batch_size": batch_size,
        }
        decoding = DecodingConfig(
            **{
                **vars(self.config.decoding),
                **{key: value for key, value in asked.items() if value is not None},
            }
        )
        if n_best > decoding.beam:
            raise ValueError(f"n_best must be at most the beam, got {n_best} and a beam of {decoding.beam}")
        tokenizer = self.tokenizers.source
        sources = [[*ids, tokenizer.end] for ids in tokenizer.encode_all(texts)]
        found: list[list[Translation]] = [[] for _ in texts]
        with unchanging_weights(loops=True):
            for indices, hypotheses in self._search(sources, decoding, n_best, attention):
                for index, best in zip(indices, hypotheses, strict=True):
                    tokens = tokenizer.tokens(sources[index])
                    found[index] = [self._translation(hypothesis, tokens) for hypothesis in best]
                progress(len(indices))
        return found

    def inspect(self, text: str, *, beam: int | None = None) -> Inspected:
        """The best output for a text with the attention of every layer and head, and what else might have been said.

        `run.inspect(text).page().save("page.html")` writes a page about it. Raises AttentioError for a model without
        attention.
        """
        (output,) = self.translate([text], beam=beam)
        if output.attention is None:
            raise AttentioError(f"{self.path} was trained without attention, so there is none to look at")
        return inspect_translation(self, text, output)

    def align(self, pairs: Sequence[tuple[str, str]], *, layer: int | None = None) -> list[Aligned]:
        """What the model looks at when it is made to say the target of each pair of source and target, in order.

        layer: of a Transformer decoder, from 1; its heads are averaged. None for the last, as in `translate`.

        Raises AttentioError for a model without attention, or without that layer.
        """
        return align(self, pairs, layer=layer)

    def encode(self, pairs: Iterable[Pair]) -> EncodedPairs:
        """The token ids of pairs."""
        return EncodedPairs.encode(pairs, *self.tokenizers)

    def _search(
        self, sources: Sequence[Sequence[int]], decoding: DecodingConfig, n_best: int, attention: bool
    ) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
        """Translate the sources, the longest first; yields the numbers of each batch and its outputs."""
        target = self.tokenizers.target
        device = next(self.model.parameters()).device
        all_lengths = np.array([len(source) for source in sources], dtype=np.int64)
        for indices in length_sorted_batches(all_lengths, batch_size=decoding.batch_size):
            rows = [torch.tensor(sources[index]) for index in indices]
            padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD).to(device)
            lengths = torch.from_numpy(all_lengths[indices]).to(device)
            with torch.inference_mode():
                hypotheses = search(
                    self.model,
                    self.model.start(self.model.encode(padded, lengths)),
                    max_lengths=self._longest(lengths, decoding.max_length_ratio),
                    begin=target.begin,
                    end=target.end,
                    forbidden=never_said(target, self.model.output.out_features, but=target.end),
                    beam=decoding.beam,
                    length_penalty=decoding.length_penalty,
                    n_best=n_best,
                    need_weights=attention,
                )
            yield indices.tolist(), hypotheses

    def _longest(self, lengths: Int[Tensor, "batch"], ratio: float) -> Int[Tensor, "batch"]:
        """Most tokens of each output, its end not counted, for sources of these lengths, their ends counted."""
        longest = ((lengths - 1) * ratio).long() + LONGER_THAN_RATIO
        decoder = self.model.decoder
        if isinstance(decoder, TransformerDecoder) and isinstance(decoder.embedding.positions, LearnedPositions):
            longest = longest.clamp(max=decoder.embedding.positions.table.num_embeddings - 1)
        return longest

    def _translation(self, hypothesis: Hypothesis, source_tokens: list[str]) -> Translation:
        tokenizer = self.tokenizers.target
        attention = hypothesis.weights
        ids = [*hypothesis.tokens, tokenizer.end]
        return Translation(
            text=tokenizer.decode(hypothesis.tokens),
            tokens=tokenizer.tokens(ids),
            ids=ids,
            source_tokens=source_tokens,
            score=hypothesis.score,
            attention=None if attention is None else attention[:, : len(source_tokens)],
        )


def load(path: str | Path, *, checkpoint: str = "best") -> Run | MaskedRun | CausalRun:
    """Read a run directory, whatever kind of model is in it, or BERT, GPT-2 or Marian from a directory of Hugging Face.

    checkpoint: of a run, "best" or "last".

    Raises AttentioError for a directory that is neither, or whose files are missing, truncated or altered.
    """
    loaded = load_directory(path, checkpoint=checkpoint)
    if isinstance(loaded.model, MaskedLM):
        return MaskedRun.of(loaded)
    return CausalRun.of(loaded) if isinstance(loaded.model, CausalLM) else Run.of(loaded)
