"""attentio doctor: a model of one's own, examined from the command line."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MODELS = """
import threading
import torch
from torch import nn
from torch.nn import functional as F

class Model(nn.Module):
    def __init__(self, causal):
        super().__init__()
        self.causal, self.embed, self.out = causal, nn.Embedding(13, 8), nn.Linear(8, 13)

    def forward(self, ids):
        x = self.embed(ids).unsqueeze(1)
        return self.out(F.scaled_dot_product_attention(x, x, x, is_causal=self.causal).squeeze(1))

ids = torch.randint(13, (3, 7))

def healthy():
    print("making a model")
    return Model(causal=True), ids, {"causal": True}

def leaking():
    return Model(causal=False), {"ids": ids}, {"causal": True}

def wrong():
    return Model(causal=True)

def other_inputs():
    return Model(causal=True), {"tokens": ids}

def misspelt():
    return Model(causal=True), ids, {"casual": True}

def without_copy():
    model = Model(causal=True)
    model.state = threading.Lock()
    return model, ids

def broken():
    raise RuntimeError("no weights")
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of models in the current folder; what is imported is forgotten afterwards."""
    path = tmp_path / "my_models.py"
    path.write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield path
    sys.modules.pop("my_models", None)


@pytest.mark.parametrize("target", ["my_models:healthy", "my_models.py:healthy"])
def test_a_healthy_model_is_said_to_be_so(target: str, models: Path, attentio: Callable) -> None:
    said = attentio("doctor", target)
    assert said.code == 0
    assert re.search(r"\nhealthy, as far as \d+ of \d+ checks can tell\n$", said.out)
    assert "\nnot checked: " in said.out


def test_a_mistake_is_shown_with_its_evidence_and_cure(models: Path, attentio: Callable) -> None:
    said = attentio("doctor", models.parent / "my_models.py:leaking")
    assert said.code == 1
    assert "future-leak: an output depends on later inputs" in said.out
    assert "Evidence  " in said.out
    assert "Cure      " in said.out
    assert said.out.endswith("\nNOT healthy\n")


def test_json_is_all_that_is_printed(models: Path, attentio: Callable) -> None:
    said = attentio("doctor", "my_models:healthy", "--json")
    assert json.loads(said.out)["healthy"] is True
    assert said.err.startswith("making a model\n")
    said = attentio("doctor", "my_models:leaking", "--json")
    content = json.loads(said.out)
    assert (said.code, content["healthy"]) == (1, False)
    assert "future-leak" in {finding["check"] for finding in content["findings"]}


def test_findings_that_are_accepted_are_left_out(models: Path, attentio: Callable) -> None:
    said = attentio("doctor", "my_models:leaking", "--ignore", "future-leak", "inverted-polarity")
    assert said.code == 0
    assert "depends on later inputs" not in said.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["my_models"], "my_models: write MODULE:FUNCTION or path/to/file.py:FUNCTION"),
        (["no_such_module:f"], "no module 'no_such_module' here or in this environment"),
        (["no/such/file.py:f"], "no/such/file.py: no such file"),
        (["my_models:helthy"], "my_models has no function 'helthy'; did you mean 'healthy'?"),
        (["my_models:xyz"], "my_models has no function 'xyz'; write one that returns (model, inputs)"),
        (["my_models:wrong"], "must return (model, inputs) or (model, inputs, options), got Model"),
        (["my_models:other_inputs"], "the model does not run on example_inputs (tokens: [3, 7])"),
        (["my_models:misspelt"], "unknown option 'casual'; there are causal, padding, window, loss, step"),
        (
            ["my_models:without_copy"],
            "the model cannot be copied (TypeError: cannot pickle",
        ),
        (["my_models:broken"], "cannot be called: RuntimeError: no weights ("),
        (["my_models:healthy", "--ignore", "leak"], "--ignore leak: there is no such check; there are "),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
def test_what_hinders_the_examination_is_told_in_one_line(
    words: list[str], told: str, models: Path, attentio: Callable
) -> None:
    said = attentio("doctor", *words)
    assert said.code == 2
    assert said.err.startswith("attentio: ")
    assert told in said.err
    assert said.err.count("\n") == 1


def test_a_file_that_cannot_be_imported_is_told_with_its_line(models: Path, attentio: Callable) -> None:
    models.write_text("import torch\nimport no_such_thing\n")
    for target in ("my_models:healthy", "my_models.py:healthy"):
        said = attentio("doctor", target)
        assert said.code == 2
        assert "cannot be imported: ModuleNotFoundError: No module named 'no_such_thing'" in said.err
        assert "my_models.py, line 2)" in said.err
