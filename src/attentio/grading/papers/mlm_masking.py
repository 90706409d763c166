"""Devlin et al. 2018, section 3.1: masked tokens, judged by how often each thing happens."""

import torch
from torch import Tensor

from attentio.grading.paper import Answer, Deviation, Given, Has, Paper

SPECIAL = 5
"""Ids below this are special: padding 0, CLS 1, SEP 2, UNK 3, MASK 4."""
MASK = 4


DRAWS = 3
"""Times that the oracle draws: its own chance then adds little to the code's."""


def oracle(given: Given, has: Has) -> Answer:
    """15 % of the tokens are chosen; of these 80 % become MASK, 10 % a random word. Returned is how often."""
    drawn = [_drawn(given, given["seed"] + place, has) for place in range(1, DRAWS + 1)]
    return {name: torch.stack([one[name] for one in drawn]).mean(0) for name in drawn[0]}


def _drawn(given: Given, seed: int, has: Has) -> Answer:
    tokens, vocabulary = given["tokens"], given["vocabulary"]
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.rand(tokens.shape, generator=generator)

    special = tokens < SPECIAL
    rates = {
        "rate 10 %": 0.1,
        "rate 20 %": 0.2,
        "rate 80 %": 0.8,
        "rate 30 %": 0.3,
        "rate 85 %": 0.85,
    }
    chosen = draw() < next((rate for name, rate in rates.items() if has(name)), 0.15)
    if not has("special tokens chosen"):
        chosen &= ~special
    if has("padding chosen"):
        chosen |= (draw() < 0.15) & (tokens == 0)
    action, second = draw(), draw()
    splits = {
        "always masked": (1.0, 0.0),
        "random words never": (0.9, 0.0),
        "random words never, 20 % kept": (0.8, 0.0),
        "never kept": (0.8, 0.2),
        "masked and random exchanged": (0.1, 0.8),
        "masked and kept exchanged": (0.1, 0.1),
        "never masked": (0.0, 0.1),
    }
    masked, random = next((split for name, split in splits.items() if has(name)), (0.8, 0.1))
    becomes_mask = chosen & (action < masked)
    becomes_random = chosen & (action >= masked) & (action < masked + random)
    if has("shares of all tokens"):
        free = torch.ones_like(special) if has("special tokens chosen") else ~special
        becomes_mask, becomes_random = free & (action < 0.8), free & (action >= 0.8) & (action < 0.9)
    if has("10 % of the rest"):
        becomes_random = chosen & ~becomes_mask & (second < 0.1)
    if has("random over masked"):
        becomes_random = chosen & (second < 0.5)
    if has("random over masked, 10 %"):
        becomes_random = chosen & (second < 0.1)
    if has("random words everywhere"):
        becomes_random = ~special & ~becomes_mask & (second < 0.1)
    first = 0 if has("special ids as random words") else SPECIAL
    words = torch.randint(first, vocabulary, tokens.shape, generator=generator)
    if has("one random word"):
        words = words[:1, :1].expand_as(words)
    inputs = torch.where(becomes_mask, MASK, tokens)
    inputs = torch.where(becomes_random, words, inputs)
    if has("nothing changed"):
        inputs = tokens
    labelled = chosen
    if has("labels everywhere"):
        labelled = torch.ones_like(chosen)
    if has("labels on all but special"):
        labelled = ~special
    if has("labels where masked only"):
        labelled = inputs == MASK
    if has("labels where changed only"):
        labelled = inputs != tokens
    if has("labels where not chosen"):
        labelled = ~chosen
    if has("shares of all tokens"):
        labelled = (
            becomes_mask | becomes_random | (chosen & (action >= 0.9)) if not has("labels everywhere") else labelled
        )
    answers = inputs if has("labels are the corrupted tokens") else tokens
    return measured(tokens, inputs, torch.where(labelled, answers, -100))


