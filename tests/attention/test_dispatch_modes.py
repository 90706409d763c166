"""Under torch's dispatch modes: tensors without numbers, a call written down as a graph, counted operations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

import attentio as at

BATCH, HEADS, Q, K, D = 2, 3, 5, 7, 4
MASKS: dict[str, Callable[[], at.Mask | None]] = {
    "none": lambda: None,
    "causal": at.causal,
    "window": lambda: at.window(1, 1),
    "padding": lambda: at.padding([K, 3]),
    "keep": lambda: at.keep(torch.ones(Q, K).tril() > 0),
    "together": lambda: ~at.window(0, 0) & at.padding(torch.tensor([K, 3])),
}
OPTIONS: dict[str, dict] = {
    "as-it-is": {},
    "weights": {"need_weights": True},
    "additive": {},
    "sparsemax": {"normalize": at.Sparsemax()},
    "entmax": {"normalize": at.Entmax(1.5), "need_weights": True},
}

CASES = [*((mask, "weights") for mask in MASKS), *(("together", options) for options in OPTIONS)]


def heads() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(BATCH, HEADS, Q, D), torch.randn(BATCH, HEADS, K, D), torch.randn(BATCH, HEADS, K, 2 * D)


def attended(query: Tensor, key: Tensor, value: Tensor, mask: str, options: str) -> list[Tensor]:
    asked = {**OPTIONS[options], **({"score": at.Additive(torch.ones(D))} if options == "additive" else {})}
    return [each for each in at.attend(query, key, value, mask=MASKS[mask](), **asked) if each is not None]


@pytest.mark.parametrize(("mask", "options"), CASES)
def test_tensors_without_numbers_have_the_shapes_of_those_with(mask: str, options: str, seed: int) -> None:
    wanted = [(each.shape, each.dtype) for each in attended(*heads(), mask, options)]
    with FakeTensorMode():
        assert [(each.shape, each.dtype) for each in attended(*heads(), mask, options)] == wanted


@pytest.mark.parametrize("tracing", ["real", "symbolic"])
@pytest.mark.parametrize(("mask", "options"), CASES)
def test_a_call_that_was_written_down_computes_the_same(
    mask: str, options: str, tracing: str, seed: int, as_installed: None
) -> None:
    graph = make_fx(lambda *tensors: attended(*tensors, mask, options), tracing_mode=tracing)(*heads())
    given = heads()
    for found, wanted in zip(graph(*given), attended(*given, mask, options), strict=True):
        torch.testing.assert_close(found, wanted)


PRODUCTS = 2 * BATCH * HEADS * 32 * 32 * (D + D)
"""Operations of both, of 32 queries and keys."""


@pytest.mark.parametrize("mask", [None, at.causal(), at.padding([32, 3]), at.window(2, 2)])
@pytest.mark.parametrize("need_weights", [False, True])
def test_all_products_are_counted_and_done_once(mask: at.Mask | None, need_weights: bool, seed: int) -> None:
    x = torch.randn(BATCH, HEADS, 32, D)
    with FlopCounterMode(display=False) as counter:
        at.attend(x, x, x, mask=mask, need_weights=need_weights)
    assert counter.get_total_flops() == PRODUCTS


@pytest.mark.parametrize(
    ("device", "engine", "short"), [("cpu", "reference", "dispatch mode"), ("meta", "sdpa", "for the CPU")]
)
def test_explain_tells_what_runs_and_why_no_other(device: str, engine: str, short: str) -> None:
    x = torch.ones(BATCH, HEADS, 32, D, device=device)
    with FlopCounterMode(display=False):
        told = at.explain(x, x, x, mask=at.causal())
        assert told.engine == engine
        assert short in told.others["short"]


@pytest.mark.parametrize("mask", [None, at.causal(), at.padding([32, 3])])
def test_another_device_computes_both_products_once(mask: at.Mask | None) -> None:
    x = torch.empty(BATCH, HEADS, 32, D, device="meta")
    with FlopCounterMode(display=False) as counter:
        assert at.attend(x, x, x, mask=mask).context.shape == x.shape
    assert counter.get_total_flops() == PRODUCTS


def test_a_causal_call_makes_no_mask_of_queries_by_keys(seed: int) -> None:
    graph = make_fx(lambda x: at.attend(x, x, x, mask=at.causal(), engine="sdpa").context)(
        torch.randn(BATCH, HEADS, 32, D)
    )
    sizes = [node.meta["tensor_meta"].shape for node in graph.graph.nodes if "tensor_meta" in node.meta]
    assert (BATCH, HEADS, 32, D) in sizes
    assert not [size for size in sizes if tuple(size[-2:]) == (32, 32)]


@pytest.mark.parametrize("place", ["key", "value"])
def test_in_a_causal_call_what_is_not_finite_reaches_only_later_queries(place: str, seed: int) -> None:
    query, key, value = torch.randn(3, BATCH, HEADS, 32, D).unbind()
    (key if place == "key" else value)[1, 2, 7, 1] = float("nan")
    graph = make_fx(lambda *given: at.attend(*given, mask=at.causal(), engine="sdpa").context)(query, key, value)
    wanted = at.attend(query, key, value, mask=at.causal()).context
    assert wanted.isnan().any(-1).nonzero().tolist() == [[1, 2, late] for late in range(7, 32)]
    found = graph(query, key, value)
    assert torch.equal(found.isnan().any(-1), wanted.isnan().any(-1))
    torch.testing.assert_close(found[:, :, :7], wanted[:, :, :7])


def test_the_drop_in_layer_needs_no_numbers_forward_and_backward(seed: int) -> None:
    with FakeTensorMode():
        layer, x = at.MultiheadAttention(12, 3, batch_first=True), torch.randn(2, 5, 12, requires_grad=True)
        padding = torch.arange(5) >= torch.tensor([[5], [2]])  # True = ignore, as in torch
        context, _ = layer(x, x, x, key_padding_mask=padding)
        context.sum().backward()
        assert x.grad is not None
        assert context.shape == x.grad.shape == (2, 5, 12)
