"""Using capture: which layers, where to, and what happens when things go wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import attentio as at
from attentio.errors import AttentioError

BATCH, LENGTH, WIDTH, HEADS = 2, 7, 24, 6


class Block(nn.Module):
    def __init__(self, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.heads, self.project = heads, nn.Linear(width, 3 * width)

    def forward(self, inputs: Tensor) -> Tensor:
        q, k, v = self.project(inputs).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Pair(nn.Module):
    """Two stacks of blocks; a mistake on request."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*(Block(width, heads) for _ in range(3)))
        self.decoder = nn.Sequential(*(Block(width, heads) for _ in range(2)))

    def forward(self, inputs: Tensor, fail: bool = False) -> Tensor:
        hidden = self.encoder(inputs)
        if fail:
            raise RuntimeError("on purpose")
        return self.decoder(hidden)


def _inputs() -> Tensor:
    return torch.randn(BATCH, LENGTH, WIDTH)


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (None, ["encoder.0", "encoder.1", "encoder.2", "decoder.0", "decoder.1"]),
        ("decoder", ["decoder.0", "decoder.1"]),
        ("*.1", ["encoder.1", "decoder.1"]),
        (["encoder.2", "decoder.0"], ["encoder.2", "decoder.0"]),
        (0, ["encoder.0", "decoder.0"]),
        (-1, ["encoder.2", "decoder.1"]),
        ([2, "decoder.*"], ["encoder.2", "decoder.0", "decoder.1"]),
    ],
)
def test_layers_are_chosen_by_name_pattern_or_number(seed: int, layers: Any, names: list[str]) -> None:
    model = Pair()
    with at.capture(model, layers=layers) as seen:
        model(_inputs())
    assert seen.names == names


def test_a_layer_is_chosen_by_a_part_of_its_path(seed: int) -> None:
    model = nn.ModuleDict({"model": Pair()})
    for layers in ("decoder", "decoder.1", "0"):
        with at.capture(model, layers=layers) as seen:
            model["model"](_inputs())
        wanted = {"decoder": ["decoder.0", "decoder.1"], "decoder.1": ["decoder.1"], "0": ["encoder.0", "decoder.0"]}
        assert seen.names == [f"model.{name}" for name in wanted[layers]]


def test_calls_of_one_attention_are_numbered(seed: int) -> None:
    model = Pair()
    with at.capture(model, layers="encoder.1") as seen:
        for _ in range(3):
            model(_inputs())
    assert [(one.name, one.call) for one in seen] == [("encoder.1", n) for n in range(3)]


def test_what_goes_to_disk_is_what_would_be_in_memory(seed: int, tmp_path: Path) -> None:
    model, inputs = Pair(), _inputs()
    for number, options in enumerate(({}, {"parts": True}, {"top_k": 3, "heads": [4, 1]})):
        directory = tmp_path / str(number)
        with at.capture(model, **options) as kept:
            model(inputs)
        with at.capture(model, **options, directory=directory) as streamed:
            model(inputs)
        for read in (streamed, at.Seen.load(directory)):
            for one, other in zip(read, kept, strict=True):
                for name in at.SeenAttention.__dataclass_fields__:
                    mine, theirs = getattr(one, name), getattr(other, name)
                    assert torch.equal(mine, theirs) if isinstance(mine, Tensor) else mine == theirs, name
    with pytest.raises(AttentioError, match=r"attention\.json exists already"), at.capture(model, directory=directory):
        model(inputs)


def test_tokens_set_within_the_block_are_written(seed: int, tmp_path: Path) -> None:
    model = Block()
    with at.capture(model, directory=tmp_path) as seen:
        model(_inputs())
        seen.tokens = [["a", "b"], ["c"]]
    assert at.Seen.load(tmp_path).tokens == [["a", "b"], ["c"]]


def test_a_capture_that_failed_half_way_does_not_look_finished(seed: int, tmp_path: Path) -> None:
    model, inputs = Pair(), _inputs()
    with pytest.raises(RuntimeError, match="on purpose"), at.capture(model, directory=tmp_path) as seen:
        model(inputs, fail=True)
    assert len(seen) == 3
    kept = seen[0].weights.clone()
    with pytest.raises(AttentioError, match="did not finish"):
        at.Seen.load(tmp_path)
    with at.capture(model, directory=tmp_path):
        model(_inputs())
    assert len(at.Seen.load(tmp_path)) == 5
    assert torch.equal(seen[0].weights, kept)


