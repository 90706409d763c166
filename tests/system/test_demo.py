"""attentio demo: the whole way, shown and run; cut short here."""

import re
from collections.abc import Callable
from pathlib import Path

from toy_pairs import as_arguments, reverse, write_task

QUICK = {"training.max_steps": 2, "training.validate_every": 2, "decoding.beam": 1, "model.hidden": 16}


def test_the_demo_shows_each_command_and_leaves_scores_and_a_page(
    tmp_path: Path, attentio: Callable, drawn: int
) -> None:
    words = as_arguments(QUICK | write_task(tmp_path, reverse, seed=drawn))
    done = attentio("demo", "--run", "mine", *words)
    assert done.returncode == 0, done.stderr.decode()
    shown = re.findall(r"^\$ (.*)$", done.stdout.decode(), re.MULTILINE)
    verbs = [re.search(r"attentio (\w+) ", command).group(1) for command in shown]
    assert verbs == ["train", "evaluate", "translate", "look", "look", "look"]
    assert "attentio\\nkimchi\\n" in shown[2]
    assert "WER" in done.stdout.decode().upper()
    assert (tmp_path / "mine" / "evaluation" / "scores.json").is_file()
    assert (tmp_path / "mine" / "pictures" / "attentio.html").stat().st_size > 10_000


def test_a_step_that_fails_ends_the_demo_with_its_code(tmp_path: Path, attentio: Callable) -> None:
    done = attentio("demo", "--training.max_step", 2)
    assert done.returncode == 2
    assert done.stdout.decode().count("$ attentio") == 1
    assert b"max_steps" in done.stderr
