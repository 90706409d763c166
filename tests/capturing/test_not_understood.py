"""Attention in the orders that people write it is understood, or named: never silently left out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import attentio as at
from attentio.capturing.seen import Seen
from attentio.errors import AttentioError

BATCH, LENGTH, WIDTH = 2, 5, 16
CAUSAL = torch.ones(LENGTH, LENGTH).triu(1).bool()


class ByHand(nn.Module):
    """Attention of one head; `use` makes the context of the scores and the values."""

    def __init__(self, use: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.use, self.project = use, nn.Linear(WIDTH, 3 * WIDTH)

    def scores(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = self.project(inputs).chunk(3, -1)
        return query @ key.mT / 4, value

    def forward(self, inputs: Tensor) -> Tensor:
        return self.use(*self.scores(inputs))


def _tutorial(scores: Tensor, value: Tensor) -> Tensor:
    """One query a step, its scores in a column."""
    steps = []
    for step in range(LENGTH):
        weights = scores[:, step, :, None].softmax(dim=1)
        steps.append(torch.bmm(weights.transpose(1, 2), value))
    return torch.cat(steps, dim=1)


UNDERSTOOD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "values first, permuted": lambda s, v: torch.bmm(v.mT, s.softmax(-1).permute(0, 2, 1)).mT,
    "values first, transposed": lambda s, v: (v.mT @ s.softmax(-1).transpose(1, 2)).mT,
    "values first, copied": lambda s, v: (v.mT @ F.dropout(s.softmax(-1), 0.0).mT.contiguous()).mT,
    "values first, reversed operator": lambda s, v: s.softmax(-1).mT.__rmatmul__(v.mT).mT,
    "einsum, values first": lambda s, v: torch.einsum("bdj,bij->bdi", v.mT, s.softmax(-1)).mT,
    "einsum of turned weights": lambda s, v: torch.einsum("bjd,bji->bid", v, s.softmax(-1).mT),
    "einsum without arrow": lambda s, v: torch.einsum("bij,bjd", s.softmax(-1), v),
    "zeros set after": lambda s, v: torch.where(CAUSAL, 0.0, s.softmax(-1)) @ v,
    "zeros filled in after": lambda s, v: s.softmax(-1).masked_fill(CAUSAL, 0.0) @ v,
    "added": lambda s, v: torch.baddbmm(torch.zeros(BATCH, LENGTH, WIDTH), s.softmax(-1), v),
    "heads and back": lambda s, v: (s[:, None].softmax(-1).squeeze(1) @ v).contiguous(),
}


@pytest.mark.parametrize("order", UNDERSTOOD)
def test_attention_in_every_order_is_seen_with_its_weights(seed: int, order: str) -> None:
    model, inputs = ByHand(UNDERSTOOD[order]), torch.randn(BATCH, LENGTH, WIDTH)
    with torch.no_grad(), at.capture(model) as seen:
        output = model(inputs)
        _, value = model.scores(inputs)
    (one,) = seen
    assert not seen.notes
    if order == "einsum without arrow":  # which sums over the sequences, too
        torch.testing.assert_close(one.weights.float().sum(-1), torch.ones(BATCH, 1, LENGTH), atol=5e-3, rtol=0)
    else:
        torch.testing.assert_close(one.weights[:, 0].float() @ value, output, atol=5e-3, rtol=1e-2)


def test_a_softmax_over_a_column_of_scores_is_one_over_the_keys(seed: int) -> None:
    model, inputs = ByHand(_tutorial), torch.randn(BATCH, LENGTH, WIDTH)
    with torch.no_grad(), at.capture(model) as seen:
        output = model(inputs)
        scores, value = model.scores(inputs)
    assert [one.weights.shape for one in seen] == [(BATCH, 1, 1, LENGTH)] * LENGTH
    weights = torch.cat([one.weights for one in seen], dim=2)[:, 0].float()
    torch.testing.assert_close(weights, scores.softmax(-1), atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(weights @ value, output, atol=5e-3, rtol=1e-2)


def _masked_behind(scores: Tensor, value: Tensor) -> Tensor:
    weights = scores.softmax(-1) * torch.ones(LENGTH, LENGTH).tril()
    return (weights / weights.sum(-1, keepdim=True)) @ value


def test_a_mask_that_is_multiplied_in_behind_the_softmax_is_seen(seed: int) -> None:
    for order in (_masked_behind, lambda s, v: (s.softmax(-1) * torch.ones(LENGTH, LENGTH).tril()) @ v):
        model, inputs = ByHand(order), torch.randn(BATCH, LENGTH, WIDTH)
        with torch.no_grad(), at.capture(model) as seen:
            output = model(inputs)
            _, value = model.scores(inputs)
        assert seen[0].weights[:, 0].triu(1).count_nonzero() == 0
        torch.testing.assert_close(seen[0].weights[:, 0].float() @ value, output, atol=5e-3, rtol=1e-2)


def test_a_gate_behind_the_softmax_leaves_the_weights_what_they_are(seed: int) -> None:
    model, inputs = (
        ByHand(lambda s, v: (s.softmax(-1) * torch.tensor([0.3])[:, None, None]) @ v),
        torch.randn(2, 7, WIDTH),
    )
    with torch.no_grad(), at.capture(model) as seen:
        model(inputs)
    torch.testing.assert_close(seen[0].weights.float().sum(-1), torch.ones(2, 1, 7), atol=5e-3, rtol=0)


def _mixed_heads(scores: Tensor, value: Tensor) -> Tensor:
    weights = scores.softmax(-1).unsqueeze(1).repeat(1, 2, 1, 1)
    mixed = F.linear(weights.permute(0, 2, 3, 1), torch.ones(2, 2) / 2).permute(0, 3, 1, 2)
    return (mixed @ value.unsqueeze(1)).mean(1)


NOT_UNDERSTOOD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "heads mixed by a Linear": _mixed_heads,
    "elementwise": lambda s, v: (s.softmax(-1)[..., None] * v[:, None]).sum(2),
    "over another axis": lambda s, v: s.softmax(1) @ v,
    "turned": lambda s, v: s.softmax(-1).mT @ v,
    "three in one einsum": lambda s, v: torch.einsum("bij,bjd,de->bie", s.softmax(-1), v, torch.eye(WIDTH)),
    "tensordot": lambda s, v: torch.tensordot(s.softmax(-1)[0], v[0], dims=1)[None],
    "two of them": lambda s, v: (s.softmax(-1) @ v) * torch.cat([s.softmax(-1), s.new_zeros(BATCH, LENGTH, 11)], -1),
}


@pytest.mark.parametrize("order", NOT_UNDERSTOOD)
def test_a_softmax_that_is_not_understood_is_named(seed: int, order: str) -> None:
    """Beside a seen attention in the repr, and in the error where there is no other."""
    model, inputs = ByHand(NOT_UNDERSTOOD[order]), torch.randn(BATCH, LENGTH, WIDTH)
    seen_first = nn.Sequential(ByHand(UNDERSTOOD["added"]), model)
    with torch.no_grad(), at.capture(seen_first) as seen:
        seen_first(inputs)
    assert "note: a softmax in '1' was not understood" in repr(seen)
    assert seen[:1].notes == seen.notes
    assert len(seen.notes) == 1
    if order != "two of them":
        message = "no attention was seen in ByHand; a softmax in 'the model' was not understood"
        with pytest.raises(AttentioError, match=message), torch.no_grad(), at.capture(model):
            model(inputs)


def test_notes_are_kept_on_the_disk_and_shown_on_the_page(seed: int, tmp_path: Path) -> None:
    model = nn.Sequential(ByHand(UNDERSTOOD["added"]), ByHand(NOT_UNDERSTOOD["two of them"]))
    inputs = torch.randn(BATCH, LENGTH, WIDTH)
    with torch.no_grad(), at.capture(model, directory=tmp_path / "written") as seen:
        model(inputs)
    seen.save(tmp_path / "saved")
    assert seen.notes
    for folder in ("written", "saved"):
        loaded = Seen.load(tmp_path / folder)
        assert loaded.notes == seen.notes
        assert seen.notes[0] in at.view(loaded, [[str(i) for i in range(LENGTH)]] * BATCH).html


def test_a_softmax_that_meets_no_other_numbers_is_no_attention_that_was_missed(seed: int) -> None:
    class Classifier(ByHand):
        def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
            probabilities = super().forward(inputs).softmax(-1)
            return probabilities, probabilities.argmax(-1), probabilities.cumsum(-1) - probabilities

    model = Classifier(UNDERSTOOD["added"])
    with torch.no_grad(), at.capture(model) as seen:
        probabilities, *_ = model(torch.randn(BATCH, LENGTH, WIDTH))
        probabilities * torch.randn(BATCH, LENGTH, WIDTH)  # outside of the model
    assert not seen.notes


def test_only_what_runs_within_the_model_is_its_attention(seed: int) -> None:
    inputs = torch.randn(BATCH, LENGTH, WIDTH)
    other = nn.TransformerEncoderLayer(WIDTH, 2, batch_first=True)
    model = ByHand(lambda scores, value: at.attend(value, other(value), value).context)
    calls: list[str] = []
    with torch.no_grad(), at.capture(model, parts=True) as seen:
        for run in (other, UNDERSTOOD["added"]):
            run(*(model.scores(inputs) if run is not other else (inputs,)))
            calls.append(repr(len(seen)))
        at.attend(inputs, inputs, inputs)
        F.scaled_dot_product_attention(inputs, inputs, inputs)
        assert len(seen) == 0
        model(inputs)
    assert calls == ["0", "0"]
    assert [(one.name, one.call) for one in seen] == [("", 0), ("", 1)]  # what it calls, and its own
    with pytest.raises(AttentioError, match="no attention was seen in ByHand"), at.capture(model):
        other(inputs)


def test_a_model_within_another_is_captured_alone(seed: int) -> None:
    both = nn.ModuleDict({"one": ByHand(UNDERSTOOD["added"]), "other": ByHand(UNDERSTOOD["added"])})
    with torch.no_grad(), at.capture(both["one"]) as seen:
        for model in both.values():
            model(torch.randn(BATCH, LENGTH, WIDTH))
    assert len(seen) == 1