def test_nothing_seen_says_what_to_do(seed: int, tmp_path: Path) -> None:
    with (
        pytest.raises(AttentioError, match="no attention was seen in Linear; run the model inside the with block"),
        at.capture(nn.Linear(3, 5), directory=tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())
    model = Pair()
    with (
        pytest.raises(
            AttentioError, match=r"no attention in the layers 'deocder.\*'; what the model called is 'encoder.0'"
        ),
        at.capture(model, layers="deocder.*"),
    ):
        model(_inputs())
    with (
        pytest.raises(AttentioError, match=r"'decoder'; what the model called is '' \(the model itself\)"),
        at.capture(model := Block(WIDTH, HEADS), layers="decoder"),
    ):
        model(_inputs())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Iterating over a tensor")
def test_a_scripted_model_is_said_not_to_be_seen(seed: int) -> None:
    model = torch.jit.trace(Block(), _inputs())
    with pytest.raises(AttentioError, match=r"no attention was seen in .*traced"), at.capture(model):
        model(_inputs())


def test_top_k_must_keep_something(seed: int) -> None:
    with pytest.raises(ValueError, match="a whole number of at least 1, got 0"), at.capture(Pair(), top_k=0):
        pass


def test_what_was_seen_in_inference_mode_can_be_used_outside(seed: int, tmp_path: Path) -> None:
    model, inputs = Pair(), _inputs()
    for directory in (None, tmp_path):
        with torch.inference_mode(), at.capture(model, directory=directory) as seen:
            model(inputs)
        weights = seen[0].weights
        assert not weights.is_inference()
        (weights.float() * torch.ones(LENGTH, requires_grad=True)).sum().backward()


def test_captures_within_captures_see_the_same(seed: int) -> None:
    model, inputs = Pair(), _inputs()
    with at.capture(model) as outer, at.capture(model.encoder, top_k=2) as inner:
        model(inputs)
    assert outer.names == ["encoder.0", "encoder.1", "encoder.2", "decoder.0", "decoder.1"]
    assert inner.names == ["0", "1", "2"]
    for one, other in zip(inner, outer[:3], strict=True):
        kept = one.dense() > 0
        assert (kept.sum(-1) == 2).all()
        assert torch.equal(one.dense()[kept], other.weights[kept])


_STREAM = """
import sys
from pathlib import Path
import torch
import attentio as at
sys.path.insert(0, {tests!r})
from test_capture_use import Pair

torch.set_num_threads(1)
model, inputs = Pair(64, 8), torch.randn(1, 1024, 64)
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
with torch.no_grad():
    with at.capture(model, top_k=1):
        model(inputs)
    for way in ("directory", "top_k"):
        grown = []
        for again in range(3):  # the least: pages that the allocator takes by chance are no fault
            Path("/proc/self/clear_refs").write_text("5")
            before = peak()
            with at.capture(model, **{{way: {directory!r} + str(again) if way == "directory" else 4}}) as seen:
                model(inputs)
            grown.append(peak() - before)
        print(min(grown), sum(one.weights.numel() for one in seen))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_long_sequences_need_little_memory(tmp_path: Path) -> None:
    """5 layers x 8 heads x 1,024 x 1,024: 80 MiB in float16, 32 MiB for one layer in float32."""
    code = _STREAM.format(tests=str(Path(__file__).parent), directory=str(tmp_path / "seen"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line, keys in zip(done.stdout.splitlines(), (1024, 4), strict=True):
        grown, numbers = map(int, line.split())
        print(f"{grown} MiB")
        assert grown < 60, f"{grown} MiB more than before"
        assert numbers == 5 * 8 * 1024 * keys


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"top_k": 2.5}, "top_k must be a whole number of at least 1, got 2.5"),
        ({"heads": 1}, r"heads must be numbers of heads, such as \[0, 1\], got 1"),
    ],
)
def test_an_option_of_another_kind_is_told(as_installed, option, message):
    with pytest.raises(ValueError, match=message), at.capture(torch.nn.Linear(2, 2), **option):
        pass
