"""attentio evaluate: quality by free decoding, as a table, as JSON, and by source length."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from rapidfuzz.distance import Levenshtein

import attentio as at
from attentio.commands.main import main
from attentio.config.read import load_run
from attentio.data.pairs import group_references, read_pairs
from attentio.data.part import read_part
from attentio.evaluation.report import read_outputs
from attentio.runs import searcher
from attentio.runs.training_data import trained_on
from attentio.runs.translator import Run
from attentio.text.tokenizer import BOS, EOS


def report(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text(encoding="utf-8"))


def test_scores_are_those_of_the_outputs_it_writes(toy, attentio: Callable, tmp_path: Path) -> None:
    said = attentio("evaluate", toy.run, "--out", tmp_path, "--metrics", "exact,wer,per")
    assert said.code == 0
    header, *rows = [line.split("\t") for line in (tmp_path / "outputs.tsv").read_text().splitlines()]
    assert header == ["source", "output", "right", "score", "references"]
    assert all((row[2] == "yes") == (row[1] in row[4:]) for row in rows)
    sources = list(dict.fromkeys(line.split("\t")[0] for line in toy.dev.read_text().splitlines()))
    assert [row[0] for row in rows] == sources
    exact = 100 * sum(row[1] in row[4:] for row in rows) / len(rows)
    found = report(tmp_path)
    values = {score["name"]: score["value"] for score in found["scores"]}
    assert list(values) == ["exact", "wer", "per"]
    assert values["exact"] == pytest.approx(exact)
    edits = sum(Levenshtein.distance(output, right) for _, output, _, _, right in rows)
    assert values["per"] == pytest.approx(100 * edits / sum(len(row[4]) for row in rows)), "in the target's tokens"
    assert "per counts characters" in said.out.splitlines()
    assert found["units"] == "characters"
    assert values["wer"] == pytest.approx(100 - exact)
    assert exact > 50
    assert found["sources"] == len(sources)
    assert sum(each["count"] for each in found["by_source_length"]) == len(sources)
    assert all(each["score"]["name"] == "exact" for each in found["by_source_length"])
    model = Run.load(toy.run).model
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert found["output_tokens_per_second"] > 0


def test_the_numbers_shown_are_named_as_free_decoding(toy, attentio: Callable) -> None:
    """Teacher-forced numbers are never shown as quality (trap 15)."""
    said = attentio("evaluate", toy.run, "--metrics", "exact,bleu")
    assert "quality of free decoding" in said.out
    assert "exact" in said.out
    assert "nrefs:1" in said.out, "sacreBLEU's signature stands beside its number"
    header = (toy.run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert header[-3:] == ["dev_loss", "exact", "per"], "validation's columns are the metrics of free decoding"


def test_the_loss_on_dev_is_that_of_its_right_tokens(toy) -> None:
    last = at.load(toy.run, checkpoint="last")
    both = last.tokenizers
    examples = group_references(read_pairs(str(toy.dev)).pairs)
    training = last.config.training
    chosen = np.random.default_rng(training.seed).permutation(len(examples))[: training.validation_size]
    tokens, nats = 0, 0.0
    for source, target in [(examples[i].source, target) for i in chosen for target in examples[i].references]:
        inputs, outputs = [*both.source.encode(source), EOS], [*both.target.encode(target), EOS]
        logits = last.model(torch.tensor([inputs]), torch.tensor([len(inputs)]), torch.tensor([[BOS, *outputs[:-1]]]))
        chosen = logits.log_softmax(-1)[0, range(len(outputs)), outputs]
        tokens, nats = tokens + len(outputs), nats - chosen.sum().item()
    with (toy.run / "metrics.csv").open() as file:
        row = [row for row in csv.DictReader(file) if row["dev_loss"]][-1]
    assert float(row["dev_loss"]) == pytest.approx(nats / tokens, rel=1e-4)


def test_quality_is_not_that_of_teacher_forcing(toy, attentio: Callable, tmp_path: Path) -> None:
    """With targets that the model cannot foresee, free decoding errs from the first difference on."""
    data = tmp_path / "wrong.tsv"
    data.write_text("".join(f"{word}\t{word[0]}{word[::-1][1:]}\n" for word in ("abcdef", "bcdefg", "hgfabc")))
    attentio("evaluate", toy.run, "--data", data, "--out", tmp_path, "--metrics", "exact")
    assert report(tmp_path)["scores"][0]["value"] == 0
    outputs = [one.output for one in read_outputs(tmp_path / "outputs.tsv")]
    assert outputs == [one.text for one in Run.load(toy.run).translate(["abcdef", "bcdefg", "hgfabc"])]


def test_several_references_of_a_source_count_as_one(toy, attentio: Callable, tmp_path: Path) -> None:
    best = Run.load(toy.run).translate(["abcd"])[0]
    data = tmp_path / "two.tsv"
    data.write_text(f"abcd\tx\nabcd\t{best.text}\n")
    attentio("evaluate", toy.run, "--data", data, "--out", tmp_path)
    row = (tmp_path / "outputs.tsv").read_text().splitlines()[1]
    assert row == f"abcd\t{best.text}\tyes\t{best.score:.4f}\tx\t{best.text}"
    assert report(tmp_path)["scores"][0]["value"] == 100


def test_the_beam_is_what_is_asked_for(toy, attentio: Callable, tmp_path: Path) -> None:
    attentio("evaluate", toy.run, "--beam", "2", "--out", tmp_path)
    assert report(tmp_path)["beam"] == 2
    attentio("evaluate", toy.run, "--out", tmp_path)
    assert report(tmp_path)["beam"] == 5


def test_an_unknown_metric_is_told_before_anything_is_decoded(
    toy, attentio: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "candidates", lambda *_, **__: pytest.fail("decoded"))
    said = attentio("evaluate", toy.run, "--metrics", "exact,blue", "--out", tmp_path)
    assert said.code == 2
    assert "; did you mean 'bleu'?" in said.err
    said = attentio("evaluate", toy.run, "--metrics", "", "--out", tmp_path)
    assert said.code == 2
    assert "unknown metric ''" in said.err


def test_bad_data_is_named(toy, attentio: Callable, tmp_path: Path) -> None:
    data = tmp_path / "bad.tsv"
    data.write_text("ab\tba\nno tab\n")
    said = attentio("evaluate", toy.run, "--data", data)
    assert said.code == 2
    assert said.err.startswith(f"attentio: {data}:2: 1 column(s) where 2 are expected")


def test_sources_that_the_model_does_not_know_are_counted(toy, attentio: Callable, tmp_path: Path) -> None:
    data = tmp_path / "unknown.tsv"
    data.write_text("abc\tcba\nabC\tcba\n[z]\tz\n")
    said = attentio("evaluate", toy.run, "--data", data, "--out", tmp_path)
    told = "'C' (source 'abC', character 3): the model does not know it; it knows 'c'"
    assert f"2 sources hold something unknown; the first: {told}" in said.out.splitlines()
    assert report(tmp_path)["sources_with_unknown"] == 2
    said = attentio("evaluate", toy.run, "--out", tmp_path)
    assert "unknown" not in said.out
    assert report(tmp_path)["sources_with_unknown"] == 0


def test_outputs_cut_off_are_counted_and_can_be_longer(
    toy, attentio: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "EXTRA_OUTPUT_TOKENS", 0)
    data = tmp_path / "two.tsv"
    data.write_text("abcd\tdcba\nfedc\tcdef\n")
    options = "--data", data, "--out", tmp_path, "--max-length-ratio"
    limit = "0.5 tokens for each of its source, and 0 more"
    told = f"2 outputs are cut off, 2 targets are too long: an output may have {limit}"
    assert told in attentio("evaluate", toy.run, *options, "0.5").out
    assert report(tmp_path)["outputs_cut_off"] == report(tmp_path)["targets_too_long"] == 2
    assert "are cut off" not in attentio("evaluate", toy.run, *options, "3").out
    assert report(tmp_path)["outputs_cut_off"] == 0


def test_repeated_sources_are_told(toy, attentio: Callable, tmp_path: Path) -> None:
    data = tmp_path / "two.tsv"
    data.write_text("ab\tx\nab\tba\ncd\tdc\n")
    told = "2 sources of 3 lines: repeated sources count once, any of their targets is right"
    assert told in attentio("evaluate", toy.run, "--data", data, "--out", tmp_path).out.splitlines()
    data.write_text("ab\tba\ncd\tdc\n")
    assert "count once" not in attentio("evaluate", toy.run, "--data", data, "--out", tmp_path).out


def test_a_second_evaluation_overwrites_nothing(toy, attentio: Callable, tmp_path: Path) -> None:
    for beam in (1, 2, 3):
        said = attentio("evaluate", toy.run, "--beam", beam, "--out", tmp_path)
    assert f"the evaluation that was there is now in {tmp_path / 'earlier-2'}" in said.err.replace("\n", "")
    folders = [tmp_path / "earlier-1", tmp_path / "earlier-2", tmp_path]
    assert [report(folder)["beam"] for folder in folders] == [1, 2, 3]
    assert all((folder / "outputs.tsv").is_file() for folder in folders)


def test_what_is_said_for_what_is_told_and_written(toy, attentio: Callable, tmp_path: Path) -> None:
    best = Run.load(toy.run).translate(["abcd"])[0].text
    data = tmp_path / "one.tsv"
    data.write_text(f"abcd\t{best[:-1]}\n")  # so that the last is too much
    said = attentio("evaluate", toy.run, "--data", data, "--out", tmp_path)
    assert f"most often confused: {best[-1]} too much (1)" in said.out
    written = (tmp_path / "confusions.tsv").read_text().splitlines()
    assert written == ["reference\toutput\ttimes\tof", f"\t{best[-1]}\t1\t0"]


def test_columns_of_a_table_can_be_named(toy, attentio: Callable, tmp_path: Path) -> None:
    data = tmp_path / "table.csv"
    data.write_text("note,word,reversed\nx,abcd,dcba\ny,bc,cb\n")
    said = attentio("evaluate", toy.run, "--data", data, "--data.columns", "word,reversed", "--out", tmp_path)
    assert said.code == 0, said.err
    assert [one.source for one in read_outputs(tmp_path / "outputs.tsv")] == ["abcd", "bc"]
    run = Path(shutil.copytree(toy.run, tmp_path / "run"))
    config = (run / "config.yaml").read_text()
    assert "header: auto" in config
    (run / "config.yaml").write_text(config.replace("header: auto", "header: false"))
    said = attentio("evaluate", run, "--data", data, "--data.columns", "word,reversed", "--out", tmp_path)
    assert said.code == 0, said.err


def test_data_that_were_trained_on_are_told(
    toy, toy_without_attention: Path, attentio: Callable, tmp_path: Path
) -> None:
    told = f"{toy.dev} is what {toy_without_attention} was trained on: its scores tell what is remembered"
    few = ("--beam", "1", "--out", tmp_path)
    assert told in attentio("evaluate", toy_without_attention, *few).out
    assert "was trained on" not in attentio("evaluate", toy.run, *few).out
    together, data = f"{toy.run},{toy.run}", load_run(toy.run).data.train
    assert f"{data} is what {together} was trained on" in attentio("evaluate", together, "--data", data, *few).out
    config, copied = load_run(toy.run), tmp_path / "copied.tsv"
    copied.write_bytes(Path(config.data.train).read_bytes())
    for data, run in ((config.data.train, tmp_path), (str(copied), toy.run)):
        assert trained_on(config, read_part(config, data), run)
    assert not trained_on(config, read_part(config, str(toy.dev)), toy.run)


def test_quality_is_told_by_what_was_rare_in_training(toy, attentio: Callable, tmp_path: Path) -> None:
    data = tmp_path / "rare.tsv"
    words = dict.fromkeys(["abcd", "abz", *toy.dev.read_text().split()[:80:2]])
    data.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    said = attentio("evaluate", toy.run, "--data", data, "--beam", "1", "--out", tmp_path)
    assert "quality by the rarest symbol" in said.out
    trained = Path(load_run(toy.run).data.train).read_text()
    columns = [line.split("\t") for line in trained.splitlines()]
    found = report(tmp_path)["by_frequency"]
    for place, side in enumerate(("source", "target")):
        counts = Counter("".join(pair[place] for pair in columns))
        common = sorted(min(counts[letter] for letter in word) for word in words if "z" not in word)
        unseen, *seen = (one for one in found if one["symbol"] == f"{side} character")
        assert (unseen["fewest"], unseen["most"], unseen["count"], unseen["score"]["value"]) == (0, 0, 1, 0)
        assert (seen[0]["fewest"], seen[-1]["most"]) == (common[0], common[-1])
        assert sum(one["count"] for one in found if one["symbol"] == f"{side} character") == len(words)
    rows = [line.split("\t") for line in (tmp_path / "breakdown.tsv").read_text().splitlines()]
    assert rows[0] == ["by", "from", "to", "sequences", "metric", "value", "margin"]
    assert [row[0] for row in rows].count("times of the rarest source character") == len(seen) + 1
    together = attentio("evaluate", f"{toy.run},{toy.run}", "--data", data, "--beam", "1", "--out", tmp_path).out
    what = f"{toy.run},{toy.run}: it is not known what it was trained on"
    assert f"not told apart by what was rare in training: {what}" in together


def test_what_a_bundle_was_trained_on_is_not_looked_for_among_files_of_the_same_name(
    toy, attentio: Callable, tmp_path: Path
) -> None:
    bundle = tmp_path / "words.zip"
    assert attentio("export", toy.run, "--to", "bundle", "--out", bundle).code == 0
    said = attentio("evaluate", bundle, "--data", toy.dev, "--beam", "1", "--out", tmp_path / "found")
    assert "not told apart by what was rare in training: the run does not say which" in said.out


def test_columns_of_what_has_none_are_refused(toy, attentio: Callable, tmp_path: Path) -> None:
    for data in ("dates:dev", f"{toy.dev},{toy.dev}"):
        said = attentio("evaluate", toy.run, "--data", data, "--data.columns", "word,reversed", "--out", tmp_path)
        assert said.code == 2
        assert f"--data.columns is for tables, and {data} is none" in said.err


def test_an_evaluation_waits_for_another_that_writes(toy, attentio: Callable, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with FileLock(tmp_path / ".lock"):
            found = pool.submit(evaluate_here, toy.run, tmp_path)
            with pytest.raises(TimeoutError):
                found.result(timeout=5)
            assert not (tmp_path / "scores.json").exists()
        assert found.result() == 0
    assert (tmp_path / "scores.json").exists()


def evaluate_here(run: Path, folder: Path) -> int:
    return main(["evaluate", str(run), "--beam", "1", "--out", str(folder)])
