"""A whole attention of the user's own: trained, used, shown, compared, diagnosed; and never run unasked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy_pairs import OPTIONS, as_arguments, reverse, write_words

import attentio as at
from attentio.commands.main import main
from attentio.errors import AttentioError
from attentio.layers.own_attention import OwnAttention
from attentio.layers.sources import Source
from attentio.runs.translator import Run
from attentio.training.checkpoint import Checkpoints

CODE = """
import torch
from torch import nn


class TwoHeads(nn.Module):
    def __init__(self, query_features, memory_features):
        super().__init__()
        self.project = nn.Linear(query_features, memory_features)

    def forward(self, query, keys, values, mask):
        contexts, weights = [], []
        for q, k, v in zip(self.project(query).chunk(2, -1), keys.chunk(2, -1), values.chunk(2, -1)):
            weights.append((q @ k.transpose(1, 2)).masked_fill(~mask, -torch.inf).softmax(-1))
            contexts.append(weights[-1] @ v)
        return torch.cat(contexts, -1), sum(weights) / 2


def first(query, keys, values, mask):
    weights = mask.new_zeros(*query.shape[:2], keys.shape[1], dtype=query.dtype)
    weights[..., 0] = 1.0
    return weights @ values, weights
"""
FEW = {"training.max_steps": 4, "training.validate_every": 4, "training.validation_size": 5, "model.hidden": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the code, data, and a run."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "heads.py").write_text(CODE)
    write_words(folder / "pairs.tsv", reverse, count=60, seed=1)
    assert main(["train", "luong", "--run", str(folder / "run"), *options(folder, "TwoHeads")]) == 0
    return folder


def options(folder: Path, name: str) -> list[str]:
    data = {"data.train": folder / "pairs.tsv", "data.dev": folder / "pairs.tsv"}
    return [
        *("--allow-code", str(folder / "heads.py")),
        *as_arguments(OPTIONS | FEW | data | {"model.attention": f"heads.py:{name}"}),
    ]


def loaded(folder: Path) -> Run:
    found = at.load(folder / "run", device="cpu", allow_code=folder / "heads.py")
    assert isinstance(found, Run)
    return found


def test_the_model_attends_as_its_code_says(folder: Path, seed: int) -> None:
    run = loaded(folder)
    attention = run.model.decoder.attention
    assert isinstance(attention, OwnAttention)
    states, memory = torch.randn(2, 3, 16), torch.randn(2, 5, run.model.encoder.features)
    found = attention(states, Source(memory, memory, torch.tensor([5, 2])), torch.arange(3))
    projected = attention.function.project(states)
    for b, length in enumerate((5, 2)):
        for i in range(3):
            halves = [slice(0, 8), slice(8, 16)]
            heads = [(memory[b, :length, half] @ projected[b, i, half]).softmax(0) for half in halves]
            context = torch.cat([w @ memory[b, :length, half] for w, half in zip(heads, halves, strict=True)])
            torch.testing.assert_close(found.context[b, i], context, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found.weights[b, i, :length], sum(heads) / 2, rtol=1e-4, atol=1e-5)
    assert not found.weights[1, :, 2:].any()


def test_its_weights_are_what_is_shown(folder: Path) -> None:
    run = loaded(folder)
    (output,) = run.translate(["abcd"], beam=1)
    inspected = run.inspect("abcd", beam=1)
    (seen,) = inspected.seen
    assert (seen.name, seen.kind) == ("decoder.attention", "cross")
    torch.testing.assert_close(seen.weights[0, 0].float(), output.attention, rtol=1e-2, atol=1e-3)
    assert "abcd" in inspected.page().html
    (aligned,) = run.align([("abcd", output.text)])
    torch.testing.assert_close(aligned.attention, output.attention, rtol=1e-4, atol=1e-5)


def test_its_source_is_part_of_what_is_recorded(folder: Path) -> None:
    facts = Checkpoints(folder / "run").load("last").facts
    assert list(facts["code_sha256"]) == ["heads.py"]


@pytest.mark.parametrize("verb", ["evaluate", "translate", "look", "doctor"])
def test_without_being_asked_for_it_does_not_run(folder: Path, attentio: Callable, verb: str) -> None:
    said = attentio(verb, folder / "run", *(["abcd"] if verb == "look" else []))
    assert said.code == 2
    assert "model.attention is heads.py:TwoHeads, code that runs only where it is asked for" in said.err


def test_it_is_compared_and_diagnosed_with_the_others(folder: Path, attentio: Callable, tmp_path: Path) -> None:
    allowed = ("--allow-code", folder / "heads.py")
    said = attentio("compare", folder / "run", "--out", tmp_path, "--data", folder / "pairs.tsv", *allowed)
    assert said.code == 0, said.err
    diagnosis = attentio("doctor", folder / "run", "--json", *allowed)
    assert diagnosis.code in (0, 1), diagnosis.err
    errors = [one["check"] for one in json.loads(diagnosis.out)["findings"] if one["severity"] == "error"]
    assert errors == []


def test_a_function_will_do_and_a_model_that_copies_takes_it(folder: Path, attentio: Callable, tmp_path: Path) -> None:
    copies = ("--model.copy", "true", "--model.input_feeding", "false")
    said = attentio("train", "luong", "--run", tmp_path / "run", *options(folder, "first"), *copies)
    assert said.code == 0, said.err
    run = at.load(tmp_path / "run", device="cpu", allow_code=folder / "heads.py")
    assert run.translate(["abcd"])[0].attention[:, 0].tolist() == [1.0] * len(run.translate(["abcd"])[0].tokens)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("values, values", "must return context of shape [2, 3, 4], got [2, 5, 4]"),
        ("values[:, :3], values", "must return weights of shape [2, 3, 5], got [2, 5, 4]"),
    ],
)
def test_a_result_of_another_shape_is_told(returned: str, told: str) -> None:
    attention = OwnAttention(eval(f"lambda query, keys, values, mask: ({returned})"))
    memory = torch.randn(2, 5, 4)
    with pytest.raises(ValueError, match=told.replace("[", r"\[")):
        attention(torch.randn(2, 3, 7), Source(memory, memory, torch.tensor([5, 2])), torch.arange(3))


def test_options_of_other_attentions_do_nothing_for_it(folder: Path, attentio: Callable) -> None:
    for key, value in {"model.score": "dot", "model.local": "m", "model.normalize": "entmax"}.items():
        said = attentio("train", "luong", *options(folder, "first"), f"--{key}", value)
        assert (said.code, f"{key} does nothing here" in said.err) == (2, True), said.err
    said = attentio("train", "luong", "--model.attention", "luang")
    assert (
        "model.attention must be none, bahdanau, luong, delayed, hard, hard-monotonic, transducer, FILE.py:NAME"
        in said.err
    )


@pytest.mark.parametrize("way", ["init", "tokens", "sequences"])
def test_what_is_begun_with_or_taught_by_runs_where_it_is_asked_for(
    folder: Path, attentio: Callable, tmp_path: Path, way: str
) -> None:
    data = {"data.train": folder / "pairs.tsv", "data.dev": folder / "pairs.tsv"}
    given = {"init": folder / "run"} if way == "init" else {"teacher": folder / "run", "training.distill": way}
    if way == "sequences":
        (tmp_path / "few.tsv").write_text("ab\tba\nabc\tcba\n")
        data = dict.fromkeys(data, tmp_path / "few.tsv")
    command = ("train", "luong", "--run", tmp_path / "run", *as_arguments(OPTIONS | FEW | data | given))
    refused = attentio(*command)
    assert (refused.code, "code that runs only where it is asked for" in refused.err) == (2, True), refused.err
    done = attentio(*command, "--allow-code", folder / "heads.py")
    assert done.code == 0 or "made no whole output" in done.err, done.err


def test_run_load_takes_the_file_too(folder: Path) -> None:
    with pytest.raises(AttentioError, match="runs only where it is asked for"):
        Run.load(folder / "run")
    assert isinstance(Run.load(folder / "run", device="cpu", allow_code=folder / "heads.py"), Run)
