"""What a run did with a text, laid open: the attention is that of the output, row by row."""

import json
import re

import pytest
import torch
from untrained_runs import SMALL, untrained

from attentio.errors import AttentioError
from attentio.runs.inspected import Inspected
from attentio.runs.translator import Run

RECURRENT = [
    {"attention": "bahdanau"},
    {"attention": "delayed", "score": "dot"},
    {"attention": "luong", "input_feeding": False},
    {"attention": "luong", "score": "concat", "local": "p", "window": 2},
    {"attention": "luong", "local": "m", "window": 1, "input_feeding": False},
    {"attention": "luong", "score": "location"},
    {"attention": "luong", "encoder": "transformer"},
    {"attention": "hard"},
    {"attention": "hard-monotonic", "order": 1, "window": 2, "encoder": "transformer"},
    {"attention": "transducer"},
    {"attention": "bahdanau", "normalize": "entmax"},
    {"attention": "luong", "local": "p", "window": 3, "normalize": "sparsemax"},
]
TRANSFORMERS = [
    {"decoder": "transformer", "normalize": "sparsemax"},
    {"encoder": "transformer", "decoder": "transformer", "decoder_layers": 2},
]
HALF = 2e-3  # of a weight, in float16


@pytest.mark.parametrize("model", [*RECURRENT, *TRANSFORMERS], ids=str)
def test_row_t_is_the_attention_that_produced_token_t_of_the_translation(seed: int, model: dict[str, object]) -> None:
    run = untrained(**model)
    for text in ("abcdefgh ab", "h"):
        (output,) = run.translate([text])
        inspected = run.inspect(text)
        assert inspected.text == output.text
        assert (inspected.tokens, inspected.target_tokens) == (output.source_tokens, output.tokens)
        last = [one for one in inspected.seen if one.kind == "cross"][-1]
        assert len(inspected.seen.of(last.name)) == 1
        torch.testing.assert_close(last.dense()[0].float().mean(0), output.attention, atol=HALF, rtol=0)


def test_alternatives_are_the_most_probable_tokens_and_include_the_one_produced(seed: int) -> None:
    run = untrained(attention="bahdanau")
    (output,) = run.translate(["abcd"])
    inspected = run.inspect("abcd")
    assert inspected.alternatives is not None
    log_prob = 0.0
    for produced, listed in zip(output.tokens, inspected.alternatives, strict=True):
        chances = [each.probability for each in listed]
        assert chances == sorted(chances, reverse=True)
        assert not {each.token for each in listed} & {"<pad>", "<s>", "<unk>"}
        log_prob += torch.tensor(dict(listed)[produced]).log()
    # The search divides by ((5 + |Y|) / 6) ** 1.
    assert log_prob / ((5 + len(output.tokens)) / 6) == pytest.approx(output.score, abs=1e-4)


def test_every_layer_head_and_part_of_a_transformer_is_there(seed: int) -> None:
    run = untrained(encoder="transformer", decoder="transformer", encoder_layers=2, decoder_layers=2)
    inspected = run.inspect("abcde")
    target = len(inspected.target_tokens)
    kinds = [(one.kind, tuple(one.weights.shape)) for one in inspected.seen]
    layer = [("self", (1, 3, target, target)), ("cross", (1, 3, target, 6))]
    assert kinds == [("self", (1, 3, 6, 6))] * 2 + layer * 2
    assert all(one.query is not None and one.scores is not None for one in inspected.seen)
    assert inspected.decoder_tokens == ["<s>", *inspected.target_tokens[:-1]]


def test_long_texts_are_seen_without_their_parts(seed: int) -> None:
    inspected = untrained(encoder="transformer", decoder="transformer").inspect("ab" * 150)
    assert all(one.query is None for one in inspected.seen)
    assert inspected.walks is None


def test_a_model_without_attention_has_nothing_to_be_seen(seed: int) -> None:
    with pytest.raises(AttentioError, match="untrained was trained without attention"):
        untrained(attention="none").inspect("abc")


