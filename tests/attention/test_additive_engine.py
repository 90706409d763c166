"""The additive engine: its compiled loops and plain torch, which takes over where there can be none."""

import math
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from attention_oracle import additive, attend_by_hand, inputs
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

import attentio as at
from attentio.attention.engines import additive as engine
from attentio.attention.kernels.tanh import tanh

FEW, MANY = 1, 11


def problem(q, *, heads=3, dtype=torch.float32, grad=True, scale=1.0):
    """Query, key, value, vector and a bias, which all want their gradients."""
    tensors = [scale * t for t in inputs(heads=heads, q=q, k=7, d=13, dv=5, dtype=dtype)]
    tensors += [torch.randn(13, dtype=dtype), torch.randn(q, 7, dtype=dtype)]
    return [t.detach().requires_grad_(grad) for t in tensors]


def attend(query, key, value, vector, bias, *, engine="additive", **arguments):
    return at.attend(query, key, value, score=at.Additive(vector), bias=bias, engine=engine, **arguments)


def gradients(run, tensors):
    """Of context and weights, each weighed by numbers of its own, which are exact in every dtype."""
    out = run(*tensors, need_weights=True)
    noise = torch.Generator().manual_seed(3)
    total = sum((t * torch.randn(t.shape, generator=noise).bfloat16().to(t.dtype)).sum() for t in out)
    return torch.autograd.grad(total, tensors)


