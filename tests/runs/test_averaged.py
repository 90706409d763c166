"""The weights of the last checkpoints averaged, wherever a checkpoint can be chosen."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import attentio as at
from attentio.errors import AttentioError


def test_weights_are_the_mean_over_the_newest_checkpoints(toy) -> None:
    files = sorted(toy.run.glob("checkpoints/step-*/model.safetensors"))
    assert len(files) == 2
    saved = [load_file(file) for file in files]
    for count in (1, 2):
        model = at.load(toy.run, checkpoint=f"average:{count}").model
        for name, parameter in model.named_parameters():
            expected = torch.stack([one[name].double() for one in saved[-count:]]).mean(0)
            torch.testing.assert_close(parameter.detach().double(), expected, atol=1e-7, rtol=1e-6)


def test_what_cannot_be_averaged_is_refused(toy, tmp_path: Path) -> None:
    with pytest.raises(AttentioError, match=r"holds 2 checkpoints, not 3; average fewer"):
        at.load(toy.run, checkpoint="average:3")
    for strange in ("average:0", "average:", "average:x", "newest", ""):
        with pytest.raises(AttentioError, match=r"checkpoint must be best, last or average:N"):
            at.load(toy.run, checkpoint=strange)
    with pytest.raises(AttentioError, match="holds one set of weights"):
        at.load("dates-luong", checkpoint="average:2")
    copy = shutil.copytree(toy.run, tmp_path / "run")
    oldest = min(copy.glob("checkpoints/step-*")) / "model.safetensors"
    oldest.write_bytes(oldest.read_bytes()[:-1])
    with pytest.raises(AttentioError, match="truncated or altered since it was saved; average fewer"):
        at.load(copy, checkpoint="average:2")
    assert at.load(copy, checkpoint="average:1").translate(["ab"])


def test_a_checkpoint_is_chosen_on_the_command_line(toy, attentio: Callable, tmp_path: Path) -> None:
    expected = at.load(toy.run, checkpoint="average:2").translate(["abc", "fedcba"])
    said = attentio("translate", toy.run, "--checkpoint", "average:2", given=b"abc\nfedcba\n")
    assert said.out.splitlines() == [one.text for one in expected]
    both = attentio("translate", f"{toy.run},{toy.run}", "--checkpoint", "average:2", given=b"abc\nfedcba\n")
    assert both.out == said.out
    measured = attentio("evaluate", toy.run, "--checkpoint", "average:2", "--out", tmp_path)
    assert measured.code == 0
    assert '"checkpoint": "average:2"' in (tmp_path / "scores.json").read_text(encoding="utf-8")
    refused = attentio("translate", toy.run, "--checkpoint", "average:7", given=b"abc\n")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
