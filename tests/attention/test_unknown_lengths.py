"""One exported program, and one compiled graph, for every length."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

import attentio as at


class Attend(nn.Module):
    def forward(self, tensor, lengths):
        ids = torch.zeros(tensor.shape[0], tensor.shape[2], dtype=torch.long)
        mask = at.padding(lengths) & at.causal() & (at.window(2, 2) | at.segments(ids, ids))
        return at.attend(tensor, tensor, tensor, mask=mask).context


class Multihead(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = at.MultiheadAttention(8, 2, batch_first=True).eval()

    def forward(self, tensor, lengths):
        flat = tensor.transpose(1, 2).flatten(2)
        padding = torch.arange(flat.shape[1]) >= lengths[:, None]
        return self.attention(flat, flat, flat, key_padding_mask=padding, is_causal=True)


class AttendAdditively(nn.Module):
    def __init__(self):
        super().__init__()
        self.vector = nn.Parameter(torch.linspace(-1, 1, 4))

    def forward(self, tensor, lengths):
        return at.attend(tensor, tensor, tensor, score=at.Additive(self.vector), mask=at.padding(lengths)).context


def draw(length):
    return torch.randn(3, 2, length, 4), torch.tensor([length, length - 1, 1])


@pytest.mark.parametrize("model", [Attend, Multihead, AttendAdditively])
def test_an_exported_model_takes_any_length(seed, as_installed, model):
    model, length = model(), torch.export.Dim("length", max=64)
    exported = torch.export.export(model, draw(5), dynamic_shapes=({2: length}, None)).module()
    for n in (2, 5, 13):
        tensors = draw(n)
        torch.testing.assert_close(exported(*tensors), model(*tensors))


def test_a_compiled_model_is_compiled_once_for_all_lengths():
    # In a process of its own: the compiler cannot trace the checks of annotations that the tests switch on.
    done = subprocess.run([sys.executable, "-W", "ignore", __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Attend", "1", "Multihead", "1", "AttendAdditively", "1"]


def compile_for_some_lengths(model):
    count = CompileCounter()
    compiled = torch.compile(model, backend=count, dynamic=True, fullgraph=True)
    with torch.no_grad():
        for n in (5, 6, 7, 11):
            tensors = draw(n)
            torch.testing.assert_close(compiled(*tensors), model(*tensors))
    print(type(model).__name__, count.frame_count)


if __name__ == "__main__":
    compile_for_some_lengths(Attend())
    compile_for_some_lengths(Multihead())
    compile_for_some_lengths(AttendAdditively())