def in_a_process_of_its_own(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
        env={**os.environ, "OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_tanh_is_within_three_times_ten_to_the_minus_seven(seed):
    points = [
        *torch.linspace(-10, 10, 4001).tolist(),
        *torch.logspace(-30, 1, 1009).tolist(),
        *torch.randn(997).tolist(),
    ]
    for x in torch.tensor(points).tolist():
        exact = math.tanh(x)
        assert abs(tanh.py_func(torch.tensor(x).numpy()[()]) - exact) <= 3e-7 * max(abs(exact), 1e-30)


def test_tanh_keeps_nan_and_knows_infinity():
    assert math.isnan(tanh(float("nan")))
    assert tanh(float("inf")) == pytest.approx(1, abs=3e-7)
    assert tanh(float("-inf")) == pytest.approx(-1, abs=3e-7)


MASKS = {"everything": None, "padding": at.padding(torch.tensor([7, 3])), "causal": at.causal()}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("q", [FEW, MANY])
def test_results_and_all_gradients_equal_those_of_the_equation(seed, q, heads, mask):
    tensors = problem(q, heads=heads)
    exact = [t.detach().double().requires_grad_() for t in tensors]
    found = attend(*tensors, mask=mask, need_weights=True)
    expected = attend(*exact, mask=mask, need_weights=True, engine="reference")
    torch.testing.assert_close(found.context.double(), expected.context, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.weights.double(), expected.weights, rtol=1e-5, atol=1e-5)
    run = lambda *t, **kw: attend(*t, mask=mask, **kw)  # noqa: E731
    slow = lambda *t, **kw: attend(*t, mask=mask, engine="reference", **kw)  # noqa: E731
    for ours, theirs in zip(gradients(run, tensors), gradients(slow, exact), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("q", [FEW, MANY])
@pytest.mark.parametrize("large", [(0,), (1,), (0, 1)], ids=["queries", "keys", "both"])
def test_numbers_far_beyond_the_reach_of_exp_stay_exact(seed, q, large):
    """|q| and |k| up to 100, which cancel in some pairs."""
    query, key, value, vector, bias = problem(q, grad=False)
    with torch.no_grad():
        if 0 in large:
            query += 100 * torch.randint(-1, 2, query.shape)
        if 1 in large:
            key += 100 * torch.randint(-1, 2, key.shape)
    tensors = [t.requires_grad_() for t in (query, key, value, vector, bias)]
    exact = [t.detach().double().requires_grad_() for t in tensors]
    slow = lambda *t, **kw: attend(*t, engine="reference", **kw)  # noqa: E731
    for ours, theirs in zip(gradients(attend, tensors), gradients(slow, exact), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-4)


def test_a_decoding_step_equals_its_row_of_all_steps_at_once(seed):
    query, key, value, vector, bias = problem(MANY, grad=False)
    whole = attend(query, key, value, vector, bias).context
    for i in range(MANY):
        step = attend(query[..., i : i + 1, :], key, value, vector, bias[i : i + 1]).context
        torch.testing.assert_close(step, whole[..., i : i + 1, :])


@pytest.mark.parametrize("q", [FEW, MANY])
def test_tensors_may_have_any_strides(seed, q):
    contiguous = problem(q)
    strided = [t.detach().transpose(-1, 0).contiguous().transpose(-1, 0).requires_grad_() for t in contiguous]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(gradients(attend, strided), gradients(attend, contiguous))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("q", [FEW, MANY])
def test_halves_are_computed_in_float32_and_keep_their_dtype(seed, q, dtype):
    halves = problem(q, dtype=dtype)
    found, wide = gradients(attend, halves), gradients(attend, [t.detach().float().requires_grad_() for t in halves])
    for half, single in zip(found, wide, strict=True):
        assert half.dtype == dtype
        torch.testing.assert_close(half.float(), single, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("q", [FEW, MANY])
def test_masked_pairs_are_not_computed(seed, q, monkeypatch):
    """A key of NaN that nobody may attend to leaves no trace: the loops never met it."""
    seen = []
    shielded = monkeypatch.setattr("attentio.attention.shield.shielded", lambda *a: seen.append(a))
    query, key, value, vector, bias = problem(q, heads=None, grad=False)
    key[:, 4:] = float("nan")
    context = attend(query, key, value, vector, bias, mask=at.padding(torch.tensor([4, 4]))).context
    assert shielded is None
    assert not seen
    assert context.isfinite().all()


@pytest.mark.parametrize("q", [FEW, MANY])
def test_inference_mode_and_frozen_inputs_need_no_gradients(seed, q):
    tensors = problem(q)
    expected = attend(*tensors).context
    with torch.inference_mode():
        torch.testing.assert_close(attend(*tensors).context, expected)
    frozen = [t.detach() for t in tensors]
    frozen[3].requires_grad_()
    (only,) = torch.autograd.grad(attend(*frozen).context.sum(), [frozen[3]])
    torch.testing.assert_close(only, torch.autograd.grad(attend(*tensors).context.sum(), tensors)[3])


# torch 2.14's own check reads the gradient of a tensor that it made on the way.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("q", [FEW, MANY])
def test_the_custom_operators_keep_torch_s_rules(seed, q):
    *tensors, bias = problem(q)
    allowed = at.padding(torch.tensor([7, 3])).materialize(q, 7).unsqueeze(1)
    torch.library.opcheck(engine._operator, (*tensors, allowed, bias.detach()[None, None].requires_grad_()))


def test_compiled_as_one_graph_it_gives_the_same():
    """In a process of its own, since the tests' checks of types cannot be compiled."""
    done = in_a_process_of_its_own(
        STEP
        + """
    for q in (1, 11):
        tensors = [torch.randn(s, requires_grad=True) for s in ((2, q, 13), (2, 7, 13), (2, 7, 5), (13,))]
        mask = at.padding(torch.tensor([7, 3]))
        def run(query, key, value, vector):
            return at.attend(query, key, value, score=at.Additive(vector), mask=mask, engine="additive").context
        compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
        for found, expected in zip(*(torch.autograd.grad(f(*tensors).sin().sum(), tensors) for f in (compiled, run))):
            torch.testing.assert_close(found, expected)
    """
    )
    assert done.returncode == 0, done.stderr


def test_an_exported_model_gives_the_same(seed):
    class Model(torch.nn.Module):
        def forward(self, *tensors):
            return attend(*tensors, mask=at.causal()).context

    tensors = tuple(problem(MANY, grad=False))
    torch.testing.assert_close(torch.export.export(Model(), tensors).module()(*tensors), Model()(*tensors))


def test_results_do_not_depend_on_the_number_of_threads(seed, monkeypatch):
    monkeypatch.setattr(engine, "_SMALL", 0)
    threads = torch.get_num_threads()
    try:
        for q in (FEW, MANY):
            tensors = problem(q)
            torch.set_num_threads(1)
            alone = gradients(attend, tensors)
            torch.set_num_threads(2)
            torch.testing.assert_close(gradients(attend, tensors), alone)
    finally:
        torch.set_num_threads(threads)


def test_plain_torch_in_chunks_equals_the_loops(seed, monkeypatch):
    tensors = problem(MANY)
    expected = gradients(attend, tensors)
    monkeypatch.setattr(engine, "_kernels", lambda: None)
    monkeypatch.setattr(
        "attentio.attention.engines.additive_chunks._CHUNK", 2 * 3 * 7 * 13 * 2
    )  # two queries at a time
    torch.testing.assert_close(gradients(attend, tensors), expected, rtol=1e-4, atol=1e-5)
    context, _ = attend_by_hand(*tensors[:3], compare=additive(tensors[3].detach()), bias=tensors[4])
    torch.testing.assert_close(attend(*tensors).context.double(), context, rtol=1e-4, atol=1e-5)


class LargestTensor(TorchDispatchMode):
    """Numbers in the largest tensor that is made inside."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            self.numbers = max(self.numbers, tensor.numel() if isinstance(tensor, torch.Tensor) else 0)
        return made


def test_plain_torch_never_holds_all_sums_at_once(seed, monkeypatch):
    monkeypatch.setattr(engine, "_kernels", lambda: None)
    query, key = (torch.randn(1, 700, 64, requires_grad=True) for _ in range(2))
    with LargestTensor() as largest:
        context = at.attend(query, key, key, score=at.Additive(torch.randn(64)), engine="additive").context
        context.sum().backward()
    assert 700 * 700 <= largest.numbers <= 700 * 700 * 64 / 4


@pytest.mark.parametrize("q", [FEW, MANY])
def test_autocast_changes_nothing_within(seed, q):
    """A bfloat16 query and its float32 vector, as autocast makes them, forward and backward."""
    *tensors, vector, bias = problem(q)
    tensors = [t.detach().bfloat16().requires_grad_() for t in tensors]
    expected = gradients(attend, [*tensors, vector, bias])
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(attend, [*tensors, vector, bias])
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("engine", ["reference", "additive"])
def test_the_vector_may_have_another_dtype_than_the_query(seed, engine):
    query, key, value, vector, bias = problem(MANY, grad=False)
    expected = attend(query, key, value, vector, bias)
    context = attend(query.double(), key.double(), value.double(), vector, bias.double(), engine=engine).context
    assert context.dtype == torch.float64
    torch.testing.assert_close(context.float(), expected.context, rtol=1e-4, atol=1e-5)


STEP = """
    import os, resource, sys, torch, attentio as at
    def step():
        torch.manual_seed(5)
        query, key, value = (torch.randn(3, n, 256, requires_grad=True) for n in (50, 41, 41))
        vector = torch.randn(256, requires_grad=True)
        context = at.attend(query, key, value, score=at.Additive(vector), engine="additive").context
        context.square().sum().backward()
        return torch.cat([t.grad.flatten() for t in (query, key, value, vector)])
"""


def test_a_forked_child_computes_what_its_parent_does():
    done = in_a_process_of_its_own(
        STEP
        + """
    torch.set_num_threads(2)
    expected = step()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        os._exit(0 if (step() - expected).norm() < 1e-5 * expected.norm() else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    )
    assert done.returncode == 0, done.stderr


class Steps(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        torch.manual_seed(index)
        return torch.cat([g.flatten() for g in gradients(attend, problem(MANY))])


def test_workers_of_a_data_loader_may_attend(seed, monkeypatch):
    monkeypatch.setattr(engine, "_SMALL", 0)
    expected = [Steps()[i] for i in range(2)]
    for found, wanted in zip(DataLoader(Steps(), batch_size=None, num_workers=1), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_without_numba_plain_torch_takes_over_and_says_so_once():
    done = in_a_process_of_its_own(
        "    import sys\n    sys.modules['numba'] = None" + STEP + "    step(); print(step().isfinite().all().item())"
    )
    assert done.stdout == "True\n", done.stderr
    assert done.stderr.count("additive attention runs in plain torch") == 1, done.stderr


def test_with_nowhere_to_keep_compiled_loops_they_are_compiled_anew(tmp_path):
    (tmp_path / "file").touch()
    nowhere = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": str(tmp_path / "file" / "x"),
    }
    forward = """
    tensor = torch.ones(1, 9, 5)
    at.attend(tensor, tensor, tensor, score=at.Additive(tensor[0, 0]), engine="additive")
    """
    done = in_a_process_of_its_own(STEP + forward, **nowhere, OMP_NUM_THREADS="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_numba_is_loaded_only_when_it_is_needed():
    code = "import sys, torch, attentio as at; at.attend; assert 'numba' not in sys.modules"
    assert in_a_process_of_its_own(code).returncode == 0


def test_a_training_step_holds_scores_and_never_the_sums(seed):
    done = in_a_process_of_its_own(
        STEP
        + """
    step()
    tensors = [torch.randn(2, 700, 256, requires_grad=True) for _ in range(3)]
    vector = torch.randn(256, requires_grad=True)
    def peak():  # not ru_maxrss, which begins with the parent's
        return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
    before = peak()
    at.attend(*tensors, score=at.Additive(vector)).context.sum().backward()
    print(peak() - before)
    """,
        OMP_NUM_THREADS="1",
    )
    scores = 2 * 700 * 700 * 4 / 1024
    assert int(done.stdout) < 9 * scores, done.stderr  # the sums q + k alone are 256 times the scores


def test_the_loops_are_compiled_where_nothing_can_be_forked():
    """As on Windows, whose `os` has no hook for it."""
    program = """
import logging, os, random, numba, torch  # which ask for it themselves
del os.register_at_fork
import warnings
warnings.simplefilter("error")
import attentio as at
query = torch.randn(1, 50, 64)
print(at.attend(query, query, query, score=at.Additive(torch.ones(64))).context.shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
