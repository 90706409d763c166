"""A run directory read back: what it refuses, and that its translations stand on their own."""

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from toy_pairs import LETTERS, reverse
from untrained_runs import SMALL, untrained

import attentio as at
from attentio.commands.main import main
from attentio.errors import AttentioError
from attentio.runs import searcher
from attentio.runs.outputs import Translation
from attentio.runs.translator import Run
from attentio.text.tokenizer import BOS, EOS, Tokenizer
from attentio.training.checkpoint import Checkpoints


@pytest.fixture
def copied(toy, tmp_path: Path) -> Path:
    return shutil.copytree(toy.run, tmp_path / "run")


@pytest.fixture
def words(seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(LETTERS, k=draw.randint(1, 11))) for _ in range(29)]


def refused(path: Path) -> str:
    with pytest.raises(AttentioError) as caught:
        Run.load(path)
    assert "\n" not in str(caught.value)
    assert "train" in str(caught.value), "no remedy"
    return str(caught.value)


def same(one: Translation, other: Translation) -> None:
    assert (one.text, one.tokens, one.source_tokens) == (other.text, other.tokens, other.source_tokens)
    assert one.score == pytest.approx(other.score, abs=1e-4)
    torch.testing.assert_close(one.attention, other.attention, atol=1e-4, rtol=0)


def test_a_loaded_run_has_learnt_its_task(toy) -> None:
    run = at.load(toy.run)
    found = run.translate(["abcd", "hgfe"])
    assert sum(output.text == reverse(word) for output, word in zip(found, ["abcd", "hgfe"], strict=True)) >= 1
    assert not run.model.training


# Trap 11


def test_translations_do_not_depend_on_batch_size_or_neighbours(toy, words: list[str]) -> None:
    run = Run.load(toy.run)
    alone = [run.translate([word])[0] for word in words]
    for batch_size in (1, 7, 64):
        for one, (other,) in zip(alone, run.candidates(words, batch_size=batch_size), strict=True):
            same(one, other)
    for one, other in zip(alone, reversed(run.translate(words[::-1])), strict=True):
        same(one, other)
    padded = run.translate([words[0], "a" * 40])[0]
    same(alone[0], padded)


# Traps 17 and 18


@pytest.mark.parametrize("beam", [1, 5])
def test_the_attention_returned_is_that_of_scoring_the_hypothesis_again(toy, words: list[str], beam: int) -> None:
    run = Run.load(toy.run)
    candidates = run.candidates(words, beam=beam, n_best=min(beam, 3), batch_size=11)
    for word, outputs in zip(words, candidates, strict=True):
        for output in outputs:
            ids = run.tokenizers.target.encode(output.text)
            source = torch.tensor([[*run.tokenizers.source.encode(word), EOS]])
            assert output.tokens == run.tokenizers.target.tokens([*ids, EOS])
            log_prob, rows = 0.0, []
            with torch.inference_mode():
                state = run.model.start(run.model.encode(source, torch.tensor([source.shape[1]])))
                for token, following in zip([BOS, *ids], [*ids, EOS], strict=True):
                    step = run.model.step(torch.tensor([[token]]), state)
                    state = step.state
                    log_prob += float(step.logits[0, 0].log_softmax(-1)[following])
                    rows.append(step.weights[0, 0])
            assert output.attention is not None
            assert output.attention.shape == (len(output.tokens), len(output.source_tokens))
            torch.testing.assert_close(output.attention, torch.stack(rows), atol=1e-4, rtol=0)
            penalty = ((5 + len(ids) + 1) / 6) ** run.config.decoding.length_penalty
            assert output.score == pytest.approx(log_prob / penalty, abs=1e-3)


def test_every_row_of_attention_sums_to_1(toy, words: list[str]) -> None:
    for output in Run.load(toy.run).translate(words):
        assert output.attention is not None
        torch.testing.assert_close(output.attention.sum(1), torch.ones(len(output.tokens)), atol=1e-4, rtol=0)


def test_unknown_characters_are_translated_too(toy) -> None:
    output = Run.load(toy.run).translate(["aZ가"])[0]
    assert output.source_tokens == ["a", "<unk>", "<unk>", "</s>"]
    assert "<" not in output.text
    assert [(each.text, each.place, each.known) for each in output.unknown] == [("Z", 2, None), ("가", 3, None)]


