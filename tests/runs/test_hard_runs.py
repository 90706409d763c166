"""A hard monotonic attention, learnt from words whose letters are said in order, some of them as two."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from toy_pairs import OPTIONS, as_arguments, write_task

from attentio.runs.load import load


def doubled(word: str) -> str:
    return word.replace("a", "xy")


def test_words_are_learnt_letter_by_letter(attentio: Callable, tmp_path: Path, training_seed: int) -> None:
    options = OPTIONS | write_task(tmp_path, doubled, seed=training_seed) | {"training.seed": training_seed}
    options |= {"model.attention": "hard-monotonic", "model.order": 1, "model.window": 2}
    options |= {"training.max_steps": 80, "training.validate_every": 80}
    run = tmp_path / "run"
    assert attentio("train", "luong", "--run", run, *as_arguments(options)).code == 0
    assert attentio("evaluate", run, "--beam", 1).code == 0
    scores = json.loads((run / "evaluation" / "scores.json").read_text())["scores"]
    assert {score["name"]: score["value"] for score in scores}["exact"] >= 95

    trained = load(run)
    for word in ("bad", "hag", "cab"):
        (best,) = trained.translate([word], beam=3)
        assert best.text == doubled(word)
        looked = best.attention.argmax(1).tolist()
        assert looked == sorted(looked)
        torch.testing.assert_close(best.attention.sum(1), torch.ones(len(best.tokens)))
        (scored,) = trained.score([(word, best.text)])
        torch.testing.assert_close(torch.tensor(scored.log_probs), torch.tensor(best.log_probs), atol=1e-4, rtol=0)
        (aligned,) = trained.align([(word, best.text)])
        torch.testing.assert_close(aligned.attention, best.attention)
        (drawn,) = trained.sample([word], seed=1, samples=2)
        assert all(one.attention.shape == (len(one.tokens), len(word) + 1) for one in drawn)
    said = attentio("export", run, "--to", "onnx", "--out", tmp_path / "onnx")
    assert (said.code, "cannot be written as ONNX" in said.err) == (2, True), said.err
    options |= {"training.max_steps": 2, "training.validate_every": 2}
    said = attentio("train", "luong", "--run", tmp_path / "other", "--teacher", run, *as_arguments(options))
    assert said.code == 0, said.err  # its probabilities are learnt


def test_what_does_nothing_for_a_hard_attention_is_told(attentio: Callable) -> None:
    for key, value in (("training.label_smoothing", 0.1), ("model.score", "dot"), ("model.window", 3)):
        said = attentio("train", "hard-monotonic", f"--{key}", value)
        assert (said.code, f"{key} does nothing here" in said.err) == (2, True), said.err
