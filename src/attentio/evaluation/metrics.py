"""The quality of free-decoded output against its references: error rates, BLEU, chrF and TER."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import Literal, NamedTuple

from attentio.errors import AttentioError, did_you_mean, extra

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
    """

    name: str
    value: float
    higher_is_better: bool
    signature: str | None


def score(
    hypotheses: Sequence[str],
    references: References,
    *,
    metrics: Sequence[str],
    units: Units = "words",
    bleu_tokenize: str = "13a",
) -> list[Score]:
    """Compare each output with its references; one `Score` for each name in `metrics`, in that order.

    Args:
        hypotheses: one output a sequence, detokenised unless `bleu_tokenize` is "none".
        references: the right answers of each, one or more; their number may differ.
        metrics: names from `METRICS`.
        units: what "per" counts and "wer" and "exact" compare: whitespace-separated words (or phones), or
            characters, spaces among them.
        bleu_tokenize: sacreBLEU's tokenizer; "none" for text that is tokenised already.

    Raises:
        AttentioError: an unknown metric or BLEU tokenizer, or nothing to score.
        ValueError: hypotheses and references differ in number, or a hypothesis has no reference.

    Reference: word and phone error rate as in the SIGMORPHON shared tasks on grapheme-to-phoneme conversion;
        BLEU as in Post 2018, "A Call for Clarity in Reporting BLEU Scores".
    """
    _check_names(metrics)
    _check_texts(hypotheses, references)
    return [_one(name, hypotheses, references, units, bleu_tokenize) for name in metrics]


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


def _one(name: str, hypotheses: Sequence[str], references: References, units: Units, bleu_tokenize: str) -> Score:
    split: Callable[[str], list[str]] = str.split if units == "words" else list
    if name in ("wer", "exact"):
        exact = _per_cent_exact(hypotheses, references, split)
        return Score(name, exact if name == "exact" else 100 - exact, name == "exact", None)
    if name == "per":
        return Score(name, _edits_per_hundred_tokens(hypotheses, references, split), False, None)
    # A reference that is missing is None to sacreBLEU, which then reports "nrefs:var".
    streams = list(zip_longest(*references))
    metric = _bleu(bleu_tokenize) if name == "bleu" else CHRF() if name == "chrf" else TER()
    value = metric.corpus_score(list(hypotheses), streams).score
    return Score(name, float(value), name != "ter", str(metric.get_signature()))


def _per_cent_exact(hypotheses: Sequence[str], references: References, split: Callable[[str], list[str]]) -> float:
    right = sum(
        split(hypothesis) in map(split, of_one) for hypothesis, of_one in zip(hypotheses, references, strict=True)
    )
    return 100 * right / len(hypotheses)


def _edits_per_hundred_tokens(
    hypotheses: Sequence[str], references: References, split: Callable[[str], list[str]]
) -> float:
    def nearest() -> Iterator[tuple[int, int]]:
        for hypothesis, of_one in zip(hypotheses, references, strict=True):
            tokens = [split(reference) for reference in of_one]
            edits = [Levenshtein.distance(split(hypothesis), reference) for reference in tokens]
            # Of two equally near references the longer one counts: the lower rate.
            yield min(zip(edits, map(len, tokens), strict=True), key=lambda pair: (pair[0], -pair[1]))

    edits, tokens = map(sum, zip(*nearest(), strict=True))
    # With no reference token at all, every inserted token counts as a whole one.
    return 100 * edits / max(tokens, 1)


def _bleu(tokenize: str) -> BLEU:
    if tokenize not in BLEU.TOKENIZERS:
        raise AttentioError(_unknown("BLEU tokenizer", tokenize, sorted(BLEU.TOKENIZERS)))
    try:
        # `force` only silences the warning about tokenised text where that is what was asked for.
        return BLEU(tokenize=tokenize, force=tokenize == "none")
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise AttentioError(f"BLEU tokenizer {tokenize!r} cannot be used: {reason}") from error
