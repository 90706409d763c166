"""Tasks that a tiny model learns in seconds, written to files."""

import random
from collections.abc import Callable
from pathlib import Path

LETTERS = "abcdefgh"
OPTIONS = {
    "model.embedding": 32,
    "model.hidden": 64,
    "model.dropout": 0.1,
    "training.max_steps": 300,
    "training.batch_tokens": 512,
    "training.learning_rate": 0.01,
    "training.warmup": 20,
    "training.validate_every": 150,
    "training.validation_size": 50,
    "training.log_every": 50,
}


def write_words(path: Path, task: Callable[[str], str], *, count: int, seed: int) -> Path:
    """Words of 2 to 6 letters, each with what the task makes of it."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(LETTERS, k=draw.randint(2, 6))) for _ in range(count)]
    path.write_text("".join(f"{word}\t{task(word)}\n" for word in words), encoding="utf-8")
    return path


def write_task(folder: Path, task: Callable[[str], str], *, seed: int) -> dict[str, object]:
    """Files for training and for its dev set; returns the options that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "data.train": write_words(folder / "train.tsv", task, count=2000, seed=seed),
        "data.dev": write_words(folder / "dev.tsv", task, count=200, seed=seed + 1),
        "data.test": "null",
    }


def reverse(word: str) -> str:
    return word[::-1]


def as_arguments(options: dict[str, object]) -> list[str]:
    """{"a.b": 3} -> ["--a.b", "3"]"""
    return [word for key, value in options.items() for word in (f"--{key}", str(value))]
