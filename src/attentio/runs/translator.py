"""A trained model, read back from its run directory and ready to use."""

import copy
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from attentio.config.schema import Config, DecodingConfig
from attentio.decoding.drawn import generator_of
from attentio.decoding.sampling import Sampling
from attentio.decoding.search import Hypothesis
from attentio.errors import AttentioError
from attentio.layers.bfloat16 import in_bfloat16
from attentio.layers.token_embedding import check_lengths
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.ensemble import Ensemble
from attentio.models.transformer import TransformerDecoder, TransformerEncoder
from attentio.runs.build import ENCODER_DECODER, Tokenizers
from attentio.runs.constraints import Constraints
from attentio.runs.directory import Contents
from attentio.runs.one_kind import OneKind
from attentio.runs.outputs import Scored, Translation
from attentio.runs.searcher import Searcher
from attentio.runs.vocabulary import needed, suppressed_ids
from attentio.text.copying import Copying
from attentio.text.featured import FeaturedTokenizer
from attentio.text.features import check_featured, read_featured
from attentio.text.normal import checked, checked_pairs, normalized
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import Tokenizer
from attentio.text.unknown import Unknown, unknown_in

if TYPE_CHECKING:
    from attentio.export.ctranslate2 import Type
    from attentio.runs.aligned import Aligned
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected


