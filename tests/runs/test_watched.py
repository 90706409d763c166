"""training.watch: the attention of a few examples at each validation, also in a run that is resumed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_pairs import OPTIONS, as_arguments, reverse, write_words
from untrained_runs import untrained

import attentio as at
from attentio.commands.main import main
from attentio.data.pairs import Pair
from attentio.data.part import Part
from attentio.page.over_time import over_time as page_of
from attentio.runs import watched
from attentio.runs.build import Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.tasks import task_of
from attentio.runs.watched import Fixed, Watched, over_time

SMALL = OPTIONS | {
    "model.hidden": 16,
    "model.embedding": 8,
    "training.validate_every": 2,
    "training.checkpoint_every": 2,
}
SMALL |= {"training.validation_size": 2, "training.samples": 0}
SMALL |= {"training.decay": "constant"}  # so that the end of the training does not matter to what goes before


def test_a_resumed_run_has_each_moment_once_and_learns_what_it_would_have_learnt_unwatched(
    tmp_path: Path, attentio: Callable[..., Any]
) -> None:
    """As after a crash: a later moment was written than the last checkpoint, and another one is half written."""
    words = {part: write_words(tmp_path / f"{part}.tsv", reverse, count=40, seed=1) for part in ("train", "dev")}
    options = SMALL | {f"data.{part}": path for part, path in words.items()} | {"data.test": "null"}
    run, plain = tmp_path / "run", tmp_path / "plain"

    def train(run: Path, steps: int, **more: object) -> None:
        given = options | {"training.max_steps": steps} | {f"training.{name}": value for name, value in more.items()}
        assert main(["train", "luong", "--run", str(run), *as_arguments(given)]) == 0

    train(run, 4, watch=2)
    shutil.copytree(run / "watched" / "step-000004", run / "watched" / "step-000006")
    (run / "watched" / ".saving").mkdir()
    train(run, 6, watch=2)
    train(plain, 6)
    losses = [[row.split(",")[2] for row in (each / "metrics.csv").read_text().splitlines()] for each in (run, plain)]
    assert losses[0] == losses[1]
    assert not (plain / "watched").exists()

    kept = dict(over_time(run, run))
    assert list(kept) == [0, 2, 4, 6]
    pairs = [line.split("\t") for line in (tmp_path / "dev.tsv").read_text().splitlines()]
    pairs = list({source: (source, target) for source, target in pairs}.values())[:2]
    assert kept[6].tokens == [[*source, "</s>"] for source, _ in pairs]
    assert kept[6].target_tokens == [[*target, "</s>"] for _, target in pairs]
    aligned = at.Run.load(plain, checkpoint="last").align(pairs)
    (cross,) = kept[6]
    for row, one in enumerate(aligned):
        queries, keys = one.attention.shape
        torch.testing.assert_close(cross.weights[row, 0, :queries, :keys].float(), one.attention, atol=2e-3, rtol=1e-2)

    said = attentio("look", run, "--over-time")
    assert said.out == f"wrote {run / 'pictures' / 'over-time.html'}\n"
    assert '"steps": [0, 2, 4, 6]' in (run / "pictures" / "over-time.html").read_text()
    said = attentio("look", run, "abc", "--over-time")
    assert (said.code, "leave the text, --beam" in said.err) == (2, True)
    assert attentio("look", plain).err == (
        "attentio: give a text to look at, or --over-time for how the attention formed in training\n"
    )
    assert attentio("look", plain, "--over-time").err == (
        f"attentio: {plain} has no attention over time; train another run with --training.watch 3\n"
    )
    said = attentio("train", "none", "--training.watch", 1, "--data.train", tmp_path / "dev.tsv")
    assert "training.watch does nothing here; it is for models with attention" in said.err
    config = tmp_path / "unwatched.yaml"
    config.write_text("{name: unwatched, model: {attention: none}, training: {watch: 2}}")
    short = as_arguments(options | {"training.max_steps": 2})
    said = attentio("train", config, "--run", tmp_path / "unwatched", *short)
    assert said.code == 0, "one of several variants, of which others have attention, is trained all the same"


KINDS: list[dict[str, Any]] = [
    {"type": "masked-lm"},
    {"type": "causal-lm"},
    {"type": "labeller"},
    {"encoder": "transformer", "decoder": "transformer"},
    {"attention": "hard"},
    {"attention": "bahdanau", "copy": True},
]


@pytest.mark.parametrize("model", KINDS, ids=range(len(KINDS)))
def test_every_kind_of_model_is_watched_and_shown(tmp_path: Path, seed: int, model: dict[str, Any]) -> None:
    run = untrained(**model)
    pairs = [Pair("abc def", "x y"), Pair("h" * 100, "x"), Pair("gZa", "bZ")]
    dev = Part(
        "dev", pairs if model.get("type") in (None, "labeller") else [each.source for each in pairs], (), "pairs"
    )
    tokenizers = getattr(run, "tokenizers", None) or Tokenizers(run.tokenizer, run.tokenizer)
    fixed = task_of(run.config).to_watch(Contents(tmp_path, run.config, tokenizers, run.model), dev, 2)
    keep = Watched(tmp_path, run.model, fixed, every=1, after=0)
    with torch.inference_mode():
        for step in (0, 1):
            keep(step)
    kept = dict(over_time(tmp_path, tmp_path))
    assert len(kept) == 2
    assert kept[1].tokens is not None
    assert max(map(len, kept[1].tokens)) <= watched.LONGEST
    assert all(torch.equal(*(one.weights for one in calls)) for calls in zip(*kept.values(), strict=True))
    page = page_of(kept, begin="<s>", title="untrained")
    assert '"steps": [0, 1]' in page.html


def test_long_trainings_keep_few_moments_evenly_and_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "MOST", 4)
    model = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(1, 3, 8)
    keep = Watched(tmp_path, model, Fixed((x, x, x), [list("abc")]), every=10, after=0)
    with torch.inference_mode():
        for step in range(0, 110, 10):
            keep(step)
            there = [each for each, _ in over_time(tmp_path, tmp_path)]
            assert (there[0], there[-1]) == (0, step)
            assert len(there) <= 4 + 2
    assert there == [0, 40, 80, 100]
