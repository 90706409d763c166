"""Sequences and heads of attention by hand: told apart where they can be, else said to be unclear."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import attentio as at

BATCH, HEADS, LENGTH, D = 2, 3, 5, 4


class Layout(nn.Module):
    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout, self.project = layout, nn.Linear(HEADS * D, 3 * HEADS * D)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.layout == "time first":
            inputs = inputs.transpose(0, 1)
        parts = self.project(inputs).unflatten(-1, (3, HEADS, D))  # [(batch,) positions, 3, heads, d]
        match self.layout:
            case "heads in front of the batch":
                q, k, v = parts.permute(2, 3, 0, 1, 4)
            case "heads in front of the batch, copied":
                q, k, v = parts.permute(2, 3, 0, 1, 4).contiguous()
            case "heads before sequences in one axis":
                q, k, v = parts.permute(2, 3, 0, 1, 4).flatten(1, 2)
            case "sequences before heads in one axis":
                q, k, v = parts.permute(2, 0, 3, 1, 4).flatten(1, 2)
            case "one sequence":
                q, k, v = parts.permute(1, 2, 0, 3)
            case _:
                q, k, v = parts.permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT).softmax(-1)
        match self.layout:
            case "values in front of the weights":
                return (v.mT @ weights.mT).mT
            case "weights exchanged before the product":
                return F.dropout(weights.transpose(0, 1), 0.1, self.training) @ v.transpose(0, 1)
            case "values as features stand in them":
                return torch.einsum("bhqk,bhdk->bqhd", weights, v.mT)
        return weights @ v

    def expected(self, inputs: Tensor) -> Tensor:
        q, k, _ = self.project(inputs).unflatten(-1, (3, HEADS, D)).permute(2, 0, 3, 1, 4)
        return (q @ k.mT).softmax(-1)


@pytest.mark.parametrize("batch", [BATCH, HEADS])
@pytest.mark.parametrize(
    "layout",
    [
        "usual",
        "time first",
        "heads in front of the batch",
        "heads in front of the batch, copied",
        "values in front of the weights",
        "weights exchanged before the product",
        "values as features stand in them",
    ],
)
def test_heads_are_told_from_sequences(seed: int, layout: str, batch: int) -> None:
    model, inputs = Layout(layout), torch.randn(batch, LENGTH, HEADS * D)
    with torch.no_grad(), at.capture(model) as seen:
        model(inputs.transpose(0, 1) if layout == "time first" else inputs)
    if layout.endswith("copied") and batch == HEADS:  # as many heads as sequences, and memory does not tell
        assert "does not show which axis is the heads'" in seen.notes[0]
    else:
        assert not seen.notes
        torch.testing.assert_close(seen[0].weights.float(), model.expected(inputs), atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("layout", ["heads before sequences in one axis", "sequences before heads in one axis"])
def test_heads_in_the_axis_of_the_batch_are_said_to_be_unclear(seed: int, layout: str) -> None:
    model, inputs = Layout(layout), torch.randn(BATCH, LENGTH, HEADS * D)
    with torch.no_grad(), at.capture(model) as seen:
        model(inputs)
        model(inputs[:1])
    assert [one.weights.shape[:2] for one in seen] == [(BATCH, HEADS), (1, HEADS)]
    assert len(seen.notes) == 1
    assert "does not show which axis is the heads'" in repr(seen)


@pytest.mark.parametrize("fused", [False, True])
def test_groups_of_heads_that_share_a_key_are_heads(seed: int, fused: bool) -> None:
    keys, sharing = 2, 3

    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key = nn.Linear(8, keys * sharing * D), nn.Linear(8, keys * D)

        def forward(self, x: Tensor) -> Tensor:
            q, k = self.query(x).unflatten(-1, (keys, sharing, D)), self.key(x).unflatten(-1, (keys, D))
            if fused:
                shared = k.permute(0, 2, 1, 3)[:, :, None].expand(-1, -1, sharing, -1, -1)
                return F.scaled_dot_product_attention(q.permute(0, 2, 3, 1, 4), shared, shared)
            weights = torch.einsum("bqkgd,bskd->bkgqs", q / D**0.5, k).softmax(-1)
            return torch.einsum("bkgqs,bskd->bqkgd", weights, k)

    model, x = Grouped(), torch.randn(BATCH, LENGTH, 8)
    with torch.no_grad(), at.capture(model) as seen:
        model(x)
    q, k = model.query(x).unflatten(-1, (-1, D)), model.key(x).unflatten(-1, (-1, D)).repeat_interleave(sharing, 2)
    expected = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1) / D**0.5).softmax(-1)
    torch.testing.assert_close(seen[0].weights.float(), expected, atol=1e-3, rtol=1e-2)


def test_heads_of_one_sequence_are_no_sequences(seed: int) -> None:
    model, inputs = Layout("one sequence"), torch.randn(LENGTH, HEADS * D)
    with torch.no_grad(), at.capture(model) as seen:
        model(inputs)
    assert not seen.notes
    torch.testing.assert_close(seen[0].weights.float(), model.expected(inputs[None]), atol=1e-3, rtol=1e-2)


def test_weights_exchanged_before_dropout_are_told_by_where_they_lie(seed: int) -> None:
    model, inputs = Layout("weights exchanged before the product").train(), torch.randn(HEADS, LENGTH, HEADS * D)
    with torch.no_grad(), at.capture(model) as seen:
        model(inputs)
    assert not seen.notes
    torch.testing.assert_close(seen[0].weights.float(), model.expected(inputs), atol=1e-3, rtol=1e-2)
