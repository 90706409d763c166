"""Every way to compute attention is seen once, by its module's name, and the model gives what it gave before."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right, causal_upper_left
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import attentio as at
from attentio.capturing.observe import Observed, observing
from attentio.config.schema import ModelConfig
from attentio.errors import AttentioError
from attentio.models.presets import bahdanau, luong, recurrent_encoder

BATCH, HEADS, Q, K, D = 2, 3, 5, 7, 11


class Attention(nn.Module):
    """Calls `function` with fixed projections of its input."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        self.projection = nn.Linear(D, HEADS * D)

    def forward(self, inputs: Tensor) -> Tensor:
        heads = self.projection(inputs).unflatten(2, (HEADS, D)).transpose(1, 2)
        return self.function(heads[:, :, :Q], heads, heads)


class Model(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Attention(function), Attention(function)])

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers[1](inputs) + self.layers[0](inputs)


def _weights(q: Tensor, k: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / D**0.5, dim=-1)


WAYS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "attend": ("attend", lambda q, k, v: at.attend(q, k, v).context),
    "sdpa": ("sdpa", F.scaled_dot_product_attention),
    "matmul": ("softmax", lambda q, k, v: F.dropout(_weights(q, k), 0.1, training=False) @ v),
    "einsum": ("softmax", lambda q, k, v: torch.einsum("bhkd,bhqk->bhqd", v, _weights(q, k))),
    "bmm": (
        "softmax",
        lambda q, k, v: torch.bmm(F.softmax(q.flatten(0, 1).bmm(k.flatten(0, 1).mT), -1), v.flatten(0, 1)),
    ),
    "module": ("softmax", lambda q, k, v: nn.Softmax(dim=-1)(q @ k.mT).to(v.dtype).matmul(v)),
    "flex": ("flex", lambda q, k, v: flex_attention(q, k, v)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_every_way_is_seen_once_by_name_and_changes_nothing(seed: int, way: str) -> None:
    api, function = WAYS[way]
    model, inputs = Model(function), torch.randn(BATCH, K, D)
    before = model(inputs)
    calls: list[Observed] = []
    with observing(model, calls.append):
        during = model(inputs)
    assert [(one.name, one.api, one.kind) for one in calls] == [("layers.1", api, "self"), ("layers.0", api, "self")]
    if way == "flex":  # outside, torch compiles it
        torch.testing.assert_close(during, before)
    else:
        assert torch.equal(during, before)
    assert torch.equal(model(inputs), before)
    assert len(calls) == 2
    for one in calls:
        if api == "softmax":
            assert one.query is None
            assert one.weights is not None
            assert one.weights.shape[-2:] == (Q, K)
            torch.testing.assert_close(one.weights.sum(-1), torch.ones(one.weights.shape[:-1]))
        else:
            assert one.query is not None
            assert one.query.shape == (BATCH, HEADS, Q, D)
            assert one.scale == pytest.approx(D**-0.5)
            assert one.context.shape == (BATCH, HEADS, Q, D)


@torch.no_grad()
def test_a_mask_is_handed_on_as_given(seed: int) -> None:
    added, allowed = torch.randn(Q, K), torch.rand(BATCH, 1, Q, K) > 0.3
    mask = at.keep(allowed)
    block_mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, Q, K, device="cpu")
    ways: list[Callable[..., Tensor]] = [
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, added, scale=0.5),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=0.25),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        lambda q, k, v: at.attend(q, k, v, mask=mask, score=at.Dot(), bias=added).context,
        lambda q, k, v: flex_attention(q, k, v, block_mask=block_mask),
    ]
    seen: list[Observed] = []
    for way in ways:
        model = Model(way)
        with observing(model, seen.append):
            model(torch.randn(BATCH, K, D))
    assert [one.mask for one in seen[::2]] == [added, allowed, None, mask, block_mask]
    assert [one.is_causal for one in seen[::2]] == [False, False, True, False, False]
    assert [one.scale for one in seen[:7:6]] == [0.5, 1.0]
    assert seen[2].dropout == 0.25
    assert torch.equal(seen[6].bias, added[None, None])


