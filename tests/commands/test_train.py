"""What training says before it begins and at its end, what it makes of its run directory, and what it refuses."""

import json
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_task, write_words


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A training of two updates."""
    data = write_task(tmp_path_factory.mktemp("data"), reverse, seed=3)
    few = {"training.max_steps": 2, "training.validate_every": 2, "training.validation_size": 2, "training.seed": 3}
    return ["luong", *as_arguments(OPTIONS | data | few)]


def test_the_next_commands_can_be_pasted_into_a_shell(attentio: Callable, words: list[str], tmp_path: Path) -> None:
    run = tmp_path / "it's a run"
    said = attentio("train", *words, "--run", str(run))
    assert said.code == 0, said.err
    first, second = (shlex.split(line) for line in said.err.splitlines()[-2:])
    assert first == ["attentio", "evaluate", str(run)]
    assert second == ["attentio", "translate", str(run)]


def test_without_instructions_for_bfloat16_it_is_trained_in_32_bits_and_says_so(
    attentio: Callable, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attentio.training.ranks.multiplies_bfloat16", lambda: False)
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        said = attentio("train", *words, "--run", run := tmp_path / precision, "--training.precision", precision)
        assert said.code == 0
        assert ("no instructions for bfloat16" in said.err) == (precision == "bf16-mixed")
        losses.append((run / "metrics.csv").read_text().splitlines()[-1].split(",")[1])
    assert losses[0] == losses[1]


def test_mixed_precision_is_not_told_by_the_library_that_does_it(words: list[str], tmp_path: Path) -> None:
    """In a process of its own, where that library sets up its messages itself."""
    command = [sys.executable, "-m", "attentio", "train", *words, "--run", str(tmp_path / "run")]
    said = subprocess.run([*command, "--training.precision", "bf16-mixed"], capture_output=True, text=True, check=True)
    assert "AMP" not in said.stderr


TINY = as_arguments(
    {
        "model.embedding": 5,
        "model.hidden": 6,
        "training.max_steps": 1,
        "training.validate_every": 1,
        "training.validation_size": 2,
        "data.test": "null",
    }
)


def write(path: Path, *pairs: tuple[str, str]) -> Path:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    return path


def test_targets_longer_than_outputs_may_be_are_told_before_training(attentio: Callable, tmp_path: Path) -> None:
    # The end takes no room of the limit: 13 letters for one letter are whole, 14 are not.
    train = write(tmp_path / "train.tsv", ("UN", "United Nations"), ("U", "u" * 13), ("N", "n" * 14), ("EU", "e" * 17))
    dev = write(tmp_path / "dev.tsv", ("UN", "United Nations"))
    data = as_arguments({"data.train": train, "data.dev": dev})
    said = attentio("train", "luong", "--run", tmp_path / "run", *data, *TINY)
    assert said.code == 0
    limit = "3 tokens for each of its source, and 10 more"
    told = [line for line in said.err.splitlines() if "longer than" in line]
    assert told == [
        f"{train}: 2 of 4 targets are longer than outputs may be, {limit}; "
        "--decoding.max_length_ratio lets them have more"
    ]
    said = attentio("train", "luong", "--run", tmp_path / "more", *data, *TINY, "--decoding.max_length_ratio", "4")
    assert "longer than" not in said.err


def test_a_run_begun_with_the_configuration_of_another_says_that_its_weights_are_fresh(
    attentio: Callable, tmp_path: Path
) -> None:
    """Trap 35."""
    data = write(tmp_path / "data.tsv", ("ab", "ba"), ("b", "b"))
    old, new = tmp_path / "old", tmp_path / "new"
    first = attentio("train", "luong", "--run", old, "--data.train", data, "--data.dev", data, *TINY)
    told = f"{new} begins from fresh weights with {old}'s configuration; --init {old} takes its weights"
    assert told in attentio("train", old, "--run", new).err.splitlines()
    for again in (first, attentio("train", old, "--run", new), attentio("train", old)):
        assert again.code == 0
        assert "fresh weights" not in again.err


def test_without_a_dev_set_a_part_of_the_training_data_is_held_out_said_and_kept(
    attentio: Callable, tmp_path: Path
) -> None:
    data = write_words(tmp_path / "mine.tsv", reverse, count=100, seed=5)
    few = ["--data.train", data, *TINY, "--run", tmp_path / "run"]
    said = attentio("train", "cmudict", *few)
    assert said.code == 0, said.err
    sources = {line.split("\t")[0] for line in data.read_text().splitlines()}
    held = [json.loads(line) for line in (tmp_path / "run" / "held-out.jsonl").read_text().splitlines()]
    assert len({pair["source"] for pair in held}) == len(sources) // 20
    assert f"{data}, held out: {len(held)} pairs" in said.err
    assert f"{data}: {100 - len(held)} pairs" in said.err
    assert "cmudict:dev" not in said.err
    data.rename(tmp_path / "moved.tsv")
    found = attentio("evaluate", tmp_path / "run", "--beam", "1")
    assert f"held-out.jsonl: {len(sources) // 20} sources" in found.out
    (tmp_path / "moved.tsv").rename(data)
    kept = (tmp_path / "run" / "held-out.jsonl").read_text()
    (tmp_path / "run" / "held-out.jsonl").unlink()
    assert attentio("train", "cmudict", *few, "--training.max_steps", "2").code == 0
    assert (tmp_path / "run" / "held-out.jsonl").read_text() == kept
    with data.open("a") as file:
        file.write("new\twen\n")
    said = attentio("train", "cmudict", *few, "--training.max_steps", "3")
    assert said.code == 2
    assert "has changed since" in said.err


def test_a_run_goes_on_with_its_data_elsewhere_and_not_with_other_data(attentio: Callable, tmp_path: Path) -> None:
    data = write(tmp_path / "data.tsv", ("ab", "ba"), ("b", "b"))
    run, moved = tmp_path / "run", tmp_path / "moved.tsv"
    assert attentio("train", "luong", "--run", run, "--data.train", data, "--data.dev", data, *TINY).code == 0
    data.rename(moved)
    there = ["--data.train", moved, "--data.dev", moved, "--training.max_steps"]
    said = attentio("train", run, *there, "2")
    assert (said.code, "going on after step 1" in said.err) == (0, True)
    assert f"train: {moved}\n" in (run / "config.yaml").read_text()
    write(moved, ("ab", "ba"), ("b", "c"))
    said = attentio("train", run, *there, "3")
    assert (said.code, f"{moved} has changed since {run} was begun" in said.err) == (2, True)
    other = write(tmp_path / "other.tsv", ("a", "a"))
    said = attentio("train", run, "--data.train", other, *there[2:], "3")
    assert f"{run} was begun with the data {moved}, and {other} holds others; choose another --run" in said.err
    said = attentio("train", run, *there, "3", "--data.columns", "[2,1]")
    assert f"{run} was begun with another data.columns, with which {moved} held other texts; set it back" in said.err


def test_samples_are_shown_to_a_readable_length(attentio: Callable, tmp_path: Path) -> None:
    data = write(tmp_path / "data.tsv", ("ab", "b" * 300))
    said = attentio("train", "luong", "--run", tmp_path / "run", "--data.train", data, "--data.dev", data, *TINY)
    assert said.code == 0
    assert f"({'b' * 200}..)" in said.err


def test_a_training_that_ends_in_its_warm_up_is_told(attentio: Callable, tmp_path: Path) -> None:
    data = as_arguments({"data.train": write(tmp_path / "train.tsv", ("a", "b"), ("c", "d"))})
    for warmup, told in ((3, True), (2, False)):
        run = ["--run", tmp_path / f"run{warmup}", "--training.max_steps", "3", "--training.warmup", warmup]
        said = attentio("train", "luong", *data, *TINY, *run)
        assert said.code == 0, said.err
        assert (f"training.warmup is {warmup} of 3 updates" in said.err) == told


def test_what_the_data_look_like_is_told_before_training(attentio: Callable, tmp_path: Path) -> None:
    data = tmp_path / "words.csv"
    data.write_text("Word,Sounds\nab ,ba\nab,ba\ne\u0301,e\n", encoding="utf-8")
    said = attentio("train", "luong", "--data.train", data, "--data.dev", data, *TINY, "--run", tmp_path / "run")
    assert said.code == 0, said.err
    table = {
        cells[0].strip(): [cell.strip() for cell in cells[1:]]
        for line in said.err.splitlines()
        if len(cells := line.strip("│").split("│")) == 3
    }
    assert table["pairs"] == ["3", "3"]
    assert table["pairs that are repeated"] == ["1", "1"]
    assert table["texts trimmed of white space"] == ["1", "1"]
    assert table["texts composed (Unicode NFC)"] == ["1", "1"]
    assert f"{data}:1: 'Word' and 'Sounds' are headings and left out; --data.header false keeps them" in said.err
    assert f"{data} is what is trained on, {data}: " in said.err


def test_bad_data_are_told_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\nc,d,e\n")
    code = (
        "import sys; from attentio.commands.main import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'tokenizers', 'lightning_fabric'} & set(sys.modules); sys.exit(code)"
    )
    words = ["train", "luong", "--data.train", str(tmp_path / "bad.csv"), "--run", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"attentio: {tmp_path}/bad.csv:2: 3 column(s) where 2 are expected; ")
    assert not (tmp_path / "run").exists()


def test_text_in_other_forms_is_read_as_in_training(attentio: Callable, tmp_path: Path) -> None:
    words = ["가각", "나비", "다리", "한글", "é"]
    data = write(tmp_path / "data.tsv", *((word, word) for word in words))
    run = tmp_path / "run"
    assert attentio("train", "luong", "--run", run, "--data.train", data, "--data.dev", data, *TINY).code == 0
    other = [f"\ufeff {unicodedata.normalize('NFD', word)}\t" for word in words]
    plain, changed = (
        attentio("translate", run, given="".join(f"{word}\n" for word in some).encode()) for some in (words, other)
    )
    assert (changed.code, changed.out, changed.err) == (0, plain.out, plain.err)
    write(tmp_path / "other.tsv", *((f" {text.strip()}", text.strip()) for text in other))
    for name in ("data", "other"):
        attentio("evaluate", run, "--data", tmp_path / f"{name}.tsv", "--out", tmp_path / name)
    assert (tmp_path / "data" / "outputs.tsv").read_bytes() == (tmp_path / "other" / "outputs.tsv").read_bytes()
    for number, text in enumerate((words[0], other[0])):
        attentio("look", run, text, "--out", tmp_path / f"{number}.html")
    assert (tmp_path / "0.html").read_bytes() == (tmp_path / "1.html").read_bytes()
    aligned = [
        attentio("align", run, given=f"{some[0]}\t{some[0].strip()}\n".encode())
        for some in ([words[0]], [other[0].strip()])
    ]
    assert aligned[0] == aligned[1]


def test_an_old_run_reads_text_as_it_did(attentio: Callable, tmp_path: Path) -> None:
    """Its configuration lacks the keys, and its data are those that it was begun with."""
    data = write(tmp_path / "data.tsv", ("source", "target"), (" ab", "e\u0301 "), ("b", "b"))
    options = ["--data.train", data, "--data.dev", data, *TINY]
    old = ["--data.separator", "tab", "--data.header", "false", "--text.normalize", "none"]
    run = tmp_path / "run"
    assert attentio("train", "luong", "--run", run, *options, *old).code == 0
    config = run / "config.yaml"
    lacking = ("separator", "header", "normalize")
    lines = [line for line in config.read_text().splitlines() if line.strip().split(":")[0] not in lacking]
    config.write_text("\n".join(lines) + "\n")
    assert attentio("translate", run, given=b" b\n").err == ""  # a space that it knows
    for again in (["luong", "--run", run, *options], [run]):
        said = attentio("train", *again, "--training.max_steps", "2")
        assert said.code == 0, said.err
        assert "3 pairs" in said.err
        config.write_text("\n".join(lines) + "\n")


def test_what_is_no_name_of_a_folder_is_refused(
    attentio: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = attentio("train", "luong", "--run", "")
    assert (said.code, said.err) == (2, "attentio: --run is empty; name a folder, or leave it out for runs/NAME\n")
    for name in ("../x", "a/b", "..", "", "a\\b"):
        said = attentio("train", "luong", "--name", name)
        expected = f"attentio: luong: name must be a plain name, not a path, got {name!r}\n"
        assert (said.code, said.err) == (2, expected)
    Path("variants.yaml").write_text("base: luong\nvariants: {../x: {}}\n")
    said = attentio("compare", "variants.yaml")
    expected = "attentio: variants.yaml: the variant's name must be a plain name, not a path, got '../x'\n"
    assert (said.code, said.err) == (2, expected)
    assert attentio("compare", "luong", "--out", "").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["variants.yaml"]


def test_a_folder_that_is_no_run_is_told(attentio: Callable, tmp_path: Path) -> None:
    said = attentio("train", tmp_path)
    assert said.code == 2
    assert f"{tmp_path} is not a run directory: it has no config.yaml" in said.err


def test_files_without_tags_are_told_to_need_them(attentio: Callable, tmp_path: Path) -> None:
    one, two = (write_words(tmp_path / name, reverse, count=30, seed=5) for name in ("a.tsv", "b.tsv"))
    said = attentio("train", "cmudict", "--data.train", f"{one}+{two}", "--run", tmp_path / "run", *TINY)
    assert said.code == 2
    assert f"several files need tags; write TAG={one}+TAG={two}, or join them" in said.err
