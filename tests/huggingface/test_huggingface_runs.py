"""Directories of Hugging Face at work: what attentio makes of them is what transformers makes of them."""

import json
import math
from pathlib import Path

import pytest
import torch
from huggingface_models import SPECIAL, WORDS, bert, gpt2, marian, saved
from transformers import pipeline

from attentio.commands.main import main
from attentio.decoding.sampling import Sampling
from attentio.runs.filler import MaskedRun
from attentio.runs.generator import CausalRun
from attentio.runs.load import load
from attentio.runs.translator import Run


def test_bert_fills_holes_as_the_pipeline_does(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = saved(bert(), tmp_path, before="[CLS]", after="[SEP]")
    text = "w3 [MASK] w7 w1 [MASK]"
    theirs = pipeline("fill-mask", model=str(tmp_path), tokenizer=tokenizer, top_k=31)(text)
    run = load(tmp_path)
    assert isinstance(run, MaskedRun)
    for hole, expected in zip(run.fill(text, top=5), theirs, strict=True):
        # The pipeline says special tokens too. [START] has no role here, so it is ordinary.
        ordinary = [one for one in expected if one["token_str"] not in SPECIAL[:5]][:5]
        assert [one.token for one in hole] == [one["token_str"] for one in ordinary]
        assert [one.probability for one in hole] == pytest.approx([one["score"] for one in ordinary], abs=1e-4)
    capsys.readouterr()
    assert main(["fill", str(tmp_path), "w3 [MASK] w7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["holes"][0][0]["token"] not in SPECIAL[:5]


def test_gpt2_goes_on_as_generate_does(seed: int, tmp_path: Path) -> None:
    theirs = gpt2()
    tokenizer = saved(theirs, tmp_path)
    run = load(tmp_path)
    assert isinstance(run, CausalRun)
    prompt = "w3 w1 w4"
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    assert ids[0].tolist() == run.encode(prompt), "nothing is put before a text"
    with torch.no_grad():
        expected = theirs.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=9,
            do_sample=False,
            repetition_penalty=1.7,
            suppress_tokens=[0, 1, 2, 4],
            pad_token_id=0,
        )
    (found,) = run.generate(prompt, Sampling(temperature=0.0, repetition_penalty=1.7), max_tokens=9)
    assert found.tokens == tokenizer.convert_ids_to_tokens(expected[0, 3:].tolist())


def test_gpt2_is_measured_as_its_own_loss_says(seed: int, tmp_path: Path) -> None:
    theirs = gpt2()
    tokenizer = saved(theirs, tmp_path)
    documents = ["w3 w1 w4", "w1 w5 w9 w2 w6", "w0"]
    (tmp_path / "data.txt").write_text("\n".join(documents))
    nats, tokens = 0.0, 0
    for document in documents:
        ids = torch.tensor([[3, *tokenizer(document).input_ids, 3]])
        with torch.no_grad():
            nats += float(theirs(ids, labels=ids).loss) * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    assert main(["evaluate", str(tmp_path), "--data", str(tmp_path / "data.txt")]) == 0
    scores = json.loads((tmp_path / "evaluation" / "scores.json").read_text())["scores"]
    assert math.log(scores[0]["value"]) == pytest.approx(nats / tokens, rel=1e-4)


def test_bert_has_a_pseudo_perplexity(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = bert()
    tokenizer = saved(theirs, tmp_path, before="[CLS]", after="[SEP]")
    (tmp_path / "data.txt").write_text("w3 w1 w4 w8\n")
    ids = tokenizer("w3 w1 w4 w8", return_tensors="pt").input_ids
    nats = 0.0
    for place in range(1, 5):
        holed = ids.clone()
        holed[0, place] = 4
        with torch.no_grad():
            nats -= float(theirs(holed).logits[0, place].log_softmax(-1)[ids[0, place]])
    words = ["evaluate", str(tmp_path), "--data", str(tmp_path / "data.txt")]
    assert main([*words, "--pseudo-perplexity", "9"]) == 0
    (score,) = json.loads((tmp_path / "evaluation" / "scores.json").read_text())["scores"]
    assert math.log(score["value"]) == pytest.approx(nats / 4, rel=1e-4)
    assert main(words) == 2
    assert "give --pseudo-perplexity N" in capsys.readouterr().err


def test_data_to_measure_on_must_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(gpt2(), tmp_path)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "names no data that it was not trained on; give --data FILE" in capsys.readouterr().err


def test_marian_translates_as_generate_does(seed: int, tmp_path: Path) -> None:
    theirs = marian()
    theirs.generation_config.bad_words_ids = [[0], [1], [2], [4], [5]]
    tokenizer = saved(theirs, tmp_path, after="[SEP]")
    run = load(tmp_path)
    assert isinstance(run, Run)
    text = "w3 w1 w4 w1"
    batch = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        expected = theirs.generate(
            batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=17, num_beams=1, do_sample=False
        )
    (found,) = run.translate([text], beam=1)
    tokens = tokenizer.convert_ids_to_tokens(expected[0, 1:].tolist())
    assert found.tokens[: len(tokens) - 1] == tokens[:-1]
    assert found.source_tokens == ["w3", "w1", "w4", "w1", "[SEP]"]


def test_what_starts_the_decoder_is_never_said(seed: int, tmp_path: Path) -> None:
    theirs = marian()
    with torch.no_grad():
        theirs.final_logits_bias[0, 5] = 1e4  # all that it would say, if it could
    saved(theirs, tmp_path, after="[SEP]")
    run = load(tmp_path)
    assert isinstance(run, Run)
    (found,) = run.translate(["w3 w1 w4 w1"])
    assert "[START]" not in found.tokens


@pytest.mark.parametrize("kind", ["causal", "masked", "pairs"])
def test_rows_of_a_model_beyond_its_tokenizer_are_never_said(seed: int, tmp_path: Path, kind: str) -> None:
    """Vocabularies are padded to a round number; of those rows no tokenizer makes text."""
    entries, beyond = len(SPECIAL) + len(WORDS), 9
    theirs = {"causal": gpt2, "masked": bert, "pairs": marian}[kind](vocab_size=entries + beyond)
    bias = {"masked": "cls.predictions.bias", "pairs": "final_logits_bias"}.get(kind)
    with torch.no_grad():
        if bias is None:
            theirs.transformer.wte.weight[entries:] *= 30
        else:
            theirs.state_dict()[bias][..., entries:] = 1e4
    saved(theirs, tmp_path, before="[CLS]" * (kind == "masked"), after="[SEP]" * (kind != "causal"))
    run = load(tmp_path)
    if isinstance(run, CausalRun):
        tokens = [token for output in run.generate("w3", samples=9, max_tokens=9, seed=seed) for token in output.tokens]
    elif isinstance(run, MaskedRun):
        tokens = [one.token for one in run.fill("w3 [MASK] w1", top=99)[0]]
    else:
        (output,) = run.translate(["w3 w1 w4 w1"])
        tokens = output.tokens
    assert set(tokens) <= {*WORDS, "[START]", "[CLS]", "[SEP]"}
    assert run.inspect("w3 [MASK] w1" if kind == "masked" else "w3").tokens