def test_no_texts_are_no_translations(toy) -> None:
    assert Run.load(toy.run).translate([]) == []


def test_n_best_above_the_beam_is_the_callers_mistake(toy) -> None:
    with pytest.raises(ValueError, match="n_best must be at most the beam, got 3 and a beam of 2"):
        Run.load(toy.run).candidates(["abc"], n_best=3, beam=2)


def test_the_outputs_for_a_text_differ_and_keep_their_best_scores() -> None:
    """Pieces spell one text in several ways; the seed is of a model that finds such."""
    tokenizer = Tokenizer.train(["ab abc cab bac"] * 3, kind="bpe", vocab_size=14)
    torch.manual_seed(2)
    run = untrained(tokenizer=tokenizer)
    texts = ["ab", "cab", "abc bac", "c", "ba ab"] * 2
    whole = run.candidates(texts, n_best=8, beam=8)
    assert any(len(outputs) < 8 for outputs in whole), "no text came in several spellings"
    for outputs, all_of_them in zip(run.candidates(texts, n_best=4, beam=8), whole, strict=True):
        assert len({output.text for output in outputs}) == len(outputs) == min(4, len(all_of_them))
        assert [output.text for output in outputs] == [output.text for output in all_of_them[:4]]
        for one, other in zip(outputs, all_of_them, strict=False):
            assert one.score == pytest.approx(other.score, abs=1e-4)


def test_an_output_says_whether_the_model_ended_it(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.load(toy.run)
    ((whole,),) = run.candidates(["abcd"])
    monkeypatch.setattr(searcher, "EXTRA_OUTPUT_TOKENS", 0)
    ((cut,),) = run.candidates(["abcd"], max_length_ratio=0.5)
    assert cut.tokens == [*whole.tokens[:2], "</s>"]
    assert whole.finished
    assert not cut.finished
    assert whole.warnings() == []
    assert "cut off" in cut.warnings()[0]


def test_the_limit_of_outputs_is_said(seed: int) -> None:
    assert untrained().length_limit() == "0.5 tokens for each of its source, and 10 more"
    learnt = replace(SMALL, positions="learned", max_length=9)
    run = untrained(encoder="transformer", decoder="transformer", transformer=learnt)
    assert run.length_limit(2.0).endswith(", and 10 more, with any ratio 8 at most, the positions that were learnt")


def test_equal_outputs_are_equal(seed: int) -> None:
    run = untrained(attention="luong")
    (one,), (same,), (other,) = (
        run.candidates(["abc"], beam=1),
        run.candidates(["abc"], beam=1),
        run.candidates(["b"], beam=1),
    )
    assert one == same
    assert one != other
    assert [other, one].index(same) == 1


def test_progress_is_told_every_text_once(toy, words: list[str]) -> None:
    told: list[int] = []
    Run.load(toy.run).candidates(words, batch_size=7, progress=told.append)
    assert sum(told) == len(words)
    assert len(told) == 5


# Errors


@pytest.mark.parametrize("made", [True, False])
def test_what_is_not_a_run_directory_is_told(tmp_path: Path, made: bool) -> None:
    path = tmp_path / "elsewhere"
    if made:
        path.mkdir()
    makes = "`attentio train` makes one"
    made_one = f"{path} is not a run directory: it has no config.yaml; {makes}"
    missing = f"{path}: no such run; {makes}, and `attentio models` lists those that come along"
    assert refused(path) == (made_one if made else missing)


def test_a_run_by_its_name_alone_is_told_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "fr").mkdir(parents=True)
    assert "did you mean" not in refused(Path("fr"))
    (tmp_path / "runs" / "fr" / "config.yaml").touch()
    assert refused(Path("fr")).endswith(f"; did you mean {str(Path('runs') / 'fr')!r}?")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_a_damaged_checkpoint_is_named(copied: Path, damage: Callable[[Path], None]) -> None:
    path = Checkpoints(copied).path("best") / "model.safetensors"
    damage(path)
    assert str(path) in refused(copied)