def measured(tokens: Tensor, inputs: Tensor, labels: Tensor) -> Answer:
    """How often each thing happens."""
    labelled = _labelled(tokens, labels)
    special = tokens < SPECIAL
    masked, same = inputs == MASK, inputs == tokens
    other = ~masked & ~same
    answered = labels[labelled] == tokens[labelled] if labels.dtype != torch.bool else torch.ones(1)
    words = inputs[other]
    shares = {
        "labels in three ordinary tokens": 3 * _share(labelled, ~special),
        "special tokens with a label": _share(labelled, special),
        "of those with a label: masked": _share(masked, labelled),
        "of those with a label: another word": _share(other, labelled),
        "of those with a label: unchanged": _share(same, labelled),
        "without a label, but changed": _share(~same, ~labelled),
        "special tokens changed": _share(~same, special),
        "labels that are the token": answered.double().mean() if answered.numel() else torch.ones(()),
        "random words that are special, a quarter of it": (words < SPECIAL).double().mean() / 4
        if words.numel()
        else torch.zeros(()),
        "the commonest random word, a fifth of it": torch.bincount(words).max() / words.numel() / 5
        if words.numel()
        else torch.zeros(()),
    }
    return {name: share.double() for name, share in shares.items()}


def _share(what: Tensor, among: Tensor) -> Tensor:
    return what[among].double().mean() if bool(among.any()) else torch.zeros(())


def _labelled(tokens: Tensor, labels: Tensor) -> Tensor:
    """Where a label is: -100, or whatever else stands where no label is, is told by being the commonest."""
    if labels.dtype == torch.bool:
        return labels
    if bool((labels == -100).any()):
        return labels != -100
    wrong = labels[labels != tokens]
    if not wrong.numel():
        return torch.ones_like(tokens, dtype=torch.bool)
    values, counts = wrong.unique(return_counts=True)
    common = values[counts.argmax()]
    return (
        labels != common
        if counts.max() > tokens.numel() / 4 and int(common) <= 0
        else torch.ones_like(tokens, dtype=torch.bool)
    )


