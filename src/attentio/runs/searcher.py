"""From ids of sources to hypotheses, in batches: what a run of encoder-decoders searches with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from attentio.config.schema import DecodingConfig
from attentio.data.batches import length_sorted_batches, pad_rows
from attentio.decoding.constraints import TokenConstraints
from attentio.decoding.drawn import joined
from attentio.decoding.sampling import Sampling, sample
from attentio.decoding.search import Hypothesis, search
from attentio.layers.packed import PackedWeights
from attentio.layers.positions import LearnedPositions
from attentio.memory import check_memory
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.pointer import PointerEncoderDecoder
from attentio.models.protocols import LatentAttention
from attentio.models.transformer import TransformerDecoder

if TYPE_CHECKING:
    from attentio.runs.ctranslate2_search import CTranslate2Search

EXTRA_OUTPUT_TOKENS = 10
"""What every output may have on top of max_length_ratio times the tokens of its source."""


@dataclass(frozen=True)
class Searcher:
    """A model, or several together, and the ids that begin, end, or may not be in an output.

    model: an `EncoderDecoder`, an `Ensemble`, or what reads in place of one. members: the models themselves.
    engine: what searches in place of `decoding.search`, where it can.
    """

    model: Any
    members: Sequence[EncoderDecoder]
    begin: int
    end: int
    forbidden: Sequence[int]
    engine: "CTranslate2Search | None" = None

    def search(
        self,
        sources: Sequence[Sequence[int]],
        decoding: DecodingConfig,
        n_best: int,
        attention: bool,
        each_step: Callable[[], None],
        constraints: TokenConstraints,
    ) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
        """Translate the sources, the longest first; yields the numbers of each batch and its outputs."""
        numbers = list(range(len(sources)))
        if self.engine is not None and not constraints.needs_history:
            for there, outputs in self._elsewhere(self.engine, sources, decoding, n_best, attention, each_step):
                yield there, outputs
                numbers = sorted({*numbers} - {*there})
        here = [sources[number] for number in numbers]
        for indices, state, limits in self.started(here, decoding, banks=constraints.banks):
            with torch.inference_mode():
                hypotheses = search(
                    self.model,
                    state,
                    max_lengths=limits,
                    begin=self.begin,
                    end=self.end,
                    forbidden=self.forbidden,
                    beam=decoding.beam,
                    length_penalty=decoding.length_penalty,
                    n_best=n_best,
                    need_weights=attention,
                    constraints=constraints,
                    each_step=each_step,
                )
            yield (
                [numbers[index] for index in indices],
                self.looked_back(hypotheses, [here[index] for index in indices]),
            )

    def draw(
        self,
        sources: Sequence[Sequence[int]],
        decoding: DecodingConfig,
        sampling: Sampling,
        generator: Callable[[int], torch.Generator],
        attention: bool,
        each_step: Callable[[], None],
        constraints: TokenConstraints,
    ) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
        """Draw `decoding.beam` outputs for each source; yields as `search` does.

        generator: of the random numbers of the source with this number. A source whose outputs may not be as long as
        the prefix that they must have gets none.
        """
        shortest = len(constraints.prefix)
        for indices, state, limits in self.started(sources, decoding):
            room = (limits >= shortest).tolist()
            if not all(room):
                without = [index for index, fits in zip(indices, room, strict=True) if not fits]
                yield without, [[] for _ in without]
            limits = limits.clamp(min=shortest)  # what is drawn where there is no room is left out
            first = torch.full_like(limits[:, None], self.begin).expand(-1, decoding.beam)
            steps = []
            with torch.inference_mode():
                for step in sample(
                    self.model,
                    state.reorder(torch.zeros_like(first)),
                    first,
                    sampling=sampling,
                    max_tokens=int(limits.max()) + 1,
                    end=self.end,
                    forbidden=self.forbidden,
                    generator=[generator(index) for index in indices],
                    limits=limits,
                    constraints=constraints,
                    need_weights=attention,
                ):
                    steps.append(step)
                    each_step()
            drawn = joined(steps, limits, length_penalty=decoding.length_penalty)
            drawn = self.looked_back(drawn, [sources[index] for index in indices])
            yield [*compress(indices, room)], [*compress(drawn, room)]

    def _elsewhere(
        self,
        engine: "CTranslate2Search",
        sources: Sequence[Sequence[int]],
        decoding: DecodingConfig,
        n_best: int,
        attention: bool,
        each_step: Callable[[], None],
    ) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
        """As `search`, for the sources that have room there."""
        lengths = torch.tensor([len(source) for source in sources], dtype=torch.long)
        limits = self.longest(lengths, decoding.max_length_ratio)
        # Of an empty text, which has its end alone, it says nothing at all.
        fit = ((torch.maximum(lengths, limits + 1) <= engine.positions) & (lengths > 1)).nonzero().squeeze(1)
        for indices in length_sorted_batches(lengths[fit].numpy(), batch_size=decoding.batch_size):
            each_step()
            chosen = fit[indices].tolist()
            asked = [sources[number] for number in chosen], limits[chosen].tolist()
            yield chosen, engine(*asked, decoding, n_best=n_best, need_weights=attention)

    def looked_back(self, found: list[list[Hypothesis]], sources: Sequence[Sequence[int]]) -> list[list[Hypothesis]]:
        """With what only the whole output tells: of an attention that is a random variable, and of copying."""
        pairs = [(source, one) for source, several in zip(sources, found, strict=True) for one in several]
        if not pairs or pairs[0][1].weights is None:
            return found
        from attentio.runs.aligned import attention_between, copied

        read, said = [source for source, _ in pairs], [[*one.tokens, self.end] for _, one in pairs]
        if isinstance(self.model, PointerEncoderDecoder):
            shares = iter(copied(self.model, read, said, self.begin))
            return [[one._replace(copied=next(shares)) for one in several] for several in found]
        if any(isinstance(member, LatentAttention) for member in self.members):
            weights = iter(attention_between(cast(Any, self.model), read, said, self.begin))
            return [
                [one._replace(weights=next(weights)[: len(one.tokens) + 1]) for one in several] for several in found
            ]
        return found

    def started(
        self, sources: Sequence[Sequence[int]], decoding: DecodingConfig, *, banks: int = 1
    ) -> Iterator[tuple[list[int], Any, Int[Tensor, "batch"]]]:
        """The sources in batches, the longest first: their numbers, the state after reading them, the length limits."""
        device = next(self.model.parameters()).device
        all_lengths = np.array([len(source) for source in sources], dtype=np.int64)
        batches = length_sorted_batches(all_lengths, batch_size=decoding.batch_size)
        packed = PackedWeights()
        if batches:
            self._check_memory(len(batches[0]), decoding.beam * banks)
        for indices in batches:
            padded = pad_rows([sources[index] for index in indices]).to(device)
            lengths = torch.from_numpy(all_lengths[indices]).to(device)
            with torch.inference_mode():
                state = self.model.start(self.model.encode(padded, lengths), packed=packed)
            yield indices.tolist(), state, self.longest(lengths, decoding.max_length_ratio)

    def _check_memory(self, texts: int, beam: int) -> None:
        """AttentioError where the probabilities of one step alone are too many."""
        words = self.members[0].output.out_features
        check_memory(
            (len(self.members) + 1) * 4 * texts * beam * words,  # logits, and log-probabilities
            f"a beam of {beam} for {texts:,} texts at a time, with {words:,} entries in the vocabulary,",
            "give a smaller beam (--beam) or decoding.batch_size",
        )

    @property
    def positions(self) -> int | None:
        """Most tokens of any output, its end not counted, where the decoder has learnt so many positions."""
        decoders = [one.decoder for one in self.members if isinstance(one.decoder, TransformerDecoder)]
        learnt = [one.embedding.positions for one in decoders if isinstance(one.embedding.positions, LearnedPositions)]
        return min((one.table.num_embeddings - 1 for one in learnt), default=None)

    def longest(self, lengths: Int[Tensor, "batch"], ratio: float) -> Int[Tensor, "batch"]:
        """Most tokens of each output, its end not counted, for sources of these lengths, their ends counted."""
        longest = ((lengths - 1) * ratio).long() + EXTRA_OUTPUT_TOKENS
        return longest if self.positions is None else longest.clamp(max=self.positions)

    def length_limit(self, ratio: float) -> str:
        """`longest` in words."""
        limits = (
            ""
            if self.positions is None
            else f", with any ratio {self.positions} at most, the positions that were learnt"
        )
        return f"{ratio:g} tokens for each of its source, and {EXTRA_OUTPUT_TOKENS} more{limits}"