class Square(nn.Module):
    """As many queries as keys, or fewer, and a mask of any class."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, k, attn_mask=self.mask)


@pytest.mark.parametrize("make", [causal_upper_left, causal_lower_right])
@pytest.mark.parametrize("q_len", [Q, K])
@torch.no_grad()
def test_torch_s_causal_biases_are_seen_as_what_they_allow(seed: int, make: Any, q_len: int) -> None:
    q, k = torch.randn(BATCH, HEADS, q_len, D), torch.randn(BATCH, HEADS, K, D)
    model = Square(make(q_len, K))
    with at.capture(model, parts=True) as seen:
        output = model(q, k)
    allowed = torch.ones(q_len, K).tril(K - q_len if make is causal_lower_right else 0).bool()
    assert torch.equal(seen[0].weights > 0, allowed.expand(BATCH, HEADS, q_len, K))
    assert torch.equal(seen[0].allowed, allowed)  # type: ignore[arg-type]
    torch.testing.assert_close(seen[0].weights.float() @ k, output, atol=5e-3, rtol=1e-2)


def test_a_causal_bias_for_another_size_is_seen_as_torch_reads_it(seed: int) -> None:
    q, k = torch.randn(BATCH, HEADS, Q, D), torch.randn(BATCH, HEADS, K, D)
    for bias in (causal_upper_left(3, K), causal_lower_right(3, 3)):
        model = Square(bias)
        with at.capture(model) as seen:
            output = model(q, k)
        torch.testing.assert_close(seen[0].weights.float() @ k, output, atol=5e-3, rtol=1e-2)


def test_a_mask_of_an_unknown_class_is_refused_in_one_line(seed: int) -> None:
    class Bias(Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return super().__torch_function__(func, types, args, kwargs or {})

    model, q = Square(torch.zeros(Q, Q).as_subclass(Bias)), torch.randn(BATCH, HEADS, Q, D)
    with pytest.raises(AttentioError, match="attn_mask is a Bias, a tensor class whose meaning"), at.capture(model):
        model(q, q)
    model = Square(nn.Parameter(torch.randn(Q, Q)))
    with at.capture(model) as seen:
        output = model(q, q)
    torch.testing.assert_close(seen[0].weights.float() @ q, output, atol=5e-3, rtol=1e-2)


def test_heads_that_share_keys_are_seen_with_their_keys(seed: int) -> None:
    q, kv = torch.randn(BATCH, 6, Q, D), torch.randn(BATCH, 2, K, D)
    seen: list[Observed] = []
    with observing(nn.Identity(), seen.append):
        F.scaled_dot_product_attention(q, kv, kv, enable_gqa=True)
    assert seen[0].name == ""
    assert seen[0].key is not None
    assert torch.equal(seen[0].key, kv[:, [0, 0, 0, 1, 1, 1]])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_refused_clearly(seed: int) -> None:
    rows = [torch.randn(HEADS, n, D).transpose(0, 1) for n in (Q, K)]
    nested = torch.nested.nested_tensor(rows, layout=torch.jagged).transpose(1, 2)
    with observing(nn.Identity(), lambda one: None), pytest.raises(AttentioError, match="pad the sequences"):
        F.scaled_dot_product_attention(nested, nested, nested)


def test_softmax_that_is_no_attention_is_not_taken_for_one(seed: int) -> None:
    seen: list[Observed] = []
    x = torch.randn(BATCH, Q, K)
    with observing(nn.Identity(), seen.append):
        F.softmax(torch.randn(Q, K), dim=-1) @ torch.randn(K, D)  # a mixture of experts
        F.softmax(x, dim=1) @ torch.randn(BATCH, K, D)
        F.softmax(x, dim=-1).transpose(1, 2) @ torch.randn(BATCH, Q, D)
        (F.softmax(x, dim=-1) @ torch.randn(K, D)).log()
        x @ torch.randn(BATCH, K, D)
    assert not seen


def test_tutorials_attention_with_one_query_a_step_is_seen(seed: int) -> None:
    seen: list[Observed] = []
    with observing(nn.Identity(), seen.append):
        weights = torch.softmax(torch.randn(BATCH, K), dim=1)
        torch.bmm(weights.unsqueeze(1), torch.randn(BATCH, K, D))
    assert torch.equal(seen[0].weights, weights[:, None, None])  # type: ignore[arg-type]


def test_dropout_of_hand_written_attention_is_told_and_its_weights_are_from_before(seed: int) -> None:
    seen: list[Observed] = []
    with observing(nn.Identity(), seen.append):
        weights = torch.softmax(torch.randn(BATCH, HEADS, Q, K), dim=-1)
        F.dropout(weights, 0.5) @ torch.randn(BATCH, HEADS, K, D)
    assert seen[0].dropout == 0.5
    assert seen[0].weights is weights


def test_a_learned_sink_is_no_key(seed: int) -> None:
    seen: list[Observed] = []
    with observing(nn.Identity(), seen.append):
        with_sink = torch.softmax(torch.randn(BATCH, HEADS, Q, K + 1), dim=-1)
        with_sink[..., :-1] @ torch.randn(BATCH, HEADS, K, D)
    assert torch.equal(seen[0].weights, with_sink[..., :-1])  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("batch_first", [True, False])
def test_torchs_transformer_is_seen_layer_by_layer(seed: int, batch_first: bool) -> None:
    model = nn.Transformer(HEADS * D, HEADS, 1, 1, 13, batch_first=batch_first).eval()
    source, target = torch.randn(BATCH, K, HEADS * D), torch.randn(BATCH, Q, HEADS * D)
    if not batch_first:
        source, target = source.transpose(0, 1), target.transpose(0, 1)
    seen: list[Observed] = []
    with torch.no_grad():
        before = model(source, target)
        with observing(model, seen.append):
            during = model(source, target)
    torch.testing.assert_close(during, before)
    assert torch.backends.mha.get_fastpath_enabled()
    assert [(one.name, one.kind) for one in seen] == [
        ("encoder.layers.0.self_attn", "self"),
        ("decoder.layers.0.self_attn", "self"),
        ("decoder.layers.0.multihead_attn", "cross"),
    ]
    assert [(one.query.shape[2], one.key.shape[2]) for one in seen] == [(K, K), (Q, Q), (Q, K)]  # type: ignore[union-attr]


@pytest.mark.parametrize("options", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 13, "vdim": 17}])
def test_torchs_multihead_attention_is_seen_with_its_projections(seed: int, options: dict[str, Any]) -> None:
    module = nn.MultiheadAttention(HEADS * D, HEADS, **options, batch_first=True).eval()
    for bias in (module.in_proj_bias, module.bias_k):
        if bias is not None:
            nn.init.normal_(bias)
    query = torch.randn(BATCH, Q, HEADS * D)
    key, value = torch.randn(BATCH, K, module.kdim), torch.randn(BATCH, K, module.vdim)
    padding = torch.rand(BATCH, K) > 0.7
    padding[:, 0] = False
    causal = torch.ones(Q, K, dtype=torch.bool).triu(1)
    seen: list[Observed] = []
    with observing(module, seen.append):
        _, weights = module(query, key, value, padding, attn_mask=causal, average_attn_weights=False)
    one = seen[0]
    assert one.query is not None
    assert one.key is not None
    assert one.kind == "cross"
    scores = one.query @ one.key.mT * one.scale + one.mask
    torch.testing.assert_close(scores.softmax(-1), weights)
    assert one.weights is not None
    assert torch.equal(one.weights, weights)


@pytest.mark.parametrize("variant", ["bahdanau", "local-m", "local-p"])
def test_recurrent_decoders_are_seen_step_by_step_over_the_whole_source(seed: int, variant: str) -> None:
    local: Any = None if variant == "bahdanau" else variant[-1]
    config = ModelConfig(embedding=5, hidden=8, encoder_hidden=4, dropout=0.0, local=local, window=2)
    make = bahdanau if local is None else luong
    model = make(config, recurrent_encoder(config, vocabulary=29), vocabulary=31)
    source, lengths = torch.randint(29, (BATCH, K)), torch.tensor([K, 3])
    seen: list[Observed] = []
    returned: list[Tensor] = []
    with torch.no_grad(), observing(model, seen.append):
        state = model.start(model.encode(source, lengths))
        for _ in range(3):
            step = model.step(torch.randint(31, (BATCH, 1)), state)
            state = step.state
            assert step.weights is not None
            returned.append(step.weights)
    assert [(one.name, one.kind, one.api) for one in seen] == [("decoder.attention", "cross", "attend")] * 3
    for one, weights in zip(seen, returned, strict=True):
        assert one.weights is not None
        torch.testing.assert_close(one.weights[:, 0], weights)


class Reader(nn.Module):
    """Reads a memory, under a name that says nothing."""

    def forward(self, states: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        return F.scaled_dot_product_attention(states[:, None], memory[:, None], memory[:, None], mask)


class Shared(nn.MultiheadAttention):
    """One attention for both uses."""


@pytest.mark.parametrize(
    ("module", "lengths", "kind"),
    [
        (Reader(), (Q, K), "cross"),
        (Reader(), (K, Q), "cross"),
        (nn.ModuleDict({"cross_attention": Reader()}), (K, K), "cross"),
        (nn.ModuleDict({"encoder_attn": Reader()}), (K, K), "cross"),
        (nn.ModuleDict({"encoder_self_attn": Reader()}), (K, K), "self"),
        (nn.ModuleDict({"multihead_attn": Reader()}), (K, K), "self"),
        (nn.ModuleDict({"multihead_attn": Reader(), "self_attn": Reader()}), (K, K), "cross"),
        (Shared(D, 1, batch_first=True), (K, K), "cross"),
    ],
)
def test_the_kind_is_told_by_class_arguments_name_or_lengths(
    seed: int, module: nn.Module, lengths: tuple[int, int], kind: str
) -> None:
    states, memory = (torch.randn(BATCH, n, D) for n in lengths)
    run = next(iter(module.values())) if isinstance(module, nn.ModuleDict) else module
    seen: list[Observed] = []
    with observing(module, seen.append):
        run(states, memory, memory) if isinstance(run, Shared) else run(states, memory)
    assert [one.kind for one in seen] == [kind]
    if isinstance(run, Shared):
        with observing(module, seen.append):
            run(states, states, states)
            run(states.clone(), states.clone(), states)
        assert [one.kind for one in seen[1:]] == ["self", "self"]


def test_what_an_observer_computes_is_not_observed(seed: int) -> None:
    model = Model(F.scaled_dot_product_attention)
    outer: list[str] = []
    inner: list[str] = []

    def look_closer(one: Observed) -> None:
        F.scaled_dot_product_attention(one.query, one.key, one.value)  # type: ignore[arg-type]
        at.attend(one.query, one.key, one.value)  # type: ignore[arg-type]
        inner.append(one.name)

    with observing(model, lambda one: outer.append(one.name)), observing(model.layers[0], look_closer):
        model(torch.randn(BATCH, K, D))
        at.attend(*torch.randn(3, BATCH, Q, D))
    assert outer == ["layers.1", "layers.0", ""]
    assert inner == ["", "", ""]


def test_each_thread_sees_its_own_calls(seed: int) -> None:
    model = Model(F.scaled_dot_product_attention)
    both_inside = threading.Barrier(2)
    batches: dict[int, list[int]] = {}

    def run(batch: int) -> None:
        seen: list[Observed] = []
        with observing(model, seen.append):
            both_inside.wait(timeout=10)
            model(torch.randn(batch, K, D))
            both_inside.wait(timeout=10)
        batches[batch] = [len(one.context) for one in seen]

    threads = [threading.Thread(target=run, args=(batch,)) for batch in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert batches == {2: [2, 2], 3: [3, 3]}
    assert torch.backends.mha.get_fastpath_enabled()


def test_after_an_exception_nothing_is_observed_any_more(seed: int) -> None:
    def fail(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        F.scaled_dot_product_attention(q, k, v)
        raise RuntimeError("on purpose")

    seen: list[Observed] = []
    model = Model(fail)
    with pytest.raises(RuntimeError, match="on purpose"), observing(model, seen.append):
        model(torch.randn(BATCH, K, D))
    assert len(seen) == 1
    at.attend(*torch.randn(3, BATCH, Q, D))
    F.scaled_dot_product_attention(*torch.randn(3, BATCH, HEADS, Q, D))
    assert len(seen) == 1
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_compiled_model_runs_as_written_meanwhile(seed: int) -> None:
    model = Model(F.scaled_dot_product_attention)
    compiled = torch.compile(model, backend="eager")
    inputs = torch.randn(BATCH, K, D)
    before = compiled(inputs)
    seen: list[Observed] = []
    with observing(compiled, seen.append):
        during = compiled(inputs)
    assert [one.name for one in seen] == ["layers.1", "layers.0"]
    torch.testing.assert_close(during, before)
    assert sys.modules["torch._dynamo.eval_frame"]._stance.stance == "default"


def test_gradients_are_those_of_the_unobserved_model(seed: int) -> None:
    for function in (F.scaled_dot_product_attention, lambda q, k, v: at.attend(q, k, v).context):
        model, inputs = Model(function), torch.randn(BATCH, K, D)
        model(inputs).square().sum().backward()
        expected = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
        model.zero_grad()
        with observing(model, lambda one: None):
            model(inputs).square().sum().backward()
        for parameter, grad in zip(model.parameters(), expected, strict=True):
            assert torch.equal(parameter.grad, grad)  # type: ignore[arg-type]


ORDER = torch.tensor([3, 0, 1, 2, *range(4, K)])


def _masked_in_place(weights: Tensor) -> Tensor:
    weights = weights.float()
    weights[..., 0] = 0
    return weights


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights - 0.5 * torch.softmax(torch.randn(BATCH, HEADS, Q, K), -1),
        lambda weights: 0.3 * weights + 0.7 * torch.softmax(torch.randn(Q, K), -1),
        lambda weights: weights.flip(-1),
        lambda weights: weights[..., ORDER],
        lambda weights: weights.roll(1, -1).clone(),
        lambda weights: weights.square(),
        lambda weights: torch.relu(weights - 0.1),
        lambda weights: torch.eye(Q, K) - weights,
        lambda weights: weights.cumsum(-1),
        lambda weights: weights.clone().mul_(torch.rand(K)),
        _masked_in_place,
    ],
    ids=range(11),
)
def test_what_was_made_of_the_weights_is_what_is_seen(change: Callable[[Tensor], Tensor], seed: int) -> None:
    seen: list[Observed] = []
    with observing(nn.Identity(), seen.append):
        used = change(torch.softmax(torch.randn(BATCH, HEADS, Q, K), dim=-1))
        used @ torch.randn(BATCH, HEADS, K, D)
    assert torch.equal(seen[0].weights, used)  # type: ignore[arg-type]


def test_a_gate_of_heads_leaves_the_weights_what_they_are(seed: int) -> None:
    seen: list[Observed] = []
    with observing(nn.Identity(), seen.append):
        weights = torch.softmax(torch.randn(BATCH, HEADS, Q, K), dim=-1)
        (torch.rand(HEADS, 1, 1) * weights) @ torch.randn(BATCH, HEADS, K, D)
    assert seen[0].weights is weights


@pytest.mark.parametrize("transform", [torch.func.vmap, lambda f: torch.func.grad(lambda x: f(x).sum())])
@pytest.mark.parametrize("by_hand", [False, True])
def test_attention_inside_a_transform_is_refused_in_one_line(transform: Callable, by_hand: bool, seed: int) -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if not by_hand:
                return F.scaled_dot_product_attention(x, x, x)
            heads = x.unflatten(-1, (2, 2)).transpose(1, 2)  # as many as sequences
            return (heads @ heads.mT).softmax(-1) @ heads

    model = Model()
    with pytest.raises(AttentioError, match=r"attention inside a transform of torch\.func"), at.capture(model):
        transform(model)(torch.randn(3, 2, 5, 4) if transform is torch.func.vmap else torch.randn(2, 5, 4))


def test_what_is_captured_is_on_the_cpu_whatever_the_default_device(seed: int) -> None:
    model, x = nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(1, 5, 8)
    with torch.device("meta"), at.capture(model) as seen:
        model(x, x, x)
    torch.testing.assert_close(seen[0].weights.sum(-1), torch.ones(1, 2, 5, dtype=torch.float16), atol=2e-3, rtol=0)
