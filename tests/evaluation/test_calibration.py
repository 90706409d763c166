"""Confidence: the temperature that explains what was right, the error of calibration, and doubtful lines marked."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attentio.errors import AttentioError
from attentio.evaluation.calibration import calibrate, calibration_error


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_outputs_were_right_by_is_found(seed: int, temperature: float) -> None:
    draw = np.random.default_rng(seed)
    log_probs = -draw.exponential(size=20_000)
    right = draw.random(20_000) < np.exp(log_probs / temperature)
    found = calibrate(log_probs.tolist(), right.tolist())
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.error_after < 0.02
    assert found.error_after <= found.error_before + 0.005
    assert (found.lines, found.right) == (20_000, right.sum())


def test_no_temperature_near_is_more_probable(seed: int) -> None:
    draw = np.random.default_rng(seed)
    log_probs, right = -draw.exponential(size=50), draw.random(50) < 0.5
    found = calibrate(log_probs.tolist(), right.tolist()).temperature

    def loss(temperature: float) -> float:
        confidence = np.exp(log_probs / temperature)
        return float(-np.log(np.where(right, confidence, 1 - confidence)).sum())

    assert loss(found) <= min(loss(found * 1.01), loss(found / 1.01))


def test_the_calibration_error_is_the_mean_over_bins_by_their_sizes() -> None:
    confidences = np.array([0.05, 0.09, 0.55, 0.95, 1.0])
    right = np.array([False, True, True, True, False])
    expected = (2 * abs(0.5 - 0.07) + 1 * abs(1 - 0.55) + 2 * abs(0.5 - 0.975)) / 5
    assert calibration_error(confidences, right) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("right", "which"), [([True, True], "all 2 outputs equal"), ([False, False], "none of 2 outputs equals")]
)
def test_outputs_that_are_all_right_or_all_wrong_are_refused(right: list[bool], which: str) -> None:
    with pytest.raises(AttentioError, match=f"{which} a reference"):
        calibrate([-0.5, -1.0], right)


def test_doubtful_lines_are_marked_by_the_calibrated_confidence(toy, tmp_path: Path, attentio: Callable) -> None:
    run = Path(shutil.copytree(toy.run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation")))
    path = run / "evaluation" / "calibration" / "calibration.json"
    missing = attentio("translate", run, "--doubtful", "0.5", given=b"abc\n").err
    assert missing.startswith(f"attentio: {path}: no calibration is there; `attentio evaluate RUN --calibrate`")
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text(toy.dev.read_text(encoding="utf-8") + "ab\tzz\nhhh\tz\n", encoding="utf-8")
    measured = attentio("evaluate", run, "--calibrate", "--data", pairs)
    assert measured.code == 0
    assert "expected calibration error there" in measured.out
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["beam"] == 5
    assert not (run / "evaluation" / "scores.json").exists()

    given = b"abc\n\nhgfedc\n"
    told = [
        json.loads(line)
        for line in attentio("translate", run, "--json", "--doubtful", "0.5", given=given).out.splitlines()
    ]
    first, second = (told[i]["outputs"][0] for i in (0, 2))
    for one in (first, second):
        assert one["confidence"] == pytest.approx(math.exp(one["log_prob"] / found["temperature"]))
        assert one["doubtful"] == (one["confidence"] < 0.5)
    between = str((first["confidence"] + second["confidence"]) / 2)
    marked = attentio("translate", run, "--doubtful", between, given=given)
    plain = attentio("translate", run, given=given).out.splitlines()
    doubtful = min(first, second, key=lambda one: one["confidence"])
    expected = [
        f"{text}\tdoubtful {doubtful['confidence']:.2f}" if text == doubtful["text"] else text for text in plain
    ]
    assert marked.out.splitlines() == expected
    assert f"doubtful lines, of confidence below {float(between):g}: 1\n" in marked.err

    other = attentio("translate", run, "--checkpoint", "average:2", "--doubtful", "0.5", given=b"abc\n")
    assert "the calibration of other weights" in other.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["translate", "dates-luong", "--doubtful", "0.5", "--sample"], "--doubtful does not go with --sample"),
        (["translate", "dates-luong", "--doubtful", "0.5", "--prefix", "1"], "--doubtful does not go with --sample"),
        (["evaluate", "dates-luong", "--calibrate", "--out", "x"], "--calibrate writes where translate looks for it"),
        (
            ["evaluate", "causal-lm", "--calibrate"],
            "--calibrate is for models of type encoder-decoder",
        ),
    ],
)
def test_what_does_not_go_with_calibration_is_refused(words: list[str], told: str, attentio: Callable) -> None:
    said = attentio(*words)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(f"attentio: {told}")
