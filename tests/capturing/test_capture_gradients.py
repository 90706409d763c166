"""What is captured without `torch.no_grad()` keeps nothing of the model's graph, and the model trains as without."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import attentio as at
from attentio.capturing.storage import TENSORS

BATCH, LENGTH, WIDTH, HEADS = 2, 5, 12, 3


class Block(nn.Module):
    """Attention in one of the ways that models use, and its way out."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.project = way, nn.Linear(WIDTH, 3 * WIDTH)
        self.multihead = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.bias = nn.Parameter(torch.randn(LENGTH, LENGTH))

    def forward(self, inputs: Tensor) -> Tensor:
        if self.way == "multihead":
            return inputs + self.multihead(inputs, inputs, inputs)[0]
        q, k, v = self.project(inputs).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        match self.way:
            case "sdpa":
                context = F.scaled_dot_product_attention(q, k, v, self.bias)
            case "shared keys":
                context = F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)
            case "attend":
                context = at.attend(q, k, v, mask=at.causal(), bias=self.bias).context
            case _:
                context = (q @ k.mT + self.bias).softmax(-1) @ v
        return inputs + context.transpose(1, 2).flatten(2)


class Stack(nn.Module):
    def __init__(self, way: str, checkpointed: bool = False) -> None:
        super().__init__()
        self.blocks, self.checkpointed = nn.ModuleList([Block(way), Block(way)]), checkpointed

    def forward(self, inputs: Tensor) -> Tensor:
        for block in self.blocks:
            inputs = checkpoint(block, inputs, use_reentrant=False) if self.checkpointed else block(inputs)
        return inputs


WAYS = ["sdpa", "shared keys", "attend", "multihead", "written out"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"parts": True}, {"top_k": 2}, {"parts": True, "directory": "seen"}], ids=str)
def test_what_is_captured_never_requires_grad(
    seed: int, way: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = Stack(way)
    with at.capture(model, **options) as seen:
        output = model(torch.randn(BATCH, LENGTH, WIDTH))
    assert output.requires_grad
    assert len(seen) == 2
    for one in seen:
        tensors = [tensor for name in TENSORS if (tensor := getattr(one, name)) is not None]
        assert not any(tensor.requires_grad or tensor.grad_fn for tensor in tensors)
        one.dense().numpy()


@pytest.mark.parametrize("way", WAYS)
def test_the_graph_is_gone_with_the_model_s_output(seed: int, way: str) -> None:
    """`Held` is what only the graph holds, from between the two blocks."""

    class Held:
        pass

    class Through(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Tensor) -> Tensor:
            ctx.held = Held()
            between.append(weakref.ref(ctx.held))
            return hidden.clone()

    model = Stack(way)
    between: list[Any] = []
    model.blocks[0].register_forward_hook(lambda module, inputs, output: Through.apply(output))
    with at.capture(model, parts=True) as seen:
        model(torch.randn(BATCH, LENGTH, WIDTH))
    gc.collect()
    assert between[0]() is None
    assert len(seen) == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("backward_inside", [False, True])
def test_training_goes_on_as_without(seed: int, way: str, checkpointed: bool, backward_inside: bool) -> None:
    model, inputs = Stack(way, checkpointed), torch.randn(BATCH, LENGTH, WIDTH)
    model(inputs).square().sum().backward()
    expected = {name: one.grad for name, one in model.named_parameters()}
    model.zero_grad()
    with at.capture(model, parts=True) as seen:
        loss = model(inputs).square().sum()
        if backward_inside:
            loss.backward()
    assert len(seen) == 2  # whatever is computed again
    if not backward_inside:
        loss.backward()
    for name, one in model.named_parameters():
        assert one.grad is expected[name] is None or torch.equal(one.grad, expected[name]), name
