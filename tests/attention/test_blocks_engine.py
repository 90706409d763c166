"""What the engine of blocks leaves out, and that nothing else changes by it."""

from pathlib import Path

import pytest
import torch
from attention_oracle import inputs
from torch.utils.data import DataLoader, Dataset

import attentio as at
from attentio.attention.engines.block_layout import Grid
from attentio.attention.mask_kinds import Window


def pairs_computed(mask, batch, q, k, size=64):
    """Pairs of a query and a key that are given to matrix products."""
    return sum(
        (rows.sequences.stop - rows.sequences.start) * block.pairs()
        for rows in Grid.of(mask, batch, q, k, size).cut()
        for block in rows.blocks
    )


def test_a_window_costs_queries_times_window(seed):
    assert pairs_computed(at.window(64, 64), 1, 2048, 2048) == 2048 * (64 + 128) - 2 * 64 * 64
    assert pairs_computed(at.window(64, 0) & at.causal(), 1, 2048, 2048) == 2048 * 128 - 64 * 64


def test_packed_documents_cost_what_each_costs_alone(seed):
    ids = torch.arange(16).repeat_interleave(64)[None]
    assert pairs_computed(at.segments(ids, ids), 1, 1024, 1024) == 16 * 64 * 64


def test_padding_costs_nothing(seed):
    assert pairs_computed(at.padding(torch.tensor([7, 0, 512])), 3, 128, 512) == 128 * 519


def test_a_full_block_carries_no_mask_and_blocks_of_a_window_share_theirs(seed):
    (rows,) = Grid.of(at.padding(torch.tensor([100])), 1, 200, 512, 64).cut()
    (block,) = rows.blocks  # neighbours that see the same keys are one
    assert block.allowed is None
    assert (block.queries, block.keys) == (slice(0, 200), slice(0, 100))
    (rows,) = Grid.of(at.window(64, 64), 1, 512, 512, 64).cut()
    assert len({id(block.allowed) for block in rows.blocks}) == 3


MASKS = {
    "window": lambda q, k: at.window(13, 5),
    "window and padding": lambda q, k: at.window(7, 7) & at.padding(torch.tensor([k, 17])),
    "unsorted segments": lambda q, k: at.segments(torch.randint(5, (2, q)), torch.randint(4, (2, k))),
    "causal, packed": lambda q, k: at.causal() & at.segments(*(torch.randint(5, (2, n)).sort().values for n in (q, k))),
    "by head": lambda q, k: at.keep(torch.rand(2, 3, q, k) < 0.1),
    "by key": lambda q, k: at.keep(torch.rand(2, 1, k) < 0.1),
    "empty rows": lambda q, k: at.window(3, 3) & at.keep((torch.arange(q) % 3 > 0)[:, None]),
    "empty blocks": lambda q, k: at.causal(align="start") & at.keep(torch.arange(k).expand(1, k) > 100),
}
SCORES = {"dot": at.Dot(), "scaled": at.ScaledDot(), "additive": at.Additive(torch.linspace(-1, 1, 11).double())}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("bias", [None, (211, 193), (3, 1, 193)])
def test_blocks_equal_the_reference_forward_and_backward(seed, mask, score, bias):
    tensors = list(inputs(q=211, k=193, dtype=torch.float64, grad=True))
    added = None if bias is None else torch.randn(bias, dtype=torch.float64, requires_grad=len(bias) == 3)
    wanted = [t for t in (*tensors, added) if t is not None and t.requires_grad]
    arguments = {"score": SCORES[score], "mask": MASKS[mask](211, 193), "bias": added}
    upstream = torch.randn(2, 3, 211, 13, dtype=torch.float64)
    found = {}
    for engine in ("reference", "blocks"):
        context = at.attend(*tensors, **arguments, engine=engine).context
        found[engine] = (context, *torch.autograd.grad(context, wanted, upstream))
    torch.testing.assert_close(found["blocks"], found["reference"])


def test_weights_stand_in_their_places(seed):
    tensors, mask = inputs(q=211, k=193, grad=True), MASKS["window and padding"](211, 193)
    by_blocks, expected = (
        at.attend(*tensors, mask=mask, need_weights=True, engine=engine).weights for engine in ("blocks", "reference")
    )
    torch.testing.assert_close(by_blocks, expected)
    one, other = (torch.autograd.grad(w.square().sum(), tensors[:2]) for w in (by_blocks, expected))
    torch.testing.assert_close(one, other)


def test_nan_in_a_long_padding_reaches_nobody(seed):
    tensors = inputs(q=211, k=193)
    mask = at.padding(torch.tensor([193, 17])) & at.window(9, 9)
    clean = at.attend(*tensors, mask=mask, engine="blocks").context
    tensors[1][1, :, 17:] = tensors[2][1, :, 17:] = float("nan")
    torch.testing.assert_close(at.attend(*tensors, mask=mask, engine="blocks").context, clean)