class Run(OneKind):
    """What a run directory holds, or several together, as one thing that translates.

    members: its models, of which there is one, or those of an `Ensemble`.

    >>> run = at.Run.load("dates-luong", checkpoint="best", device="cpu", allow_code=[])
    >>> run.translate(["14 March 2026"], beam=5)
    [Translation('2026-03-14', score ..., attention [11, 14])]
    >>> found = run.candidates(
    ...     ["14 March 2026"], n_best=2, beam=4, length_penalty=0.6, max_length_ratio=2.0, batch_size=8,
    ...     attention=False, constraints=at.Constraints(prefix="2"), unmet=print, progress=print,
    ...     each_step=lambda: None,
    ... )
    1
    >>> found[0][0]
    Translation('2026-03-14', score ...)
    >>> run.sample(
    ...     ["14 March 2026"], at.Sampling(top_p=0.9), samples=2, seed=1, numbers=[7], max_length_ratio=2.0,
    ...     batch_size=8, attention=False, constraints=at.Constraints(prefix="2"), unmet=print, progress=print,
    ...     each_step=lambda: None,
    ... )
    1
    [[Translation('2026-03-14', score ...), Translation('2026-03-14', score ...)]]
    >>> run.inspect("14 March 2026", beam=1, each_step=lambda: None)
    Inspected('2026-03-14', 1 attentions; .page() shows them)
    >>> run.change("14 March 2026", at.Change(3, "replace", "m"), beam=1, each_step=lambda: None)
    Changed('2026-03-14' → '2026-...')
    >>> run.align([("14 March 2026", "2026-03-14")], layer=None)
    [Aligned(14 tokens of the source, 11 of the target)]
    >>> run.score([("14 March 2026", "2026-03-14")], progress=lambda done: None)
    [Scored(11 tokens, ...)]
    >>> run.read(" 14 March 2026 "), run.most_tokens("14 March 2026"), run.longest(torch.tensor([14]), 2.0)
    ('14 March 2026', 64, tensor([36]))
    >>> run.read_source(" 14 March 2026 "), run.features
    ('14 March 2026', ())
    >>> run.check_source("14 March 2026", "line 1"), run.check_pair("14 March 2026", "2026-03-14", "line 1")
    (None, None)
    >>> run.unknown_in_pair("14 March 2026", "2026/03/14")
    ([], [Unknown(text='/', place=5, known=None), Unknown(text='/', place=8, known=None)])
    >>> run.length_limit(max_length_ratio=2.0)
    '2 tokens for each of its source, and 10 more'
    >>> from attentio.runs.load import read
    >>> at.Run.of(read("dates-luong"))
    <Run ...>
    """

    blueprint = ENCODER_DECODER
    main_use = "translate"

    def __init__(
        self, path: Path, config: Config, tokenizers: Tokenizers[AnyTokenizer], model: EncoderDecoder | Ensemble
    ) -> None:
        self.path, self.config, self.tokenizers = path, config, tokenizers
        self.model = model.eval()
        self.members: list[EncoderDecoder] = [model] if isinstance(model, EncoderDecoder) else [*model]
        self.words = self.members[0].output.out_features
        self.source_end = needed(tokenizers.source.end, "end", path)
        self.begin = needed(tokenizers.target.begin, "begin", path)
        self.end = needed(tokenizers.target.end, "end", path)
        self.copying: Copying | None = None
        if config.model.copy and isinstance(tokenizers.source, Tokenizer) and isinstance(tokenizers.target, Tokenizer):
            self.copying = Copying(tokenizers.source, tokenizers.target)
        self.suppressed = suppressed_ids(tokenizers.target, self.words, but=self.end)
        self.searcher = Searcher(self.model, self.members, self.begin, self.end, self.suppressed)

    @classmethod
    def of(cls, contents: Contents) -> "Run":
        """The run of what a directory holds."""
        return cls(contents.path, contents.config, contents.tokenizers, contents.model)

    def in_ctranslate2(self, *, type: "Type" = "float32") -> "Run":
        """The same run, whose outputs CTranslate2 searches for, with weights in float32 or in int8, which is faster
        and rounds coarsely.

        Its beam search stops earlier. What it has no room for (over 4,096 tokens) is searched for as before, and
        samples are drawn as before. Raises AttentioError for a model that it cannot hold, such as a recurrent one.

        >>> at.load("dates-transformer").in_ctranslate2(type="int8").translate(["14 March 2026"], beam=1)
        [Translation('2026-03-14', score ..., attention [11, 14])]
        """
        from attentio.runs.ctranslate2_search import CTranslate2Search

        if not isinstance(self.model, EncoderDecoder):
            raise AttentioError(f"{self.path}: CTranslate2 holds one model, and these are several; give one")
        if self.features:
            raise AttentioError(f"{self.path} is trained with features, which CTranslate2 has not; search without it")
        run = copy.copy(self)
        engine = CTranslate2Search(self.model, self.tokenizers, self.suppressed, end=self.end, type=type)
        run.searcher = replace(self.searcher, engine=engine)
        return run

    def in_bfloat16(self) -> "Run":
        """The same run, with products in bfloat16, but for those of the output layer: faster, and rounded to 3 digits.

        Raises AttentioError on a device other than a CPU, on a processor without instructions for bfloat16, and for a
        run that CTranslate2 searches for.

        >>> at.load("dates-transformer").in_bfloat16().translate(["14 March 2026"])  # where the processor has them
        [Translation('2026-03-14', score ..., attention [11, 14])]
        """
        if self.searcher.engine is not None:
            raise AttentioError(f"{self.path}: CTranslate2 searches, with a type of its own; leave out one of the two")
        members = [in_bfloat16(member, but=member.output) for member in self.members]
        run = copy.copy(self)
        run.members, run.model = members, Ensemble(members) if isinstance(self.model, Ensemble) else members[0]
        run.searcher = replace(self.searcher, model=run.model, members=members)
        return run

    def read(self, text: str) -> str:
        """The text as it is read in training: see `text.normalize`."""
        return normalized(text, self.config.text.normalize)

    @property
    def features(self) -> tuple[str, ...]:
        """Those of sources that the model knows; none of a model that is trained without: see `data.features`."""
        source = self.tokenizers.source
        return source.features if isinstance(source, FeaturedTokenizer) else ()

    def read_source(self, text: str) -> str:
        """A source as it is read in training; of a model with features text, a tab and features.

        Raises AttentioError where those are missing.
        """
        return read_featured(text, self.config.text.normalize) if self.features else self.read(text)

    def check_source(self, text: str, where: str) -> None:
        """AttentioError, which begins with `where`, for a source without the features that the model is trained with,
        or of more tokens than it has learnt positions for."""
        if self.features:
            check_featured(text, where)
        encoders = [one.encoder for one in self.members if isinstance(one.encoder, TransformerEncoder)]
        check_lengths(
            (one.embedding for one in encoders), lambda: len(*self._source_ids([self.read_source(text)])), where
        )

    def check_pair(self, source: str, target: str, where: str) -> None:
        """`check_source`, and the same of the target's tokens."""
        self.check_source(source, f"{where}: source")
        decoders = [one.decoder for one in self.members if isinstance(one.decoder, TransformerDecoder)]
        pair = self.read_source(source), self.read(target)
        check_lengths((one.embedding for one in decoders), lambda: len(*self._target_ids([pair])), f"{where}: target")

    def unknown_in_pair(self, source: str, target: str) -> tuple[list[Unknown], list[Unknown]]:
        """What of a source and of its target becomes the unknown token; of a model that copies, what of a target its
        source has not either."""
        source, target = self.read_source(source), self.read(target)
        found = unknown_in(target, self.tokenizers.target)
        if self.copying is not None and found:
            copied = self.copying.symbols(source)
            found = [one for one in found if one.text not in copied]
        return unknown_in(source, self.tokenizers.source), found

    def translate(self, texts: Sequence[str], *, beam: int | None = None) -> list[Translation]:
        """The best output for each text, in order; `candidates` explains the options and has more."""
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
        constraints: Constraints | None = None,
        unmet: Callable[[int, AttentioError], None] | None = None,
        progress: Callable[[int], None] = lambda done: None,
        each_step: Callable[[], None] = lambda: None,
    ) -> list[list[Translation]]:
        """The `n_best` outputs for each text, best first: texts that differ, fewer where the beam ends with fewer.

        Options that are None are as configured. attention: whether the outputs carry it, which takes time.
        progress: told how many more texts are done, as they are.
        constraints: what the outputs must be like.
        unmet: told the place of each text that has no output which meets them, from 0, and the error; such a text gets
            no outputs. None raises the error.
        each_step: called before each step of decoding; what it raises ends the call.

        Raises AttentioError for a text that has no output which meets the constraints, unless `unmet` is told.
        """
        limits = (constraints or Constraints()).of(self.tokenizers.target, self.read)
        decoding = self._decoding(
            beam=beam, length_penalty=length_penalty, max_length_ratio=max_length_ratio, batch_size=batch_size
        )
        if n_best > decoding.beam:
            raise ValueError(f"n_best must be at most the beam, got {n_best} and a beam of {decoding.beam}")
        texts = self._read_all(texts)
        sources = self._source_ids(texts)
        found: list[list[Translation]] = [[] for _ in texts]
        for indices, hypotheses in self.searcher.search(sources, decoding, n_best, attention, each_step, limits):
            for index, best in zip(indices, hypotheses, strict=True):
                if not best:
                    self._tell_unmet(unmet, index, texts[index], max_length_ratio)
                found[index] = self._distinct(best, texts[index], sources[index])
            progress(len(indices))
        # Other pieces of a text that is there already took places: among all that the beam ends with there may be more.
        short = [index for index, best in enumerate(found) if 0 < len(best) < n_best < decoding.beam]
        again = [sources[index] for index in short]
        for indices, hypotheses in self.searcher.search(again, decoding, decoding.beam, attention, each_step, limits):
            for i, best in zip(indices, hypotheses, strict=True):
                found[short[i]] = self._distinct(best, texts[short[i]], again[i])[:n_best]
        return found

    def sample(
        self,
        texts: Sequence[str],
        sampling: Sampling | None = None,
        *,
        samples: int = 1,
        seed: int | None = None,
        numbers: Sequence[int] | None = None,
        max_length_ratio: float | None = None,
        batch_size: int | None = None,
        attention: bool = True,
        constraints: Constraints | None = None,
        unmet: Callable[[int, AttentioError], None] | None = None,
        progress: Callable[[int], None] = lambda done: None,
        each_step: Callable[[], None] = lambda: None,
    ) -> list[list[Translation]]:
        """Draw `samples` outputs for each text independently, in the order in which they were drawn; some may be equal.

        sampling: how tokens are drawn; None for the model's plain probabilities.
        seed: the same draws the same, within rounding, whatever the other texts and the size of the batches; None draws
            differently each time.
        numbers: of the texts; a text's random numbers are those of the seed and its number. None counts from 1.
        Other options as in `candidates`, but that of what is drawn no words can be required.
        """
        asked = (constraints or Constraints()).of(self.tokenizers.target, self.read)
        if asked.required:
            raise AttentioError("words can be required of what is searched for, not of what is drawn; leave one out")
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if numbers is not None and (len(numbers) != len(texts) or min(numbers, default=0) < 0):
            raise ValueError(f"numbers must be as many as texts, {len(texts)}, and none below 0, got {list(numbers)}")
        plain = type(self.model) is EncoderDecoder
        if sampling is not None and sampling.repetition_penalty != 1 and not plain:
            raise AttentioError(
                f"{self.path}: a repetition penalty lowers what the output layer of one model says, and here several "
                f"models, copies or edits have a say; leave it out"
            )
        decoding = self._decoding(beam=samples, max_length_ratio=max_length_ratio, batch_size=batch_size)
        texts = self._read_all(texts)
        sources = self._source_ids(texts)
        numbers = range(1, len(texts) + 1) if numbers is None else numbers
        seed = secrets.randbits(63) if seed is None else seed
        found: list[list[Translation]] = [[] for _ in texts]
        drawn = self.searcher.draw(
            sources,
            decoding,
            sampling or Sampling(),
            lambda index: generator_of(seed, numbers[index]),
            attention,
            each_step,
            asked,
        )
        for indices, several in drawn:
            for index, hypotheses in zip(indices, several, strict=True):
                if not hypotheses:
                    self._tell_unmet(unmet, index, texts[index], max_length_ratio)
                found[index] = self._translations(hypotheses, texts[index], sources[index])
            progress(len(indices))
        return found

    def most_tokens(self, text: str) -> int:
        """Tokens of a text and of the longest output that it may have, the ends counted."""
        source = torch.tensor([len(ids) for ids in self._source_ids([self.read_source(text)])])
        return int(source + self.searcher.longest(source, self.config.decoding.max_length_ratio)) + 1

    def longest(self, lengths: Int[Tensor, "batch"], ratio: float) -> Int[Tensor, "batch"]:
        """Most tokens of each output, its end not counted, for sources of these lengths, their ends counted."""
        return self.searcher.longest(lengths, ratio)

    def length_limit(self, max_length_ratio: float | None = None) -> str:
        """How many tokens an output may have, in words. max_length_ratio: None for the configured one."""
        return self.searcher.length_limit(
            self.config.decoding.max_length_ratio if max_length_ratio is None else max_length_ratio
        )

    def inspect(
        self, text: str, *, beam: int | None = None, each_step: Callable[[], None] = lambda: None
    ) -> "Inspected":
        """The best output for a text with the attention of every layer and head, and what else might have been said.

        `run.inspect(text).page().save("page.html")` writes a page about it. Options as in `candidates`. Raises
        AttentioError for a model without attention, and for several together.
        """
        from attentio.runs.inspected import inspect_translation

        if not isinstance(self.model, EncoderDecoder):
            raise AttentioError(f"{self.path}: the inside of one model can be shown, and these are several; give one")
        text = self.read_source(text)
        ((output,),) = self.candidates([text], beam=beam, each_step=each_step)
        if output.attention is None:
            raise AttentioError(f"{self.path} was trained without attention, so there is none to look at")
        asked = text, self._source_ids([text])[0], output
        return inspect_translation(self.model, self._tokenizers_of(text), *asked, begin=self.begin, each_step=each_step)

    def change(
        self, text: str, change: "Change", *, beam: int | None = None, each_step: Callable[[], None] = lambda: None
    ) -> "Changed":
        """The best output for a text, and the best one once a token of the text is erased, hidden or replaced.

        Options as in `candidates`. Raises AttentioError for a change that cannot be made, and for several models
        together.
        """
        from attentio.runs.changed import ReadOtherwise, changed_translation, read_changed

        if not isinstance(self.model, EncoderDecoder):
            raise AttentioError(f"{self.path}: the inside of one model can be changed, and these are several; give one")
        text = self.read_source(text)
        (ids,) = self._source_ids([text])
        tokenizers = self._tokenizers_of(text)
        source, known = tokenizers.source, self.tokenizers.source
        encode: Callable[[str], list[int]] = source.encode
        if isinstance(known, FeaturedTokenizer) and known.is_feature(*ids[change.place : change.place + 1]):
            encode = known.feature_id
        read = read_changed(ids, change, source, stand_in=source.unknown, encode=encode)
        erased = change.place if change.how == "erase" else None
        found = []
        for model in (ReadOtherwise(self.model, ids), ReadOtherwise(self.model, read, erased=erased)):
            run = copy.copy(self)
            run.searcher = replace(self.searcher, model=model, engine=None)
            ((output,),) = run.candidates([text], beam=beam, attention=False, each_step=each_step)
            found.append((model, output))
        before, after = found
        return changed_translation(before, after, tokenizers, begin=self.begin, each_step=each_step)

    def score(
        self, pairs: Sequence[tuple[str, str]], *, progress: Callable[[int], None] = lambda done: None
    ) -> list[Scored]:
        """How probable the model finds the target of each pair of source and target, in order.

        Probabilities are the model's own, as in `translate`; a target that its vocabulary does not know in part is
        scored with the unknown token there. progress: told how many more pairs are done, as they are.
        """
        from attentio.runs.scoring import score_pairs

        read = [(self.read_source(source), self.read(target)) for source, target in checked_pairs(pairs)]
        return score_pairs(
            self.model,
            [self._tokenizers_of(source).target for source, _ in read],
            self._source_ids([source for source, _ in read]),
            self._target_ids(read),
            begin=self.begin,
            batch_size=self.config.decoding.batch_size,
            progress=progress,
        )

    def align(self, pairs: Sequence[tuple[str, str]], *, layer: int | None = None) -> "list[Aligned]":
        """What the model looks at when it is made to say the target of each pair of source and target, in order.

        layer: of a Transformer decoder, from 1; its heads are averaged. None for the last, as in `translate`.

        Raises AttentioError for a model without attention, or without that layer.
        """
        from attentio.runs.aligned import align

        read = [(self.read_source(source), self.read(target)) for source, target in checked_pairs(pairs)]
        return align(
            self.model,
            [self._tokenizers_of(source) for source, _ in read],
            self._source_ids([source for source, _ in read]),
            self._target_ids(read),
            begin=self.begin,
            layer=layer,
            batch_size=self.config.decoding.batch_size,
        )

    def _decoding(self, **asked: Any) -> DecodingConfig:
        """The configured options with those that are asked for, not None."""
        return DecodingConfig(
            **vars(self.config.decoding) | {key: value for key, value in asked.items() if value is not None}
        )

    def _tell_unmet(
        self, unmet: Callable[[int, AttentioError], None] | None, place: int, text: str, ratio: float | None
    ) -> None:
        error = AttentioError(
            f"no output for {text[:40]!r} was found that has what it must have; an output may have "
            f"{self.length_limit(ratio)}; --max-length-ratio lets it have more"
        )
        if unmet is None:
            raise error
        unmet(place, error)

    def _read_all(self, texts: Sequence[str]) -> list[str]:
        return [self.read_source(text) for text in checked(texts)]

    def _source_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if self.copying is not None:
            return [[*self.copying.source_ids(text), self.source_end] for text in texts]
        return [[*ids, self.source_end] for ids in self.tokenizers.source.encode_all(texts)]

    def _target_ids(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Of the targets of pairs of source and target."""
        if self.copying is not None:
            return [[*self.copying.said_ids(target, source), self.end] for source, target in checked_pairs(pairs)]
        return [[*ids, self.end] for ids in self.tokenizers.target.encode_all(target for _, target in pairs)]

    def _tokenizers_of(self, text: str) -> Tokenizers[AnyTokenizer]:
        """What the ids of a source and of its target stand for."""
        return self.tokenizers if self.copying is None else Tokenizers(*self.copying.of(text))

    def _distinct(self, hypotheses: Sequence[Hypothesis], text: str, source: list[int]) -> list[Translation]:
        """The outputs for a text, each text once: the same may be said in other pieces, with a lower score."""
        outputs: dict[str, Translation] = {}
        for output in self._translations(hypotheses, text, source):
            outputs.setdefault(output.text, output)
        return list(outputs.values())

    def _translations(self, hypotheses: Sequence[Hypothesis], text: str, source: list[int]) -> list[Translation]:
        tokenizers = self._tokenizers_of(text)
        tokens = tokenizers.source.tokens(source)
        known = self.tokenizers.source.unknown not in source and max(source) < self.tokenizers.source.size
        unknown = [] if known else unknown_in(text, self.tokenizers.source)
        return [self._translation(hypothesis, tokens, unknown, tokenizers.target) for hypothesis in hypotheses]

    def _translation(
        self, hypothesis: Hypothesis, source_tokens: list[str], unknown: list[Unknown], tokenizer: AnyTokenizer
    ) -> Translation:
        attention = hypothesis.weights
        ids = [*hypothesis.tokens, self.end]
        return Translation(
            text=tokenizer.decode(hypothesis.tokens),
            tokens=tokenizer.tokens(ids),
            ids=ids,
            source_tokens=source_tokens,
            score=hypothesis.score,
            attention=None if attention is None else attention[:, : len(source_tokens)].cpu(),
            finished=hypothesis.finished,
            unknown=unknown,
            log_probs=hypothesis.log_probs,
            copied=hypothesis.copied,
        )
