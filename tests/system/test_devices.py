"""Where models run: devices are chosen by name, and one without float64 is never given any."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy_pairs import as_arguments, reverse, write_task
from toy_texts import write_round

import attentio as at
from attentio.devices import as_float64, device_called
from attentio.errors import AttentioError

TINY = {"training.max_steps": 3, "training.validate_every": 2, "training.validation_size": 5, "training.log_every": 1,
        "training.average": 0.9, "training.seed": 3}  # fmt: skip
SMALL = {"model.transformer.width": 16, "model.transformer.heads": 2, "model.transformer.feed_forward": 16}


def test_auto_is_the_cpu_where_there_is_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """MPS is not taken unasked."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device_called("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_called("auto") == torch.device("cuda", 0)


def test_a_cuda_device_is_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_called("cuda") == torch.device("cuda", 0)
    assert device_called("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(AttentioError, match="this PyTorch has 2 cuda devices, counted from 0, and no cuda:2; "):
        device_called("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "meta", "cuda:x", "cpu:-3", "CPU", "\udcff", "cuda:99999999999999999999"])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(AttentioError, match=r"is none of auto, cpu, cuda, cuda:0, \.\., mps; give --device cpu"):
        device_called(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is cuda")
@pytest.mark.parametrize(
    "verb",
    [
        "train luong",
        "translate dates-luong",
        "evaluate dates-luong",
        "align dates-luong",
        "look dates-luong y",
        "serve dates-luong",
        "fill masked-lm x",
        "generate causal-lm x",
    ],
)
def test_every_verb_refuses_a_device_that_is_not_there(tmp_path: Path, attentio: Callable, verb: str) -> None:
    done = attentio(*verb.split(), "--device", "cuda")
    assert done.returncode == 2
    assert done.stderr == b'attentio: this PyTorch has no cuda; give --device cpu, in Python device="cpu"\n'
    with pytest.raises(AttentioError, match="this PyTorch has no cuda"):
        at.load(tmp_path, device="cuda")


def test_float64_of_a_device_that_has_none_is_on_the_cpu() -> None:
    assert as_float64(torch.zeros(3, dtype=torch.int64)).dtype == torch.float64
    assert as_float64(torch.zeros(3, device="meta")).device.type == "meta"


PROBE = """
import json, sys
sys.path.insert(0, {tests!r})
from stand_in_device import stand_in
from attentio.commands.main import main
with stand_in() as name:
    for words in json.loads(sys.argv[1]):
        print("$", *words, flush=True)
        code = main([*words, "--traceback", "--device", name])
        if code:
            sys.exit(code)
"""


MINE = """
import torch

def model():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
    return layer, (torch.randn(2, 9, 8),)
"""


@pytest.fixture
def on_the_stand_in(tmp_path: Path, environment: dict[str, str], programs: Path) -> Callable[..., str]:
    """Runs commands in one process, on a device without float64; returns what they print."""
    pytest.importorskip("torch._C._acc", reason="this torch has no devices written in Python")
    code = PROBE.format(tests=str(Path(__file__).parents[1]))

    def run(*commands: list[str], given: bytes = b"") -> str:
        done = subprocess.run(
            [programs / "python", "-c", code, json.dumps(commands)],
            input=given,
            capture_output=True,
            cwd=tmp_path,
            env=environment,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return done.stdout.decode()

    return run


@pytest.mark.parametrize("model", ["luong", "bahdanau", "transformer"])
def test_pairs_on_a_device_without_float64(
    tmp_path: Path, on_the_stand_in: Callable[..., str], attentio: Callable, model: str
) -> None:
    data = write_task(tmp_path, reverse, seed=3) | TINY
    sizes = SMALL if model == "transformer" else {"model.hidden": 8, "model.embedding": 8}
    (tmp_path / "few.tsv").write_text("abc\tcba\nbad\tdab\n")
    train = ["train", model, "--run", "run", *as_arguments(data | sizes)]
    said = on_the_stand_in(
        train,
        [*train, "--training.max_steps", "5"],
        ["translate", "run"],
        ["evaluate", "run", "--data", "few.tsv", "--beam", "2"],
        ["align", "run"],
        ["look", "run", "abc"],
        ["look", "run", "abc", "--out", "page.html"],
        given=b"abc\nbad\n",
    )
    there = said.partition("$ translate run\n")[2].splitlines()[:2]
    assert there == attentio("translate", "run", given=b"abc\nbad\n").stdout.decode().splitlines()
    assert (
        attentio("train", "run", "--training.max_steps", "7").returncode == 0
    )  # goes on where there is no such device


@pytest.mark.parametrize(
    ("type", "positions"), [("masked-lm", "rotary"), ("causal-lm", "rotary"), ("causal-lm", "alibi")]
)
def test_language_models_on_a_device_without_float64(
    tmp_path: Path, on_the_stand_in: Callable[..., str], attentio: Callable, type: str, positions: str
) -> None:
    config = write_round(tmp_path, type=type, seed=3)
    train = ["train", str(config), "--run", "run", "--model.transformer.positions", positions, *as_arguments(TINY)]
    uses = {
        "masked-lm": [["fill", "run", "one two [MASK] four"], ["evaluate", "run", "--pseudo-perplexity", "3"]],
        "causal-lm": [
            ["generate", "run", "one two", "--seed", "5", "--max-tokens", "6", "--top-p", "0.9", "--min-p", "0.01"],
            ["generate", "run", "one", "--seed", "5", "--samples", "3", "--repetition-penalty", "1.2", "--top-k", "4"],
            ["evaluate", "run"],
            ["look", "run", "one two", "--out", "page.html"],
        ],
    }[type]
    (tmp_path / "mine.py").write_text(MINE)
    others = [["look", "run", "one two"], ["doctor", "mine.py:model"]]
    said = on_the_stand_in(train, *uses, *others)
    assert "\nhealthy, " in said[-60:]
    first = uses[0]
    there = said.partition(f"$ {' '.join(first)}\n")[2].partition("\n$ ")[0].strip()
    assert there == attentio(*first).stdout.decode().strip()  # a seed draws the same on every device