def chosen(mask, *, batch=1, heads=8, q=2048, k=None):
    query, key = torch.zeros(batch, heads, q, 64), torch.zeros(batch, heads, k or q, 64)
    return at.explain(query, key, key, mask=mask).engine


def test_blocks_are_chosen_where_they_pay_and_only_there(seed):
    documents = torch.arange(8).repeat_interleave(256)[None]
    assert chosen(at.window(64, 64)) == "blocks"
    assert chosen(at.segments(documents, documents) & at.causal()) == "blocks"
    assert chosen(at.padding(torch.arange(1, 17) * 32), batch=16, q=512) == "blocks"
    assert chosen(at.causal()) == "sdpa"
    assert chosen(at.padding(torch.full((4,), 510)), batch=4, q=512) == "sdpa"
    assert chosen(at.padding(torch.randint(5, 31, (80,))), batch=80, q=30) != "blocks"
    assert chosen(at.window(64, 0), q=1, k=2048) != "blocks"
    assert "cost" in at.explain(*inputs(q=211, k=193), mask=at.window(200, 200)).others["blocks"]


def test_a_call_is_cut_once(seed, monkeypatch):
    asked = []
    ranges = Window.key_ranges
    monkeypatch.setattr(Window, "key_ranges", lambda *a: asked.append(a) or ranges(*a))
    mask = at.window(9, 9) & at.padding(torch.tensor([211, 17]))
    query, key, value = inputs(q=211, k=211, grad=True)
    at.attend(query, key, value, mask=mask).context.sum().backward()
    assert len(asked) == 1
    assert at.explain(query, key, value, mask=mask).engine == "blocks"
    assert len(asked) == 2


def peak_mb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def test_a_long_window_needs_memory_for_the_window_only(seed):
    query, key, value = (torch.randn(1, 2, 65_536, 8, requires_grad=True) for _ in range(3))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of earlier tests
    before = peak_mb()
    at.attend(query, key, value, mask=at.window(16, 16)).context.sum().backward()
    assert peak_mb() - before < 200  # the weights would be 34,000, the mask 4,096
    assert query.grad.isfinite().all()


class Windowed(torch.nn.Module):
    def forward(self, query, key, value, lengths):
        return at.attend(query, key, value, mask=at.window(9, 9) & at.padding(lengths)).context


def test_an_exported_model_works_for_other_lengths_than_it_was_exported_with(seed):
    tensors = inputs(q=211, k=211)
    assert at.explain(*tensors, mask=at.window(9, 9) & at.padding(torch.tensor([211, 17]))).engine == "blocks"
    exported = torch.export.export(Windowed(), (*tensors, torch.tensor([211, 17]))).module()
    other = torch.tensor([5, 193])
    torch.testing.assert_close(exported(*tensors, other), Windowed()(*tensors, other), rtol=1e-4, atol=1e-5)


def test_inference_mode_is_no_obstacle(seed):
    tensors = inputs(q=211, k=193)
    with torch.inference_mode():
        found = at.attend(*tensors, mask=at.window(9, 9), engine="blocks").context
    torch.testing.assert_close(found, at.attend(*tensors, mask=at.window(9, 9), engine="reference").context)


class Attending(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        x = torch.linspace(-1, 1, 512).view(1, 1, 256, 2)
        return at.attend(x, x, x, mask=at.window(3, i), engine="blocks").context[0]


def test_a_forked_worker_of_a_data_loader_can_use_it(seed):
    Attending()[0]
    here = torch.stack([Attending()[i] for i in range(2)])
    (there,) = DataLoader(Attending(), batch_size=2, num_workers=1, multiprocessing_context="fork")
    torch.testing.assert_close(there, here)


def test_a_mask_that_is_written_to_before_the_backward_pass_keeps_its_gradient(seed):
    """One buffer for the masks of two micro-batches."""
    w, buffer, place = torch.randn(8, 8, requires_grad=True), torch.empty(256, 256, dtype=torch.bool), torch.arange(256)
    masks = [(place[:, None] // n) == (place // n) for n in (32, 16)]
    x = torch.randn(2, 1, 2, 256, 8)

    def gradient(kept, engine):
        total = 0.0
        for values, mask in zip(x, masks, strict=True):
            mask = buffer.copy_(mask) if kept == "in one buffer" else mask
            context = at.attend(values @ w, values, values, mask=at.keep(mask), engine=engine).context
            total = total + context.square().sum()
        return torch.autograd.grad(total, w)[0]

    expected = gradient("each its own", "reference")
    torch.testing.assert_close(gradient("in one buffer", "blocks"), expected, rtol=1e-3, atol=1e-3)
