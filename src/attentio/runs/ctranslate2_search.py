"""The search of a run's Transformer done by CTranslate2, in place of `decoding.search`."""

from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from attentio.config.schema import DecodingConfig
from attentio.decoding.search import Hypothesis, gnmt_penalty
from attentio.errors import AttentioError, extra
from attentio.export.ctranslate2 import Type, most_positions, vocabularies, write
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.runs.build import Tokenizers
from attentio.text.protocol import AnyTokenizer

with extra("fast"):
    import ctranslate2


class CTranslate2Search:
    """A model as CTranslate2 holds it, in memory.

    silent: ids that are never said. positions: tokens that a source or an output may have, its end counted.

    Raises AttentioError for a model that cannot go there, or is not on the CPU.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        tokenizers: Tokenizers[AnyTokenizer],
        silent: Sequence[int],
        *,
        end: int,
        type: Type,
    ) -> None:
        device = next(model.parameters()).device
        if device.type != "cpu":
            raise AttentioError(f"CTranslate2 is used on a CPU only, and the model is on {device}; give --device cpu")
        with TemporaryDirectory(prefix="attentio-") as folder:
            write(model, tokenizers.source, tokenizers.target, Path(folder), type=type)
            self._translator = ctranslate2.Translator(folder, device="cpu", intra_threads=torch.get_num_threads())
        self.positions = most_positions(model)
        self._source, self._target = vocabularies(model, tokenizers.source, tokenizers.target)
        self._ids, self._end = {token: i for i, token in enumerate(self._target)}, end
        self._silent = [[self._target[i]] for i in silent]

    def __call__(
        self,
        sources: Sequence[Sequence[int]],
        limits: Sequence[int],
        decoding: DecodingConfig,
        *,
        n_best: int,
        need_weights: bool,
    ) -> list[list[Hypothesis]]:
        """As `decoding.search.search`, for sources with their ends and the most tokens of each one's outputs.

        Of the hypotheses that its beam search ends with, the best by GNMT's penalty; while it searches, probabilities
        are shared out anew among the tokens that may be said. The scores are again those of the model itself.
        """
        texts = [[self._source[i] for i in source] for source in sources]
        everywhere = max(limits, default=0)
        found = self._translate(texts, everywhere, decoding, need_weights)
        # An output must not depend on what limits the others have.
        for limit in {*limits} - {everywhere}:
            over = [i for i, ended in enumerate(found) if limits[i] == limit and max(map(_length, ended)) > limit]
            again = self._translate([texts[i] for i in over], limit, decoding, need_weights)
            for i, ended in zip(over, again, strict=True):
                found[i] = ended
        best = [sorted(ended, key=lambda one: -one.score)[:n_best] for ended in found]
        return self._scored(texts, best, decoding.length_penalty)

    def _translate(
        self, texts: list[list[str]], limit: int, decoding: DecodingConfig, need_weights: bool
    ) -> list[list[Hypothesis]]:
        """All hypotheses that a search ends with, of at most `limit` tokens."""
        results = self._ask(texts, decoding.beam, limit + 1, need_weights)
        found = []
        for result in results:
            ended = zip(result.hypotheses, result.scores, result.attention or repeat(None), strict=False)
            found.append([self._hypothesis(*each, decoding.length_penalty) for each in ended])
        if need_weights and decoding.beam > 1 and texts:
            # Its beam search takes the first token's attention from another sentence of the batch.
            for result, hypotheses in zip(self._ask(texts, 1, 1, need_weights), found, strict=True):
                for hypothesis in hypotheses:
                    assert hypothesis.weights is not None
                    hypothesis.weights[0] = torch.tensor(result.attention[0][0])
        return found

    def _ask(self, texts: list[list[str]], beam: int, most: int, need_weights: bool) -> list[Any]:
        """Its results, with outputs of at most `most` tokens, the end counted."""
        return self._translator.translate_batch(
            texts,
            beam_size=beam,
            num_hypotheses=beam,
            length_penalty=0,
            suppress_sequences=self._silent,
            max_input_length=0,
            min_decoding_length=0,
            max_decoding_length=most,
            return_end_token=True,
            return_scores=True,
            return_attention=need_weights,
        )

    def _hypothesis(self, tokens: list[str], log_prob: float, weights: Any, alpha: float) -> Hypothesis:
        """Of a hypothesis that ends with the end token, or with one token too many."""
        ids = [self._ids[token] for token in tokens]
        looked = None if weights is None else torch.tensor(weights)
        score = log_prob / gnmt_penalty(len(ids), alpha)
        return Hypothesis(ids[:-1], score, log_prob, looked, finished=ids[-1] == self._end, log_probs=[])

    def _scored(self, texts: list[list[str]], found: list[list[Hypothesis]], alpha: float) -> list[list[Hypothesis]]:
        """With the model's own probabilities of their tokens and the end, the best first."""
        sources = [text for text, hypotheses in zip(texts, found, strict=True) for _ in hypotheses]
        targets = [[self._target[i] for i in one.tokens] for hypotheses in found for one in hypotheses]
        scores = iter(self._translator.score_batch(sources, targets, max_input_length=0))
        scored = []
        for hypotheses in found:
            rows = [(one, list(next(scores).log_probs)) for one in hypotheses]
            exact = [
                one._replace(score=sum(row) / gnmt_penalty(len(row), alpha), log_prob=sum(row), log_probs=row)
                for one, row in rows
            ]
            scored.append(sorted(exact, key=lambda one: -one.score))
        return scored


def _length(hypothesis: Hypothesis) -> int:
    return len(hypothesis.tokens)
