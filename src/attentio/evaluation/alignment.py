"""Word alignments read off attention, in Pharaoh's format, and their error rate against alignments made by people.

A line is the alignment of one sentence pair, counted from 0, source before target: `0-0 2-1` says that target word 1
comes from source word 2. Soft links carry their weight: `0-0:0.93 1-0:0.07`. Gold files mark possible links `i?j`.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.errors import AttentioError

_LINK = re.compile(r"(\d+)([-?])(\d+)")


class Link(NamedTuple):
    """A target token and a source token that it comes from, both counted from 0."""

    source: int
    target: int


class Gold(NamedTuple):
    """What people said about one sentence pair: links that are sure, and all that are possible, the sure ones too."""

    sure: frozenset[Link]
    possible: frozenset[Link]


class AlignmentScore(NamedTuple):
    """From 0 to 1; precision and recall are 0 where there is nothing to be right about."""

    error_rate: float
    precision: float
    recall: float


def hard_links(weights: Float[Tensor, "target source"], *, threshold: float = 0.0, mutual: bool = False) -> list[Link]:
    """Each target token with the source token that it looks at most, in the order of the target.

    Args:
        weights: from 0 to 1; row t is the attention that belongs to target token t.
        threshold: the least weight of a link, from 0 to 1. A row of zeros has no link whatever the threshold.
        mutual: keep only the links whose target token is also the one that looks at the source token most.
    """
    if not weights.numel():
        return []
    best, sources = weights.max(dim=1)
    kept = (best >= threshold) & (best > 0)
    if mutual:
        kept &= weights.argmax(dim=0)[sources] == torch.arange(len(weights), device=weights.device)
    return [Link(int(sources[target]), target) for target in kept.nonzero().flatten().tolist()]


def soft_links(weights: Float[Tensor, "target source"], *, threshold: float = 0.01) -> list[tuple[Link, float]]:
    """Every pair of tokens with its weight, if that is above 0 and at least the threshold, in the order of the target.

    weights: as `hard_links`.
    """
    kept = (weights >= threshold) & (weights > 0)
    return [(Link(source, target), float(weights[target, source])) for target, source in kept.nonzero().tolist()]


def shifted(weights: Float[Tensor, "target source"], *, by: int) -> Float[Tensor, "target source"]:
    """Row t of the result is row t + by of the weights, and zeros where there is no such row.

    The rows of attentio's matrices are the attention that produced a token. Two cases call for others:

        by=1    the attention of the step that reads token t. A decoder that queries before it has read a token cannot
                know it yet; in Transformers the next row often aligns better (Chen et al. 2020, "Accurate Word
                Alignment Induction from Neural Machine Translation", section 3.1, "shift-att").
        by=-1   for a matrix from elsewhere whose row t is the attention of state t, where the decoder produces token t
                with the attention of state t - 1: row t - 1 is what produced it.
    """
    result = torch.zeros_like(weights)
    rows = len(weights)
    first, last = max(0, -by), min(rows, rows - by)
    if first < last:
        result[first:last] = weights[first + by : last + by]
    return result


def format_hard(links: Iterable[Link]) -> str:
    """`0-0 2-1`"""
    return " ".join(f"{link.source}-{link.target}" for link in links)


def format_soft(links: Iterable[tuple[Link, float]]) -> str:
    """`0-0:0.93 1-0:0.07`, the weights with four significant digits."""
    return " ".join(f"{link.source}-{link.target}:{weight:.4g}" for link, weight in links)


def score_alignments(found: Sequence[Iterable[Link]], gold: Sequence[Gold]) -> AlignmentScore:
    """How well the links found agree with what people said, counted over all sentence pairs together.

        error rate = 1 - (|A and S| + |A and P|) / (|A| + |S|)
        precision  = |A and P| / |A|            recall = |A and S| / |S|

    with A the links found, S the sure and P the possible ones.

    Raises:
        AttentioError: neither a link was found nor one is sure.
        ValueError: found and gold differ in number.

    Reference: Och & Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models", section 5.
    """
    if len(found) != len(gold):
        raise ValueError(f"found must hold the links of each gold alignment: expected {len(gold)}, got {len(found)}")
    all_found = all_sure = in_sure = in_possible = 0
    for links, (sure, possible) in zip((frozenset(links) for links in found), gold, strict=True):
        all_found += len(links)
        all_sure += len(sure)
        in_sure += len(links & sure)
        in_possible += len(links & possible)
    if not all_found + all_sure:
        raise AttentioError("nothing to score: no link was found, and the gold alignments have no sure one")
    return AlignmentScore(
        error_rate=1 - (in_sure + in_possible) / (all_found + all_sure),
        precision=in_possible / max(all_found, 1),
        recall=in_sure / max(all_sure, 1),
    )


def read_gold(path: str | Path, *, first: int = 0) -> list[Gold]:
    """Read alignments made by people, a sentence pair a line: `i-j` is a sure link, `i?j` a possible one.

    first: the number of a sentence's first word in the file, 0 or 1. What comes back is counted from 0.

    Raises:
        AttentioError: the file cannot be read, or a line holds something else; it names file and line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise AttentioError(f"{path}: cannot be read: {error.strerror}; give a file of gold alignments") from None
    except UnicodeDecodeError:
        raise AttentioError(f"{path}: not a text file; give a line `0-0 1?2` for each sentence pair") from None
    return [_gold(line, f"{path}:{number}", first) for number, line in enumerate(lines, start=1)]


def _gold(line: str, where: str, first: int) -> Gold:
    sure, possible = set(), set()
    for word in line.split():
        parts = _LINK.fullmatch(word)
        if parts is None:
            raise AttentioError(f"{where}: {word!r} is no link; write 3-4 for a sure one, 3?4 for a possible one")
        link = Link(int(parts[1]) - first, int(parts[3]) - first)
        if min(link) < 0:
            raise AttentioError(f"{where}: {word!r} counts from 0, but the file was said to count from {first}")
        possible.add(link)
        if parts[2] == "-":
            sure.add(link)
    return Gold(frozenset(sure), frozenset(possible))
