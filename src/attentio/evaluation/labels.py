"""How well labels are told: accuracy, F1 of each label, and of spans where labels mark them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attentio.evaluation.confusions import Confusion
from attentio.evaluation.metrics import Score

LABEL_METRICS: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "per cent of the labels that are right",
        "macro-f1": "mean over the labels of F1, the harmonic mean of precision and recall, in per cent",
        "span-f1": "F1 of whole spans, from B-X over I-X to the next other label, in per cent",
    }
)


def label_scores(found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> list[Score]:
    """Accuracy and macro-F1 over all labels; span F1 where all of them are O, B-X and I-X.

    found, expected: the labels of each text, equally many. A label that is said and never expected counts in the mean
    with F1 = 0, as one that is expected and never said does.
    """
    pairs = [pair for texts in zip(found, expected, strict=True) for pair in zip(*texts, strict=True)]
    right, said, wanted = (Counter[str](each) for each in ((a for a, b in pairs if a == b), *zip(*pairs, strict=True)))
    each_label = [2 * right[label] / (said[label] + wanted[label]) for label in said | wanted]
    scores = [
        Score("accuracy", 100 * right.total() / len(pairs), True, None),
        Score("macro-f1", 100 * sum(each_label) / len(each_label), True, None),
    ]
    if marks_spans(wanted):
        ours, theirs = (
            {(text, *span) for text, labels in enumerate(texts) for span in spans(labels)}
            for texts in (found, expected)
        )
        both = len(ours) + len(theirs)
        scores.append(Score("span-f1", 100 * 2 * len(ours & theirs) / both if both else 100.0, True, None))
    return scores


def marks_spans(labels: Mapping[str, int]) -> bool:
    """Whether the labels are O, B-X and I-X, and mark spans at all."""
    return any(label.startswith("B-") for label in labels) and all(
        label == "O" or label[:2] in ("B-", "I-") for label in labels
    )


def spans(labels: Sequence[str]) -> list[tuple[int, int, str]]:
    """First word, word after the last, and kind of each span; an I-X that follows no X begins one (as in conlleval)."""
    found: list[tuple[int, int, str]] = []
    for place, label in enumerate(labels):
        mark, _, kind = label.partition("-")
        if not kind:
            continue
        if mark == "I" and found and found[-1][1:] == (place, kind):
            found[-1] = (found[-1][0], place + 1, kind)
        else:
            found.append((place, place + 1, kind))
    return found


def label_confusions(found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> list[Confusion]:
    """Which label is said for which, the most frequent first."""
    pairs = Counter((b, a) for texts in zip(found, expected, strict=True) for a, b in zip(*texts, strict=True))
    of: Counter[str] = Counter()
    for (wanted, _), count in pairs.items():
        of[wanted] += count
    wrong = sorted(
        ((pair, count) for pair, count in pairs.items() if pair[0] != pair[1]), key=lambda one: (-one[1], one[0])
    )
    return [Confusion(wanted, said, count, of[wanted]) for (wanted, said), count in wrong]