_SAID = {
    "shares of all tokens": (
        "choice",
        "80 % and 10 % are taken of all tokens; they must be taken of the chosen 15 %",
        "80%와 10%를 전체 토큰에서 뽑습니다. 고른 15% 안에서 뽑아야 합니다",
    ),
    "always masked": (
        "replacement",
        "every chosen token becomes MASK; 10 % must become a random word and 10 % stay",
        "고른 토큰이 모두 [MASK]가 됩니다. 10%는 무작위 토큰, 10%는 그대로여야 합니다",
    ),
    "random words never": (
        "replacement",
        "no chosen token becomes a random word: 90 % MASK, 10 % kept",
        "무작위 토큰으로 바뀌는 토큰이 없습니다([MASK] 90%, 그대로 10%)",
    ),
    "random words never, 20 % kept": (
        "replacement",
        "no chosen token becomes a random word: 20 % are kept",
        "무작위 토큰으로 바뀌는 토큰이 없고 20%가 그대로입니다",
    ),
    "never kept": (
        "replacement",
        "no chosen token is kept: 80 % MASK, 20 % random",
        "그대로 두는 토큰이 없습니다([MASK] 80%, 무작위 20%)",
    ),
    "masked and random exchanged": (
        "replacement",
        "80 % become a random word and 10 % MASK; it is the other way round",
        "80%가 무작위 토큰이, 10%가 [MASK]가 됩니다. 반대여야 합니다",
    ),
    "masked and kept exchanged": (
        "replacement",
        "80 % are kept and 10 % become MASK; it is the other way round",
        "80%를 그대로 두고 10%만 [MASK]가 됩니다. 반대여야 합니다",
    ),
    "never masked": (
        "replacement",
        "no chosen token becomes MASK",
        "[MASK]가 되는 토큰이 없습니다",
    ),
    "10 % of the rest": (
        "replacement",
        "random words are 10 % of those not masked, 2 % of the chosen; they must be half of them, 10 % of the chosen",
        "무작위 토큰이 [MASK]가 되지 않은 것의 10%(고른 것의 2%)입니다. 그 절반, 고른 것의 10%여야 합니다",
    ),
    "random over masked": (
        "replacement",
        "random words (half of the chosen) are put over tokens that are already MASK",
        "이미 [MASK]가 된 토큰 위에도 무작위 토큰(고른 것의 절반)을 씁니다",
    ),
    "random over masked, 10 %": (
        "replacement",
        "random words (10 % of the chosen) are put over tokens that are already MASK",
        "이미 [MASK]가 된 토큰 위에도 무작위 토큰(고른 것의 10%)을 씁니다",
    ),
    "random words everywhere": (
        "choice",
        "10 % of all tokens become random words; only of the chosen ones",
        "전체 토큰의 10%가 무작위 토큰으로 바뀝니다. 고른 토큰에서만이어야 합니다",
    ),
    "special tokens chosen": (
        "choice",
        "special tokens (CLS, SEP, padding) are chosen and corrupted",
        "특수 토큰(CLS, SEP, 패딩)까지 골라 바꿉니다",
    ),
    "padding chosen": (
        "choice",
        "padding is chosen and corrupted",
        "패딩까지 골라 바꿉니다",
    ),
    "one random word": (
        "replacement",
        "one random word is drawn for all positions",
        "모든 위치에 같은 무작위 토큰 하나를 씁니다",
    ),
    "labels everywhere": (
        "labels",
        "every position has a label; only the chosen ones may",
        "모든 위치에 레이블이 있습니다. 고른 위치에만 있어야 합니다",
    ),
    "labels on all but special": (
        "labels",
        "every ordinary token has a label; only the chosen ones may",
        "모든 일반 토큰에 레이블이 있습니다. 고른 위치에만 있어야 합니다",
    ),
    "labels where masked only": (
        "labels",
        "only tokens that became MASK have a label; all chosen ones must, kept ones too",
        "[MASK]가 된 토큰에만 레이블이 있습니다. 그대로 둔 것까지 고른 모든 토큰에 있어야 합니다",
    ),
    "labels where changed only": (
        "labels",
        "only changed tokens have a label; the chosen ones that stay must have one too",
        "바뀐 토큰에만 레이블이 있습니다. 골랐지만 그대로 둔 토큰에도 있어야 합니다",
    ),
    "labels where not chosen": (
        "labels",
        "the tokens that were not chosen have the labels",
        "고르지 않은 토큰에 레이블이 있습니다",
    ),
    "labels are the corrupted tokens": (
        "labels",
        "the labels are the corrupted tokens (MASK), not the original ones: copy before you change",
        "레이블이 원래 토큰이 아니라 바뀐 토큰([MASK])입니다. 바꾸기 전에 복사해야 합니다",
    ),
    "nothing changed": ("replacement", "the tokens are not changed at all", "토큰이 전혀 바뀌지 않습니다"),
    "rate 10 %": ("choice", "10 % of the tokens are chosen; it must be 15 %", "토큰의 10%를 고릅니다. 15%여야 합니다"),
    "rate 20 %": ("choice", "20 % of the tokens are chosen; it must be 15 %", "토큰의 20%를 고릅니다. 15%여야 합니다"),
    "rate 30 %": ("choice", "30 % of the tokens are chosen; it must be 15 %", "토큰의 30%를 고릅니다. 15%여야 합니다"),
    "rate 80 %": ("choice", "80 % of the tokens are chosen; it must be 15 %", "토큰의 80%를 고릅니다. 15%여야 합니다"),
    "rate 85 %": (
        "choice",
        "85 % of the tokens are chosen, 15 % are not: the comparison is the wrong way round",
        "토큰의 85%를 고르고 15%를 고르지 않습니다. 부등호가 거꾸로입니다",
    ),
}
MLM_MASKING = Paper(
    name="mlm-masking",
    reference="Devlin et al. 2018, section 3.1",
    equation={
        "choice": "15 % of the tokens are chosen at random, special ones never",
        "replacement": "a chosen token becomes MASK in 80 %, a random word in 10 %, and stays in 10 % of cases",
        "labels": "the original token is predicted at the chosen positions only",
    },
    oracle=oracle,
    deviations={name: Deviation(*said) for name, said in _SAID.items()},
    signature="def corrupt(tokens, mask_id, vocab_size, special_ids): return inputs, labels",
    kind="corruption",
    conventions={
        "special ids as random words": Deviation(
            "replacement",
            "random words are drawn from all ids, special ones and MASK among them; the paper does not say which words",
            "무작위 토큰을 [MASK]와 특수 토큰을 포함한 모든 id에서 뽑습니다. 논문은 어떤 토큰인지 말하지 않습니다",
        ),
    },
)
