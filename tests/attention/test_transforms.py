"""torch.func and forward-mode differentiation: `attend` is transformed as plain torch operations are."""

import math
import subprocess
import sys

import pytest
import torch
from torch import func
from torch.autograd import forward_ad

import attentio as at

pytestmark = [
    # torch's own forward mode, at its first use
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

L = 70
ALLOWED = {
    "none": lambda i, j: torch.ones(L, L, dtype=torch.bool),
    "causal": lambda i, j: j <= i,
    "window": lambda i, j: (j - i).abs() <= 2,
    "padding": lambda i, j: (j < torch.tensor([L - 3, L - 9])[:, None, None, None]) & (i >= 0),
    "segments": lambda i, j: i // 10 == j // 10,
}
IDS = (torch.arange(L) // 10).expand(2, -1)
MASKS = {
    "none": None,
    "causal": at.causal(),
    "window": at.window(2, 2),
    "padding": at.padding(torch.tensor([L - 3, L - 9])),
    "segments": at.segments(IDS, IDS),
}
TRANSFORMS = {
    "grad": lambda f, q: func.grad(lambda t: f(t).sin().sum())(q),
    "vmap": lambda f, q: func.vmap(f)(torch.stack([q, q.cos(), q.exp()])),
    "jvp": lambda f, q: func.jvp(f, (q,), (q.cos(),)),
    "vjp": lambda f, q: func.vjp(lambda t: f(t).sin().sum((1, 2, 3)), q)[1](torch.tensor([2.0, 3.0]).to(q))[0],
    "jacrev": lambda f, q: func.jacrev(lambda t: f(t).sum((0, 1, 3)))(q),
    "jacfwd": lambda f, q: func.jacfwd(lambda t: f(q * t))(torch.ones(4, dtype=q.dtype)),
    "hessian": lambda f, q: func.hessian(lambda t: f(q * t).sin().sum())(torch.ones(4, dtype=q.dtype)),
    "grad of each sample": lambda f, q: func.vmap(func.grad(lambda t: f(t).sin().sum()))(torch.stack([q, q.cos()])),
    "vmap of grad of vmap": lambda f, q: func.vmap(func.grad(lambda t: func.vmap(f)(t[None]).sum()))(q[None]),
}


def plain(query, key, value, mask, need_weights=False):
    i, j = torch.arange(L)[:, None], torch.arange(L)
    scores = query @ key.transpose(-1, -2) / math.sqrt(4)
    weights = scores.masked_fill(~ALLOWED[mask](i, j), -math.inf).softmax(-1)
    return torch.cat([weights @ value, weights], dim=-1) if need_weights else weights @ value


def ours(query, key, value, mask, need_weights=False):
    found = at.attend(query, key, value, mask=MASKS[mask], need_weights=need_weights)
    return torch.cat(found, dim=-1) if need_weights else found.context


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_transform_gives_what_it_gives_of_plain_torch(seed, transform, mask, need_weights):
    query, key, value = torch.randn(3, 2, 1, L, 4, dtype=torch.float64)
    found, expected = (
        TRANSFORMS[transform](lambda q: attend(q, key, value, mask, need_weights), query)  # noqa: B023
        for attend in (ours, plain)
    )
    torch.testing.assert_close(found, expected)


def test_additive_attention_is_transformed_with_its_vector(seed):
    query, key, value, vector = torch.randn(2, L, 4), torch.randn(2, L, 4), torch.randn(2, L, 3), torch.randn(4)

    def loss(vector, query, key, value):
        return at.attend(query, key, value, score=at.Additive(vector), mask=at.causal()).context.sin().sum()

    def plain_loss(vector, query, key, value):
        scores = (query[..., :, None, :] + key[..., None, :, :]).tanh() @ vector
        future = torch.ones(L, L, dtype=torch.bool).triu(1)
        return (scores.masked_fill(future, -math.inf).softmax(-1) @ value).sin().sum()

    one_each = [t[:, None] for t in (query, key, value)]
    found, expected = (func.vmap(func.grad(f), (None, 0, 0, 0))(vector, *one_each) for f in (loss, plain_loss))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_masks_and_biases_may_differ_from_sample_to_sample(seed):
    tensor, lengths, bias = torch.randn(3, 2, 1, 5, 4), torch.tensor([[5, 3], [0, 1], [2, 2]]), torch.randn(3, 5, 5)

    def attend(tensor, lengths, bias):
        return at.attend(tensor, tensor, tensor, mask=at.padding(lengths) & at.causal(), bias=bias).context

    one_by_one = torch.stack([attend(*sample) for sample in zip(tensor, lengths, bias, strict=True)])
    torch.testing.assert_close(func.vmap(attend)(tensor, lengths, bias), one_by_one)


def test_what_is_masked_reaches_nothing_in_a_transform_either(seed):
    query, key, value = torch.randn(3, 1, 1, 4, 3).unbind()
    key[..., -1, :], value[..., -1, :] = math.inf, math.nan
    mask = at.padding(torch.tensor([3]))
    loss = lambda q: at.attend(q, key, value, mask=mask).context.sin().sum()  # noqa: E731
    assert func.grad(loss)(query).isfinite().all()
    assert all(t.isfinite().all() for t in func.jvp(loss, (query,), (query,)))


def test_dual_tensors_carry_their_tangents_through(seed):
    query, key, value = torch.randn(3, 2, 1, L, 4)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(query, query.cos())
        found = forward_ad.unpack_dual(at.attend(dual, key, value, mask=at.causal()).context).tangent
    expected = func.jvp(lambda q: plain(q, key, value, "causal"), (query,), (query.cos(),))[1]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("normalize", [None, at.Sparsemax(), at.Entmax(1.3)], ids=str)
def test_a_traced_model_gives_the_same_of_other_numbers(seed, as_installed, normalize):
    def f(x, lengths):
        found = at.attend(x, x, x, mask=at.padding(lengths), normalize=normalize, need_weights=True)
        return torch.cat(found, dim=-1)

    traced = torch.jit.trace(f, (torch.randn(2, L, 4), torch.tensor([L, L])), check_trace=False)
    other = torch.randn(2, L, 4), torch.tensor([L - 3, 0])
    torch.testing.assert_close(traced(*other), f(*other))


def test_explain_says_why_the_equation_runs_and_a_named_engine_refuses(seed):
    query = torch.randn(2, 1, L, 4)
    told = []

    def look(q):
        told.append(at.explain(q, q, q))
        return at.attend(q, q, q).context.sum()

    func.grad(look)(query)
    assert told[0].engine == "reference"
    assert "torch.func" in told[0].others["short"]
    assert at.explain(query, query, query).engine == "short"
    with pytest.raises(ValueError, match=r'engine="sdpa" cannot do this call: torch\.func'):
        func.vmap(lambda q: at.attend(q, q, q, engine="sdpa").context)(query[None])


COMPILED = """
import torch, attentio as at
x = torch.randn(1, 4, 3)
f = lambda x: at.attend(x, x, x, mask=at.causal()).context.sin().sum()
for g in (lambda x: torch.func.jvp(f, (x,), (x.cos(),))[1], torch.func.hessian(f)):
    torch.testing.assert_close(torch.compile(g, backend="aot_eager", fullgraph=True)(x), g(x))
"""


def test_a_compiled_function_may_transform_attention():
    """In a process of its own: what checks shapes in these tests is nothing that torch could compile."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)
