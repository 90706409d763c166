"""The quality of free-decoded output against its references: error rates, BLEU, chrF and TER."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from attentio.errors import AttentioError, did_you_mean, extra
from attentio.evaluation.resampling import margin, margin_of_share, p_value, rate, resamples_of

with extra("train"):
    from rapidfuzz.distance import Levenshtein
    from sacrebleu.metrics import BLEU, CHRF, TER

Units = Literal["words", "characters"]
References = Sequence[Sequence[str]]

METRICS: Mapping[str, str] = MappingProxyType(
    {
        "wer": "per cent of outputs that equal none of their references (word error rate as in g2p)",
        "per": "edits per reference token in per cent, against the nearest reference (phone error rate)",
        "exact": "per cent of outputs that equal a reference",
        "bleu": "BLEU of the whole corpus, by sacreBLEU",
        "chrf": "chrF2 of the whole corpus, by sacreBLEU",
        "ter": "translation edit rate of the whole corpus in per cent, by sacreBLEU",
    }
)


class Score(NamedTuple):
    """One number about a whole corpus.

    name: one of `METRICS`.
    value: from 0 to 100, except that error rates counted in edits ("per", "ter") can exceed 100.
    higher_is_better: False for the error rates.
    signature: sacreBLEU's record of the settings, to be quoted beside the number; None for the others.
    margin: half the width of the value's 95% interval; None where it was not estimated.
    """

    name: str
    value: float
    higher_is_better: bool
    signature: str | None
    margin: float | None = None


def score(
    hypotheses: Sequence[str],
    references: References,
    *,
    metrics: Sequence[str],
    units: Units = "words",
    bleu_tokenize: str = "13a",
    margins: bool = False,
) -> list[Score]:
    """Compare each output with its references; one `Score` for each name in `metrics`, in that order.

    Args:
        hypotheses: one output a sequence, detokenised unless `bleu_tokenize` is "none".
        references: the right answers of each, one or more; their number may differ.
        metrics: names from `METRICS`.
        units: what "per" counts and "wer" and "exact" compare: whitespace-separated words (or phones), or
            characters, spaces among them.
        bleu_tokenize: sacreBLEU's tokenizer; "none" for text that is tokenised already.
        margins: also how far each value may be off by the choice of the sequences: the 95% interval, of "wer" and
            "exact" by Wilson, of the others of 1,000 (fewer for more than 5,000 sequences, none for more than 50,000)
            resamples of them.

    Raises:
        AttentioError: an unknown metric or BLEU tokenizer, or nothing to score.
        ValueError: hypotheses and references differ in number, or a hypothesis has no reference.

    Reference: word and phone error rate as in the SIGMORPHON shared tasks on grapheme-to-phoneme conversion;
        BLEU as in Post 2018, "A Call for Clarity in Reporting BLEU Scores".
    """
    _check_names(metrics)
    _check_texts(hypotheses, references)
    resamples = resamples_of(len(hypotheses)) if margins else 0
    return [_one(name, hypotheses, references, units, bleu_tokenize, resamples) for name in metrics]


def difference_p_value(
    name: str,
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: References,
    *,
    units: Units = "words",
    bleu_tokenize: str = "13a",
) -> float | None:
    """How probable so great a difference of two models' scores is if neither is better: a p-value, by paired bootstrap.

    name: of the metric. others: another model's outputs for the same sources. The other arguments, and errors, are
    those of `score`. None for more than 50,000 sequences, where even small differences are no chance.

    Reference: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation"; as in sacreBLEU, whose
        own test it is for BLEU, chrF and TER.
    """
    _check_names([name])
    _check_texts(hypotheses, references)
    _check_texts(others, references)
    if not (resamples := resamples_of(len(hypotheses))):
        return None
    if list(hypotheses) == list(others):
        return 1.0  # 1 / 1,001 to sacreBLEU, as no resample differs
    if name in _COUNTED:
        ours, theirs = (_counts(name, texts, references, units) for texts in (hypotheses, others))
        return p_value(ours, theirs, resamples)
    from sacrebleu.significance import PairedTest

    metric, streams = _corpus_metric(name, bleu_tokenize), list(zip_longest(*references))
    systems = [("others", list(others)), ("ours", list(hypotheses))]
    _, table = PairedTest(systems, {name: metric}, streams, test_type="bs", n_samples=resamples)()
    (found,) = (column[1] for heading, column in table.items() if heading != "System")
    return float(found.p_value)


def check_metrics(metrics: Sequence[str], bleu_tokenize: str) -> None:
    """Make sure that `score` can compute these, before the long work that is to be scored.

    Raises:
        AttentioError: an unknown metric or BLEU tokenizer, or one whose library is not installed.
    """
    _check_names(metrics)
    if "bleu" in metrics:
        _bleu(bleu_tokenize)


def _check_names(metrics: Sequence[str]) -> None:
    for name in metrics:
        if name not in METRICS:
            raise AttentioError(_unknown("metric", name, list(METRICS)))


def _check_texts(hypotheses: Sequence[str], references: References) -> None:
    if len(hypotheses) != len(references):
        raise ValueError(
            f"references must hold one entry a hypothesis: expected {len(hypotheses)} entries, got {len(references)}"
        )
    for index, of_one in enumerate(references):
        if not of_one or isinstance(of_one, str):
            raise ValueError(f"references[{index}] must be a sequence of one or more references, got {of_one!r}")
    if not hypotheses:
        raise AttentioError("nothing to score: the evaluation data has no sequences")


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    return f"unknown {what} {name!r}; known are {', '.join(known)}{did_you_mean(name, known)}"


_COUNTED = ("wer", "per", "exact")
"""Sums over the sequences, divided by sums."""


def _one(
    name: str, hypotheses: Sequence[str], references: References, units: Units, bleu_tokenize: str, resamples: int
) -> Score:
    if name in _COUNTED:
        counts = _counts(name, hypotheses, references, units)
        off = None if not resamples else margin(counts, resamples) if name == "per" else margin_of_share(counts)
        return Score(name, rate(counts), name == "exact", None, off)
    # A reference that is missing is None to sacreBLEU, which then reports "nrefs:var".
    streams = list(zip_longest(*references))
    metric = _corpus_metric(name, bleu_tokenize)
    found = metric.corpus_score(list(hypotheses), streams, n_bootstrap=max(resamples, 1))
    signature = str(metric.get_signature())
    told = json.loads(found.format(width=6, signature=signature, is_json=True))
    return Score(
        name, float(found.score), name != "ter", signature, told.get("confidence_var", 0.0) if resamples else None
    )


def _counts(
    name: str, hypotheses: Sequence[str], references: References, units: Units
) -> Float[np.ndarray, "sequences 2"]:
    """Of each sequence what the metric counts, and of how many."""
    split = tokens_of(units)
    if name == "per":
        return np.array([_edits(each, of_one, split) for each, of_one in zip(hypotheses, references, strict=True)])
    right = [split(each) in map(split, of_one) for each, of_one in zip(hypotheses, references, strict=True)]
    return np.array([(float(one == (name == "exact")), 1.0) for one in right])


def tokens_of(units: Units) -> Callable[[str], list[str]]:
    """What splits a text into what is counted."""
    return str.split if units == "words" else list


def nearest(hypothesis: str, references: Sequence[str], split: Callable[[str], list[str]]) -> tuple[int, list[str]]:
    """The edits from the nearest reference, and its tokens. Of two equally near the longer one: the lower rate."""
    tokens = [split(reference) for reference in references]
    edits = [Levenshtein.distance(split(hypothesis), reference) for reference in tokens]
    return min(zip(edits, tokens, strict=True), key=lambda pair: (pair[0], -len(pair[1])))


def _edits(hypothesis: str, references: Sequence[str], split: Callable[[str], list[str]]) -> tuple[float, float]:
    edits, tokens = nearest(hypothesis, references, split)
    return float(edits), float(len(tokens))


def _corpus_metric(name: str, bleu_tokenize: str) -> BLEU | CHRF | TER:
    return _bleu(bleu_tokenize) if name == "bleu" else CHRF() if name == "chrf" else TER()


def _bleu(tokenize: str) -> BLEU:
    if tokenize not in BLEU.TOKENIZERS:
        raise AttentioError(_unknown("BLEU tokenizer", tokenize, sorted(BLEU.TOKENIZERS)))
    try:
        # `force` only silences the warning about tokenised text where that is what was asked for.
        return BLEU(tokenize=tokenize, force=tokenize == "none")
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise AttentioError(f"BLEU tokenizer {tokenize!r} cannot be used: {reason}") from error
