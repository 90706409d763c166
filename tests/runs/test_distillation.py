"""Learning from teachers: their probabilities, their outputs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn
from toy_pairs import OPTIONS, as_arguments, write_words
from toy_runs import Toy

import attentio as at
from attentio.data.batches import IGNORE_INDEX
from attentio.data.pairs import Pair
from attentio.errors import AttentioError
from attentio.runs import distillation
from attentio.text.tokenizer import PAD
from attentio.training.distillation import Teaching
from attentio.training.loss import Objective

FEW = as_arguments(
    OPTIONS
    | {"model.hidden": 6, "model.embedding": 5, "data.test": "null"}
    | {"training.max_steps": 1, "training.validate_every": 1, "training.validation_size": 2}
)


class Scores(nn.Module):
    """Features that are its inputs, turned around."""

    def __init__(self, width: int, words: int, *, bias: bool) -> None:
        super().__init__()
        self.turn, self.output = nn.Linear(7, width), nn.Linear(width, words, bias=bias)

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.turn(inputs)

    def log_probs(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.output(self.turn(inputs)).log_softmax(-1)


@pytest.mark.parametrize("rows", [512, 3])
def test_the_loss_is_that_of_the_labels_and_the_divergence_from_the_mean_of_the_teachers(
    seed: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import attentio.training.linear_loss as module

    monkeypatch.setattr(module, "ROWS_AT_A_TIME", rows)
    student = Scores(5, 11, bias=True).double()
    teachers = [Scores(width, 11, bias=width == 3).double() for width in (3, 13)]
    inputs, labels = torch.randn(2, 4, 7).double(), torch.randint(1, 11, (2, 4))
    labels[0, 3] = IGNORE_INDEX
    objective = Objective(student, label_smoothing=0.0, never=PAD, teaching=Teaching(teachers, weight=0.3))
    loss = objective(labels, inputs)
    loss.backward()
    found = [parameter.grad.clone() for parameter in student.parameters() if parameter.grad is not None]
    student.zero_grad()
    asked = labels != IGNORE_INDEX
    ours = student.log_probs(inputs)[asked]
    with torch.no_grad():
        theirs = torch.stack([one.log_probs(inputs)[asked] for one in teachers]).mean(0).log_softmax(-1)
    wanted = -ours.gather(1, labels[asked].unsqueeze(1)).sum()
    expected = 0.7 * wanted + 0.3 * (theirs.exp() * (theirs - ours)).sum()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(found, [parameter.grad for parameter in student.parameters()])
    assert all(parameter.grad is None for one in teachers for parameter in one.parameters())
    assert not any("teach" in name for name, _ in objective.named_parameters())


def test_probabilities_are_learnt_with_the_tokens_of_the_teacher(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    data = write_words(tmp_path / "few.tsv", lambda word: word, count=30, seed=1)
    said = attentio("train", "luong", "--teacher", toy.run, "--run", tmp_path / "run", "--data.train", data, *FEW)
    assert said.code == 0, said.err
    names = ("source.json", "target.json")
    for name in names:
        assert (tmp_path / "run" / "tokenizer" / name).read_bytes() == (toy.run / "tokenizer" / name).read_bytes()
    assert at.load(tmp_path / "run").config.model.hidden == 6


def test_outputs_are_learnt_in_place_of_targets_made_once_and_kept(
    attentio: Callable, toy: Toy, tmp_path: Path
) -> None:
    data = write_words(tmp_path / "few.tsv", lambda word: "wrong", count=30, seed=1)
    more = tmp_path / "more.txt"
    more.write_text("abc\nfedcb\n")
    teacher, run = tmp_path / "teacher", tmp_path / "run"
    shutil.copytree(toy.run, teacher)
    options = ["--run", run, "--data.train", data, "--data.dev", toy.dev, "--data.unlabelled", more, *FEW]
    words = ["train", "luong", "--teacher", teacher, *options, "--training.distill", "sequences"]
    said = attentio(*words)
    assert said.code == 0, said.err
    found = {
        row["source"]: row["target"] for row in map(json.loads, (run / "distilled.jsonl").read_text().splitlines())
    }
    sources = [*dict.fromkeys(line.split("\t")[0] for line in data.read_text().splitlines()), "abc", "fedcb"]
    outputs = dict(zip(sources, at.Run.load(toy.run).translate(sources), strict=True))
    assert found == {source: one.text for source, one in outputs.items() if one.finished}
    assert "w" not in json.loads((run / "tokenizer" / "target.json").read_text())["tokenizer"]["model"]["vocab"]
    shutil.rmtree(teacher)
    assert attentio(*words, "--training.max_steps", "2").code == 0
    more.write_text("abc\nother\n")
    said = attentio(*words, "--training.max_steps", "3")
    assert (said.code, "was made of other texts, or by other teachers" in said.err) == (2, True)


def test_texts_without_targets_join_the_pairs(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    data = write_words(tmp_path / "few.tsv", lambda word: word, count=30, seed=1)
    (tmp_path / "more.txt").write_text("abc\nfedcb\n")
    options = ["--data.train", data, "--data.unlabelled", tmp_path / "more.txt", *FEW]
    said = attentio("train", "luong", "--teacher", toy.run, "--run", tmp_path / "run", *options)
    assert said.code == 0, said.err
    assert f"2 of 2 texts have a whole output of {toy.run}" in said.err
    without = ["--data.train", data, *FEW, "--training.max_steps", "2"]
    said = attentio("train", "luong", "--teacher", toy.run, "--run", tmp_path / "run", *without)
    assert said.code == 2
    assert "distilled.jsonl was learnt from too, what teachers say of data.unlabelled; give that again" in said.err


def test_bad_texts_without_targets_are_told_before_the_teacher_answers(
    attentio: Callable, toy: Toy, tmp_path: Path
) -> None:
    data = write_words(tmp_path / "few.tsv", lambda word: word, count=30, seed=1)
    (tmp_path / "more.txt").write_bytes(b"abc\nf\xffe\n")
    options = ["--data.train", data, "--data.unlabelled", tmp_path / "more.txt", "--data.bad_lines", "skip", *FEW]
    said = attentio("train", "luong", "--teacher", toy.run, "--run", tmp_path / "run", *options)
    assert said.code == 0, said.err
    assert f"{tmp_path / 'more.txt'}: skipped 1 bad lines; the first: {tmp_path / 'more.txt'}:2: invalid" in said.err
    (tmp_path / "more.txt").write_text("abc\n" + 10_001 * "a" + "\n")
    said = attentio("train", "luong", "--teacher", toy.run, "--run", tmp_path / "other", *options)
    assert said.code == 2
    assert "10001 characters, more than the limit of 10000" in said.err
    assert not (tmp_path / "other").exists()


def test_a_teacher_of_outputs_alone_leaves_the_tokens_free(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "few.tsv").write_text("a b\tb a\nb\tb\n")
    (tmp_path / "more.txt").write_text("abc\n")
    options = ["--data.train", tmp_path / "few.tsv", "--data.dev", toy.dev, "--data.unlabelled", tmp_path / "more.txt"]
    how = ["--training.distill_weight", "0", "--text.source.tokenizer", "whitespace", *FEW]
    said = attentio("train", "luong", "--teacher", toy.run, "--run", tmp_path / "run", *options, *how)
    assert said.code == 0, said.err


def test_texts_with_tabs_are_taken_where_sources_have_them(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text('{"source": "a\\tb", "target": "ba"}\n{"source": "ab", "target": "ba"}\n')
    (tmp_path / "more.txt").write_text("abc\tfed\n")
    options = ["--data.train", tmp_path / "few.jsonl", "--data.dev", toy.dev, *FEW]
    more = ["--data.unlabelled", tmp_path / "more.txt", "--text.normalize", "none"]
    said = attentio("train", "luong", "--teacher", toy.run, "--run", tmp_path / "run", *options, *more)
    assert said.code == 0, said.err
    assert f"1 of 1 texts have a whole output of {toy.run}" in said.err


def test_a_teacher_that_ends_no_output_is_refused_after_a_few_texts(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "TRIED_FIRST", 2)
    run, texts, console = at.load(toy.run), ["abcd", "hb", "ab", "gaf", "fe"], Console(quiet=True)
    whole = [Pair(text, one.text) for text, one in zip(texts, run.translate(texts), strict=True)]
    assert distillation._lessons("t", run, texts, console) == whole
    run.model.output.bias.data[run.tokenizers.target.end] = -1e4  # said nowhere
    with pytest.raises(AttentioError, match=r"^teacher: t made no whole output of 2 texts; give another teacher"):
        distillation._lessons("t", run, texts, console)


def test_teachers_that_cannot_teach_are_refused_in_one_line(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    def refused(*words: object) -> str:
        said = attentio("train", "luong", "--data.train", toy.dev, "--run", tmp_path / "run", *words)
        assert said.code == 2, said.err
        return said.err.splitlines()[-1]

    several = refused("--teacher", f"{toy.run}, dates-luong")
    assert ("vocabulary of " in several, "distill sequences" in several) == (True, False)
    assert "a comma with no run beside it" in refused("--teacher", f"{toy.run},")
    pairs = refused("--teacher", toy.run, "--data.unlabelled", toy.dev)
    assert (str(toy.dev) in pairs, "a tab in" in pairs) == (True, True)
    assert "teacher: masked-lm holds a model of type masked-lm" in refused("--teacher", "masked-lm")
    assert "training.distill does nothing here" in refused("--training.distill", "sequences")
    assert "it is for training.distill tokens" in refused(
        "--teacher", "dates-luong", "--training.distill", "sequences", "--training.distill_weight", "0.2"
    )


def test_a_teacher_that_has_changed_does_not_go_on_teaching(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    data = write_words(tmp_path / "few.tsv", lambda word: word, count=30, seed=1)
    teacher = Path(shutil.copytree(toy.run, tmp_path / "teacher"))
    command = ["train", "luong", "--teacher", teacher, "--run", tmp_path / "run", "--data.train", data, *FEW]
    assert attentio(*command).code == 0
    best = (teacher / "best").read_text()
    assert attentio(*command, "--training.max_steps", "2").code == 0
    other = next(path for path in (teacher / "checkpoints").iterdir() if path.name != best.strip())
    (teacher / "best").write_text(f"{other.name}\n")
    said = attentio(*command, "--training.max_steps", "3")
    assert said.code == 2
    assert f"teacher: {teacher} has other weights than when" in said.err
    (teacher / "best").write_text(best)
    assert attentio(*command, "--training.max_steps", "3").code == 0
