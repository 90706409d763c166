"""What would take more memory than there is ends in one line, before it is tried."""

import gzip
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from toy_runs import Toy

from attentio import system
from attentio.config.read import load_config, preset_names
from attentio.data import lines
from attentio.data.lines import file_lines
from attentio.data.pairs import read_pairs
from attentio.errors import AttentioError
from attentio.memory import check_memory
from attentio.runs.build import Tokenizers, more_than, parameters_of
from attentio.runs.tasks import TASKS
from attentio.text.tokenizer import Tokenizer


def test_only_what_is_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "memory", lambda: 3 * 2**30)
    check_memory(3 * 2**30, "a beam", "")
    with pytest.raises(AttentioError) as caught:
        check_memory(5 * 2**30, "a beam", "give a smaller one")
    assert str(caught.value) == "a beam would take 5 GB of memory, and there are 3 GB; give a smaller one"
    monkeypatch.setattr(system, "memory", lambda: None)  # where the system does not tell
    check_memory(2**80, "a beam", "")


def test_a_limit_of_this_process_counts() -> None:
    there = system.memory()
    assert there is not None
    assert there > 2**28
    before = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (there // 3, before[1]))
        assert system.memory() == there // 3
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="only Linux tells")
def test_addresses_that_libraries_only_reserve_are_no_memory_that_is_left() -> None:
    pages = [int(each) for each in Path("/proc/self/statm").read_text().split()[:2]]
    size, resident = (count * resource.getpagesize() for count in pages)
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (size + 2**30, before[1]))
        assert system.memory() == pytest.approx(resident + 2**30, rel=0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


TOO_MUCH = {
    "parameters": (["--model.hidden", "65536", "--model.decoder_layers", "1000"], "parameters would take"),
    "positions": (
        ["--model.encoder", "transformer", "--model.transformer.positions", "learned",
         "--model.transformer.max_length", "16777216", "--model.transformer.width", "65536"],
        "parameters would take",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TOO_MUCH)
def test_a_model_that_does_not_fit_is_refused(toy: Toy, tmp_path: Path, attentio: Callable, what: str) -> None:
    words, told = TOO_MUCH[what]
    data = ["--data.train", toy.dev, "--data.dev", toy.dev, "--run", tmp_path / "run"]
    said = attentio("train", "luong", *data, *words)
    assert said.code == 2
    assert told in said.err.splitlines()[-1]
    assert "give smaller sizes or fewer layers in model" in said.err


@pytest.mark.parametrize("preset", preset_names())
def test_what_is_reckoned_of_a_model_is_more_than_it_has(preset: str) -> None:
    """So that nothing is built which was not counted."""
    config, tokenizer = load_config(preset).model, Tokenizer.train(["ab"], kind="char", mask=True)
    wide = {"encoder_hidden": 700, "hidden": 1400}
    for change in ({}, {"embedding": 1}, {"hidden": 700}, {"encoder_layers": 4}, wide):
        both = Tokenizers(tokenizer, tokenizer)
        changed = replace(config, **change)
        model = TASKS[config.type].blueprint.build_model(changed, both, seed=1)
        assert parameters_of(model) < more_than(changed, both)


def test_a_training_that_does_not_fit_is_refused(
    toy: Toy, tmp_path: Path, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First for what is learnt, then for a batch; a batch is as large as the data make it, whatever it may be."""
    words = ["train", "luong", "--data.train", toy.dev, "--data.dev", toy.dev, "--training.max_steps", "1"]
    words += ["--data.test", "null", "--training.validation_size", "2", "--model.hidden", "8", "--model.embedding", "8"]
    megabyte = 2**20
    monkeypatch.setattr(system, "memory", lambda: 20_000)
    said = attentio(*words, "--run", tmp_path / "a")
    assert "training " in said.err.splitlines()[-1]
    assert " parameters would take" in said.err.splitlines()[-1]
    monkeypatch.setattr(system, "memory", lambda: megabyte // 2)
    said = attentio(*words, "--run", tmp_path / "b", "--training.batch_tokens", "16777216")
    assert said.err.splitlines()[-1].endswith("; give a smaller training.batch_tokens")
    monkeypatch.setattr(system, "memory", lambda: 20 * megabyte)
    assert attentio(*words, "--run", tmp_path / "c", "--training.batch_tokens", "16777216").code == 0


def test_a_beam_that_does_not_fit_is_refused(toy: Toy, attentio: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "memory", lambda: 2**20)
    assert attentio("translate", toy.run, "--beam", "3", given=b"abc\n").code == 0
    said = attentio("translate", toy.run, "--beam", "1000", given=b"abc\n" * 64)
    assert said.code == 2
    assert said.err.startswith("attentio: a beam of 1000 for 64 texts at a time, with ")
    assert said.err.count("\n") == 1


def test_a_compressed_file_of_very_many_lines_is_left_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tb\n" * 3000))
    monkeypatch.setattr(lines, "_LINES_BETWEEN_LOOKS", 1000)
    assert sum(1 for _ in file_lines(path)) == 3000
    monkeypatch.setattr(system, "memory", lambda: 2**20)
    with pytest.raises(
        AttentioError, match=r"many\.tsv\.gz:1000: the data so far take .* GB, half of the memory; give"
    ):
        read_pairs(str(path))


def test_memory_that_runs_out_all_the_same_is_one_line(tmp_path: Path) -> None:
    """What nobody reckoned: the system says no, and the command says so."""
    code = (
        "import resource, sys, torch\n"
        "from attentio.commands import look\n"
        "from attentio.commands.main import main\n"
        "look.run = lambda arguments, overrides: torch.empty(2**36)\n"
        "held = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 2**28, held + 2**28))\n"
        "sys.exit(main(['look', 'run', 'a']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("attentio: not enough memory (RuntimeError: ")
    assert done.stderr.count("\n") == 1