def test_a_masked_model_shows_how_it_reads_a_text_and_what_it_fills_in(seed: int) -> None:
    run = untrained(type="masked-lm", encoder_layers=2)
    inspected = run.inspect("ab[MASK]d")
    assert inspected.tokens == ["<s>", "a", "b", "<mask>", "d", "</s>"]
    assert inspected.text == run.fill("ab[MASK]d")[0][0].text
    assert (inspected.rows, len(inspected.target_tokens)) == ([3], 1)
    best = run.fill("ab[MASK]d")[0]
    assert inspected.target_tokens == [best[0].token]
    for (token, probability), candidate in zip(inspected.alternatives[0], (c for c in best), strict=False):
        assert (token, probability) == (candidate.token, pytest.approx(candidate.probability, abs=1e-5))
    _, weights = run.attention("ab[MASK]d")
    seen = torch.stack([one.dense()[0] for one in inspected.seen])
    torch.testing.assert_close(seen.float(), weights, atol=HALF, rtol=0)
    assert (run.inspect("abd").text, run.inspect("abd").rows) == ("abd", None)


def test_a_causal_model_shows_how_it_reads_a_text(seed: int) -> None:
    run = untrained(type="causal-lm", decoder_layers=2)
    inspected = run.inspect("abcd")
    assert inspected.tokens == ["<s>", *"abcd"]
    assert inspected.target_tokens is None
    seen = torch.stack([one.dense()[0] for one in inspected.seen])
    torch.testing.assert_close(seen.float(), run.attention("abcd").weights, atol=HALF, rtol=0)


@pytest.mark.parametrize("kind", ["causal-lm", "masked-lm"])
def test_a_damaged_model_that_only_reads_a_text_is_refused_and_not_shown(seed: int, kind: str) -> None:
    run = untrained(type=kind, **{"encoder_layers" if kind == "masked-lm" else "decoder_layers": 2})
    last = [parameter for parameter in run.model.stack.parameters() if parameter.ndim == 1][-1]
    with torch.no_grad():
        last.fill_(float("nan"))
    with pytest.raises(AttentioError, match="logits are not finite; its weights are damaged"):
        run.inspect("abcd")


@pytest.mark.parametrize("window", [None, 2])
def test_a_text_gone_on_with_has_a_row_for_each_token_produced(seed: int, window: int | None) -> None:
    run = untrained(type="causal-lm", transformer=SMALL.__class__(**vars(SMALL) | {"window": window}))
    inspected = run.inspect("abc", max_tokens=5)
    produced = inspected.target_tokens
    assert inspected.text == "abc" + "".join(token for token in produced if token != "</s>")
    assert inspected.tokens == ["<s>", *"abc", *produced[:-1]]
    assert inspected.rows == list(range(3, 3 + len(produced)))
    (seen,) = inspected.seen
    weights = run.attention("abc" + "".join(produced[:-1])).weights
    torch.testing.assert_close(seen.dense().float(), weights, atol=HALF, rtol=0)
    for token, listed in zip(produced, inspected.alternatives, strict=True):
        assert listed[0].token == token, "it went on greedily"


PAYLOAD = re.compile(r'<script type="application/json" id="attentio-payload">(.*?)</script>', re.DOTALL)


def groups(inspected: Inspected) -> list[tuple[str, int, int, str]]:
    found = json.loads(PAYLOAD.search(inspected.page(language="ko").html)[1])["groups"]
    return [(each["kind"], each["queries"], each["keys"], each["queryTokens"]) for each in found]


def test_a_page_shows_all_of_a_translation(seed: int) -> None:
    inspected = untrained(encoder="transformer", decoder="transformer").inspect("abc")
    target = len(inspected.target_tokens)
    assert groups(inspected) == [
        ("self", 4, 4, "source"),
        ("self", target, target, "target"),
        ("cross", target, 4, "target"),
    ]


def test_a_page_of_a_language_model_shows_first_the_rows_that_produced_something(seed: int) -> None:
    run = untrained(type="masked-lm", encoder_layers=2)
    assert groups(run.inspect("abc")) == [("self", 5, 5, "source")]
    assert groups(run.inspect("a[MASK]bc[MASK]")) == [("self", 2, 7, "target"), ("self", 7, 7, "source")]
    run = untrained(type="causal-lm")
    assert groups(run.inspect("abc")) == [("self", 4, 4, "source")]
    inspected = run.inspect("abc", max_tokens=3)
    produced, length = len(inspected.target_tokens), len(inspected.tokens)
    assert groups(inspected) == [("self", produced, length, "target"), ("self", length, length, "source")]


def test_a_trained_run_looks_where_its_translation_says(toy) -> None:
    run = Run.load(toy.run)
    (output,) = run.translate(["abcd"])
    (seen,) = run.inspect("abcd").seen
    torch.testing.assert_close(seen.dense()[0, 0].float(), output.attention, atol=HALF, rtol=0)
