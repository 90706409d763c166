"""Several runs together: the mean of their log-probabilities and of their attention; what does not fit is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from untrained_runs import LETTERS, untrained

import attentio as at
from attentio.decoding.forced import forced_steps
from attentio.errors import AttentioError
from attentio.runs.build import Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.ensemble import ensemble_of
from attentio.text.tokenizer import Tokenizer

DATES = ["dates-luong", "dates-bahdanau", "dates-transformer"]
KINDS: list[dict[str, Any]] = [
    {"attention": "bahdanau"},
    {"attention": "luong", "input_feeding": True},
    {"encoder": "transformer", "decoder": "transformer"},
    {"attention": "none"},
]
TEXTS = ["abc", "hgfedcba", "a", "안녕 b"]


def contents(run: at.Run, name: str = "untrained") -> Contents:
    return Contents(Path(name), run.config, run.tokenizers, run.model)


def together(*runs: at.Run) -> at.Run:
    return at.Run.of(ensemble_of([contents(run) for run in runs]))


@pytest.fixture
def members(seed: int) -> list[at.Run]:
    return [untrained(**kind) for kind in KINDS]


def test_a_model_with_itself_answers_as_it_does_alone(members: list[at.Run]) -> None:
    for run in members:
        alone, twice = run.candidates(TEXTS, n_best=3), together(run, run).candidates(TEXTS, n_best=3)
        for ones, others in zip(alone, twice, strict=True):
            assert [one.text for one in ones] == [other.text for other in others]
            assert [one.score for one in ones] == pytest.approx([other.score for other in others], abs=1e-4)


@pytest.mark.parametrize("kind", ["hard", "hard-monotonic", "transducer"])
def test_attention_that_all_of_the_output_tells_is_the_mean_of_the_members(kind: str, seed: int) -> None:
    one, other, plain = untrained(attention=kind), untrained(attention=kind), untrained(attention="luong")
    twice = together(one, one)
    (alone,), (same,) = (run.candidates(["hgfedc"], beam=2)[0][:1] for run in (one, twice))
    torch.testing.assert_close(same.attention, alone.attention, atol=1e-5, rtol=0)
    members, pairs = [one, other, plain], [("hgfedc", "bad"), ("a", "fed")]
    aligned = [run.align(pairs) for run in (*members, together(*members))]
    for *each, mean in zip(*aligned, strict=True):
        expected = torch.stack([found.attention for found in each]).mean(0)
        torch.testing.assert_close(mean.attention, expected, atol=1e-5, rtol=0)


def test_no_runs_are_none() -> None:
    with pytest.raises(AttentioError, match="no run was given; name a directory"):
        at.load([])


@pytest.mark.parametrize("beam", [1, 4])
def test_the_score_is_that_of_the_averaged_log_probabilities(members: list[at.Run], beam: int) -> None:
    run = together(*members)
    for text in TEXTS:
        (output,) = run.translate([text], beam=beam)
        source = torch.tensor([[*run.tokenizers.source.encode(text), run.source_end]])
        target = torch.tensor([output.ids])
        log_probs, weights = [], []
        for member in members:
            state = member.model.start(member.model.encode(source, torch.tensor([source.shape[1]])))
            with torch.no_grad():
                steps = list(forced_steps(member.model, state, target, begin=run.begin))
            log_probs.append(torch.cat([step.logits for step in steps], dim=1)[0].double().log_softmax(-1))
            weights += [torch.cat([step.weights[0] for step in steps])] if steps[0].weights is not None else []
        mean = torch.stack(log_probs).mean(0)
        mean = mean - mean.logsumexp(-1, keepdim=True)
        expected = mean.gather(1, target.T).sum() / ((5 + len(output.ids)) / 6)
        assert output.score == pytest.approx(float(expected), abs=1e-4)
        assert len(weights) == 3, "the plain decoder has none"
        torch.testing.assert_close(output.attention, torch.stack(weights).mean(0), atol=1e-5, rtol=0)


def test_outputs_do_not_depend_on_what_else_is_in_the_batch(members: list[at.Run]) -> None:
    """Of two hypotheses that are as probable as each other, either may be the best."""
    run = together(*members)
    for text, one in zip(TEXTS, run.translate(TEXTS), strict=True):
        best = run.candidates([text], n_best=2)[0]
        assert one.score == pytest.approx(best[0].score, abs=1e-4)
        assert one.text in [other.text for other in best if other.score > best[0].score - 1e-4]


@pytest.mark.parametrize("names", [DATES, ",".join(DATES)])
def test_several_runs_are_opened_by_a_list_or_with_commas(names: str | list[str]) -> None:
    run = at.load(names)
    assert isinstance(run, at.Run)
    assert len(run.members) == 3
    assert "3 models together" in repr(run)
    assert run.translate(["14 March 2026"])[0].text == "2026-03-14"


def test_a_path_that_is_there_is_one_run_in_spite_of_its_comma(toy, tmp_path: Path) -> None:
    place = tmp_path / "a,b"
    place.symlink_to(toy.run, target_is_directory=True)
    assert len(at.load(place).members) == 1
    assert len(at.load([place, toy.run]).members) == 2


def refused(*runs: Contents) -> str:
    with pytest.raises(AttentioError) as error:
        ensemble_of(runs)
    return str(error.value)


def test_what_does_not_fit_together_is_refused_in_one_line(seed: int) -> None:
    one, other = untrained(attention="luong"), untrained(attention="luong")
    more = Tokenizer.train([LETTERS + "z"], kind="char")
    source = contents(other, "b")._replace(tokenizers=Tokenizers(more, other.tokenizers.target))
    assert refused(contents(one, "a"), source).startswith("a and b have different source vocabularies")
    target = contents(other, "b")._replace(tokenizers=Tokenizers(other.tokenizers.source, more))
    assert refused(contents(one, "a"), target).startswith("a and b have different target vocabularies")
    config = replace(other.config, text=replace(other.config.text, normalize="none"))
    assert "different text.normalize" in refused(contents(one, "a"), contents(other, "b")._replace(config=config))
    causal = untrained(type="causal-lm")
    strange = Contents(Path("c"), causal.config, Tokenizers(causal.tokenizer, causal.tokenizer), causal.model)
    assert refused(contents(one, "a"), strange) == (
        "c holds a model of type causal-lm; only encoder-decoders answer together"
    )


def test_only_what_all_were_not_trained_on_is_measured_on(seed: int) -> None:
    one, other = untrained(attention="luong"), untrained(attention="luong")
    config = replace(one.config, data=replace(one.config.data, train="x", test="t.tsv", dev="d.tsv"))
    ours = contents(one)._replace(config=config)
    theirs = contents(other)._replace(config=replace(config, data=replace(config.data, dev="e.tsv")))
    assert ensemble_of([ours, theirs]).config.data == replace(config.data, train="", dev=None)


def test_commands_take_several_runs_and_those_that_cannot_say_so(toy, attentio: Callable, tmp_path: Path) -> None:
    names = f"{toy.run},{toy.run}"
    alone = attentio("translate", toy.run, given=b"abc\nfed\n")
    assert attentio("translate", names, given=b"abc\nfed\n").out == alone.out
    measured = attentio("evaluate", names, "--data", toy.dev, "--out", tmp_path)
    assert measured.code == 0
    looked = attentio("look", names, "abc", "--out", tmp_path / "abc.svg")
    assert "the mean of what 2 models look at" in looked.out
    assert attentio("align", names, given=b"abc\tcba\n").out == attentio("align", toy.run, given=b"abc\tcba\n").out
    for words in (["serve", names], ["export", names, "--to", "bundle"], ["models", names]):
        assert "several runs, where one is needed" in attentio(*words).err
    for words in (["look", names, "abc", "--out", tmp_path / "a.html"], ["align", names, "--layer", "1"]):
        told = attentio(*words, given=b"abc\tcba\n")
        assert (told.code, told.err.count("\n")) == (2, 1)
        assert "these are several" in told.err
    assert "a comma with no run beside it" in attentio("translate", f"{toy.run},", given=b"abc\n").err
