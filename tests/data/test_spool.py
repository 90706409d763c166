"""Data that are many are kept in files, and are the same as in memory."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attentio.config.read import load_config
from attentio.data import spool
from attentio.data.kept import Cache, release
from attentio.data.pairs import Pair
from attentio.data.part import read_parts
from attentio.data.spool import Spool, TextsOf
from attentio.data.survey import survey
from attentio.runs.tasks import task_of

CONFIGS = {
    "encoder-decoder": ["--text.shared", "true"],
    "masked-lm": ["--text.block", "7"],
    "causal-lm": ["--text.block", "7"],
}
TEXTS = st.text(st.characters(codec="utf-8"))


@given(st.lists(st.tuples(TEXTS, TEXTS).map(lambda texts: Pair(*texts)), min_size=1), st.data())
def test_rows_come_back_from_the_file(rows: list[Pair], data: st.DataObject) -> None:
    kept = Spool(rows)
    assert list(kept) == rows
    assert len(kept) == len(rows)
    index = data.draw(st.integers(0, len(rows) - 1))
    assert kept[index] == rows[index]
    assert isinstance(kept[0], Pair)
    texts = TextsOf(kept, 1, 0)
    assert list(texts) == list(texts) == [row.target for row in rows] + [row.source for row in rows]


def test_many_rows_are_gone_through_by_several_at_once(seed: int) -> None:
    rows = [str(number) * (number % 5) for number in range(10_007)]
    kept = Spool(rows)
    assert [*zip(kept, kept, strict=True)] == [*zip(rows, rows, strict=True)]
    assert [kept[index] for index in (0, 1023, 1024, 10_006)] == [rows[index] for index in (0, 1023, 1024, 10_006)]
    with pytest.raises(IndexError):
        kept[10_007]
    assert Spool(rows[:-1]).digest != kept.digest == Spool(rows).digest


def tracked(items: Any, total: int) -> Any:
    assert len(items) == total
    return items


@pytest.mark.parametrize("kind", CONFIGS)
def test_data_in_files_give_the_batches_of_data_in_memory(
    kind: str, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefg", k=draw.randint(1, 9))) for _ in range(300)]
    lines = [f"{word}\t{word[::-1]}" if kind == "encoder-decoder" else f"{word} {word}" for word in words]
    (tmp_path / "train").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = [*CONFIGS[kind], "--training.batch_tokens", "64", "--training.seed", str(seed)]
    preset = {"encoder-decoder": "luong", "masked-lm": "masked-lm", "causal-lm": "causal-lm"}[kind]
    shared = ["--data.train", str(tmp_path / "train"), "--data.dev", "null", "--data.test", "null"]
    config = load_config(preset, [*shared, *options, "--text.source.tokenizer", "char"])
    task = task_of(config)

    def look(cache: Cache | None) -> Sequence[Any]:
        train, dev = read_parts(config)
        assert isinstance(train.items, Spool) == (cache is not None)
        tokenizers = task.learn(config, train)
        corpus = task.corpus(config, train, tokenizers, seed=seed, cache=cache)
        batches = [corpus.load(rows, epoch) for epoch in range(2) for rows in corpus.epoch_batches(epoch)]
        return [train.facts(), list(dev.items), survey(config, train, dev), tokenizers.source.to_json(), batches]

    *known, batches = look(None)
    monkeypatch.setattr(spool, "MOST_IN_MEMORY", 50)
    cache = Cache(tmp_path / "tokens", tracked)
    for again in range(3):  # made, read, made anew
        *found, others = look(cache)
        assert found == known
        assert len(others) == len(batches)
        for one, other in zip(others, batches, strict=True):
            assert torch.equal(one.labels, other.labels)
            assert all(torch.equal(*both) for both in zip(one.inputs, other.inputs, strict=True))
        (made,) = [path for path in (tmp_path / "tokens").iterdir() if path.is_dir()]
        file = made / ("sources" if kind == "encoder-decoder" else "tokens")
        content = np.fromfile(file, np.int32)
        if again == 1:
            file.write_bytes((content[::-1]).tobytes())  # as a disk that errs


def test_what_was_read_of_a_mapped_file_is_let_go(tmp_path: Path) -> None:
    cache, size = Cache(tmp_path, tracked), 2**24
    array = cache.arrays(["x"], {"numbers": np.int32}, [{"numbers": np.arange(size, dtype=np.int32)}])["numbers"]
    before = mapped_kilobytes()
    assert int(array.sum(dtype=np.int64)) == size * (size - 1) // 2
    read = mapped_kilobytes()
    release(array)
    assert read - before > size * 3 // 1024
    assert mapped_kilobytes() - before < size // 1024
    assert array[-1] == size - 1


def mapped_kilobytes() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        pytest.skip("only Linux tells how much of files is mapped")
    return int(status.split("RssFile:")[1].split()[0])
