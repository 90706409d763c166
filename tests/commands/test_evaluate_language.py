"""attentio evaluate of language models: every figure per token, over the whole data."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_texts import part_of_the_round

from attentio.runs.filler import MaskedRun
from attentio.runs.generator import CausalRun
from attentio.text.tokenizer import MASK


def report(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text(encoding="utf-8"))


def values(folder: Path) -> dict[str, float]:
    return {score["name"]: score["value"] for score in report(folder)["scores"]}


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Documents shorter and longer than the runs' rows of 16 tokens."""
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(part_of_the_round(3 * length, length) for length in (1, 4, 9, 5, 40, 2)) + "\n")
    return path


def test_perplexity_and_bits_per_byte_are_those_of_every_token(
    causal: Path, attentio: Callable, tmp_path: Path
) -> None:
    data = tmp_path / "short.txt"
    documents = [part_of_the_round(length, length) for length in (3, 9, 5, 12)]
    data.write_text("\n".join(documents))
    assert attentio("evaluate", causal, "--data", data, "--out", tmp_path).code == 0
    run, nats, tokens = CausalRun.load(causal), 0.0, 0
    for document in documents:
        ids = [*run.encode(document), run.end]
        with torch.no_grad():
            log_probs = run.model(torch.tensor([ids[:-1]]))[0].double().log_softmax(-1)
        nats -= float(log_probs[range(len(ids) - 1), ids[1:]].sum())
        tokens += len(ids) - 1
    found = values(tmp_path)
    assert list(found) == ["perplexity", "bits-per-byte"]
    assert found["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    size = sum(len(document.encode()) for document in documents)
    assert found["bits-per-byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    assert report(tmp_path)["tokens"] == tokens
    assert found["perplexity"] < 3, "it has learnt the round"


def test_long_documents_are_measured_to_their_end(
    causal: Path, lines: Path, attentio: Callable, tmp_path: Path
) -> None:
    said = attentio("evaluate", causal, "--data", lines, "--out", tmp_path)
    assert report(tmp_path)["tokens"] == 1 + 4 + 9 + 5 + 40 + 2 + 6
    assert report(tmp_path)["documents"] == 6
    assert "prediction of each token from the true ones before it" in said.out


def test_masked_figures_are_the_same_each_time_and_those_of_validation(
    masked: Path, attentio: Callable, tmp_path: Path
) -> None:
    assert attentio("evaluate", masked, "--out", tmp_path / "a").code == 0
    assert attentio("evaluate", masked, "--out", tmp_path / "b").code == 0
    found = values(tmp_path / "a")
    assert found == values(tmp_path / "b")
    header, *rows = (masked / "metrics.csv").read_text().splitlines()
    last = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    for name in ("masked-accuracy", "masked-perplexity"):
        assert found[name] == pytest.approx(float(last[name]), rel=1e-3)
    assert found["masked-accuracy"] > 60


def test_pseudo_perplexity_masks_every_token_alone(
    masked: Path, lines: Path, attentio: Callable, tmp_path: Path
) -> None:
    said = attentio("evaluate", masked, "--data", lines, "--out", tmp_path, "--pseudo-perplexity", "1000")
    run, nats = MaskedRun.load(masked), []
    for row in run.rows(lines.read_text().splitlines()):
        assert len(row) <= 16
        for place in range(1, len(row) - 1):
            holed = torch.tensor([[*row[:place], MASK, *row[place + 1 :]]])
            with torch.no_grad():
                logits = run.model(holed, torch.tensor([len(row)]))[0, place].double()
            nats.append(-float(logits.log_softmax(-1)[row[place]]))
    assert len(nats) == 61
    assert values(tmp_path)["pseudo-perplexity"] == pytest.approx(math.exp(np.mean(nats)), rel=1e-3)
    assert "pseudo-perplexity" in said.out


def test_unknown_tokens_are_counted_and_told(causal: Path, attentio: Callable, tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("one two eleven\ntwelve two\n")
    said = attentio("evaluate", causal, "--data", data, "--out", tmp_path)
    assert "2 tokens are unknown" in said.out
    assert report(tmp_path)["unknown_tokens"] == 2


def test_options_of_another_kind_of_model_are_refused(toy, masked: Path, causal: Path, attentio: Callable) -> None:
    for words in (
        (masked, "--beam", "3"),
        (causal, "--metrics", "bleu"),
        (causal, "--pseudo-perplexity", "3"),
        (toy.run, "--pseudo-perplexity", "3"),
    ):
        said = attentio("evaluate", *words)
        assert said.code == 2
        assert words[1] in said.err
        assert "leave" in said.err
