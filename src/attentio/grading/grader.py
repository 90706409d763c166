"""at.grade: is somebody's code what the paper says, and if not, which line is different?"""

import inspect
import secrets
import traceback
from collections.abc import Mapping
from typing import Any

import torch

from attentio.errors import AttentioError, did_you_mean
from attentio.grading.attempt import of_libraries
from attentio.grading.candidates import Failed, attention_candidates
from attentio.grading.corruption import corruption_candidates
from attentio.grading.judging import difference, judge
from attentio.grading.papers.catalogue import PAPERS
from attentio.grading.reading import Meaning, Unreadable
from attentio.grading.report import Grade
from attentio.grading.tables import table_candidates

_MEANINGS: dict[str | None, Meaning] = {"keep": "keep", "drop": "drop"}


def grade(
    code: Any,
    paper: str,
    *,
    weights: Mapping[str, Any] | None = None,
    mask_means: str | None = None,
    language: str = "en",
    seed: int | None = None,
) -> Grade:
    """Compare code with a paper on random inputs, and name the deviation that explains a difference.

    The code runs beside an oracle in float64 that is written from the paper's equation. Each mistake that is known is a
    switch in that oracle: the one with which it computes what the code computes is the one that is named. Arguments are
    told by their names, else by their order.

    Args:
        code: a function of tensors or arrays, a module, or a module's class. A module is copied, its parameters are
            drawn afresh, and it runs in evaluation mode.
        paper: "bahdanau", "luong-dot", "scaled-dot-product", ..
        weights: which of the module's parameters (or their names) are the paper's, by the paper's names: {"W": ..}; of
            a function that holds its parameters elsewhere, those tensors. Otherwise told by shape and name.
        mask_means: "keep" where True may be attended to, "drop" where it is ignored; otherwise both are tried.
        language: of the sentences.
        seed: of the random inputs; drawn if None. The grade shows it.

    Raises:
        AttentioError: it is not clear how to call the code, or there is no such paper. What the code itself raises is
            part of the grade.

    >>> def attention(query, key, value, mask):
    ...     return (query @ key.transpose(-1, -2)).masked_fill(~mask, -1e9).softmax(-1) @ value
    >>> at.grade(attention, "scaled-dot-product", mask_means="keep", language="en", seed=1)
    Grade(scaled-dot-product: no scale)
    >>> w = torch.randn(5, 4)
    >>> def general(query, keys):
    ...     return (query @ w @ keys.transpose(-1, -2)).softmax(-1) @ keys
    >>> at.grade(general, "luong-general", weights={"W": w}, seed=1)
    Grade(luong-general: right)
    """
    if paper not in PAPERS:
        raise AttentioError(f"no paper {paper!r}{did_you_mean(paper, PAPERS) or '; there are ' + ', '.join(PAPERS)}")
    if language not in ("en", "ko"):
        raise AttentioError(f'language must be "en" or "ko", got {language!r}')
    means = _MEANINGS.get(mask_means)
    if means is None and mask_means is not None:
        raise AttentioError(f'mask_means must be "keep" or "drop", got {mask_means!r}')
    if not callable(code):
        raise AttentioError(f"code must be a function or a module, got {type(code).__name__}")
    if isinstance(code, torch.jit.ScriptModule):
        raise AttentioError("code is a scripted module, which cannot be cast; give the module that it was made from")
    seed = secrets.randbelow(2**31) if seed is None else seed
    code = getattr(code, "_orig_mod", code)  # what torch.compile wrapped
    known = PAPERS[paper]
    if known.kind != "attention":
        _check_arguments_are_told(code, known.signature)
    try:
        if known.kind == "attention":
            found = judge(attention_candidates(code, known, weights=weights or {}, mask_means=means, seed=seed), known)
        elif known.kind == "table":
            found = judge(table_candidates(code, known, mask_means=means, seed=seed), known)
        else:
            found = judge(corruption_candidates(code, known, seed=seed), known)
    except Failed as failed:
        if isinstance(failed.cause, Unreadable):
            name = getattr(code, "__qualname__", type(code).__name__)
            raise AttentioError(f"{name}: {failed.cause}; write it as: {known.signature}") from None
        return Grade(known, False, seed=seed, language=language, raised=_told(failed.cause, language))
    raised = found.candidate.raised
    return Grade(
        known,
        found.right,
        found.deviations,
        found.conventions,
        found.candidate.notes,
        None if found.right else difference(found.candidate),
        seed,
        language,
        None if raised is None or found.deviations else _told(raised, language),
    )


def _check_arguments_are_told(code: Any, written: str) -> None:
    try:
        inspect.signature(code)
    except (TypeError, ValueError):  # built in or compiled
        name = getattr(code, "__name__", type(code).__name__)
        raise AttentioError(f"{name} does not say its arguments; call it in a function of yours: {written}") from None


def _told(error: Exception, language: str) -> str:
    """What the code raised, with the line of it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not of_libraries(frame.filename)]
    place = ""
    if frames:
        line = f"{frames[-1].lineno}번째 줄" if language == "ko" else f"line {frames[-1].lineno}"
        place = f" ({frames[-1].filename}, {line})"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{place}"