@pytest.mark.parametrize("name", ["checkpoint.json"])
@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_damaged_facts_are_named(copied: Path, name: str, damage: Callable[[Path], None]) -> None:
    path = Checkpoints(copied).path("best") / name
    damage(path)
    assert str(path) in refused(copied)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_a_damaged_tokenizer_is_named(copied: Path, side: str, damage: Callable[[Path], None]) -> None:
    path = copied / "tokenizer" / f"{side}.json"
    damage(path)
    assert str(path) in refused(copied)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("model", "hidden", 48), ("model", "attention", "bahdanau"), ("model", "cell", "gru"), ("model", "score", "dot")],
)
def test_a_configuration_that_was_altered_does_not_fit(copied: Path, section: str, key: str, value: object) -> None:
    content = yaml.safe_load((copied / "config.yaml").read_text())
    content[section][key] = value
    (copied / "config.yaml").write_text(yaml.safe_dump(content))
    assert re.search(r"does not fit .*/config\.yaml: one of them has been changed since training", refused(copied))


def swap_two_letters(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["tokenizer"]["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_tokenizer_swapped_under_a_model_is_named(copied: Path, side: str) -> None:
    """Trap 33."""
    path = copied / "tokenizer" / f"{side}.json"
    swap_two_letters(path)
    assert refused(copied) == f"{path} has been altered since training; copy it again, or train again"
    assert main(["train", str(copied)]) == 2, "nor does training go on"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_among_the_tokenizers_is_named_and_never_waited_for(copied: Path) -> None:
    """Also where no tokenizer is read from it."""
    path = copied / "tokenizer" / "more.json"
    os.mkfifo(path)
    with pytest.raises(AttentioError, match=re.escape(f"{path}: a pipe or a device")):
        Run.load(copied)


def test_a_setting_that_fits_the_weights_and_changes_what_they_say_is_named(copied: Path) -> None:
    content = yaml.safe_load((copied / "config.yaml").read_text())
    content["text"]["source"]["tokenizer"] = "whitespace"
    (copied / "config.yaml").write_text(yaml.safe_dump(content))
    assert 'text.source.tokenizer was "char" and is "whitespace"; set it back' in refused(copied)


def test_runs_made_before_there_were_sums_and_settings_of_decoding_still_open(copied: Path) -> None:
    expected = Run.load(copied).translate(["abcd"])[0].text
    path = Checkpoints(copied).path("best") / "checkpoint.json"
    facts = json.loads(path.read_text())
    assert set(facts.pop("tokenizer_sha256")) == {"source.json", "target.json"}
    assert facts.pop("config")
    path.write_text(json.dumps(facts))
    content = yaml.safe_load((copied / "config.yaml").read_text())
    content["decoding"]["batch_size"] = 7
    (copied / "config.yaml").write_text(yaml.safe_dump(content))
    assert Run.load(copied).translate(["abcd"])[0].text == expected


def test_a_run_that_has_no_checkpoint_yet_is_told(copied: Path) -> None:
    (copied / "best").unlink()
    shutil.rmtree(copied / "checkpoints")
    assert "best is missing, and no checkpoint in" in refused(copied)


def test_the_last_checkpoint_can_be_asked_for(toy) -> None:
    assert Run.load(toy.run, checkpoint="last").translate(["ab"])[0].tokens[-1] == "</s>"


def test_outputs_keep_to_the_positions_that_were_learnt(seed: int) -> None:
    learnt = replace(SMALL, positions="learned", max_length=9)
    run = untrained(encoder="transformer", decoder="transformer", transformer=learnt)
    outputs = run.translate(["abcdefgh", "hg", "bad cafe"])
    assert all(len(output.tokens) <= 9 for output in outputs)


TRANSFORMER = {"encoder": "transformer", "decoder": "transformer"}


def test_a_translation_has_the_same_numbers_whenever_it_is_asked_for(seed: int) -> None:
    run, words = untrained(**TRANSFORMER), ["abcd", "h", "bad cafe"]
    before = run.translate(words)
    assert len(run.candidates(words * 20, batch_size=1)) == 60
    for one, other in zip(before, run.translate(words), strict=True):
        assert (one.text, one.score) == (other.text, other.score)
        assert torch.equal(one.attention, other.attention)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_one_feature_of_a_state_is_enough(cell: str) -> None:
    (found,) = untrained(attention="luong", hidden=1, encoder_hidden=None, cell=cell).candidates(["abc"], beam=2)
    assert found
