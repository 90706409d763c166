"""What a run records around its attentions is what its model computes when it decodes."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from untrained_runs import SMALL, untrained

from attentio.capturing.seen import Seen
from attentio.page import walk as walks_of_pages
from attentio.page.page import view
from attentio.page.walk import Stage, Walk
from attentio.runs.inspected import Inspected

RECURRENT = [
    {"attention": "bahdanau", "cell": "gru"},
    {"attention": "delayed", "score": "dot"},
    {"attention": "luong", "score": "general", "encoder": "transformer"},
    {"attention": "luong", "score": "concat", "local": "p", "window": 2, "input_feeding": False},
    {"attention": "luong", "score": "location", "reach": 5, "local": "m", "window": 1, "decoder_layers": 2},
]
PRE_NORM = SMALL.__class__(**vars(SMALL) | {"pre_norm": True, "activation": "swiglu", "norm": "rms"})
TRANSFORMERS = [
    {"encoder": "transformer", "decoder": "transformer", "encoder_layers": 2, "decoder_layers": 2},
    {"decoder": "transformer", "transformer": PRE_NORM},
]
close = torch.testing.assert_close
TOLERANCE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


def vectors(stage: Stage) -> dict[str, torch.Tensor]:
    return {each.symbol: each.numbers.double() for each in stage.vectors}


def stages(walk: Walk) -> dict[str, dict[str, torch.Tensor]]:
    return {stage.name: vectors(stage) for stage in (*walk.before, *walk.after)}


def decoded(run: Any, text: str, said: list[int]) -> list[Any]:
    """The steps of a search that finds this output."""
    source = [*run.tokenizers.source.encode(text), run.source_end]
    with torch.inference_mode():
        state = run.model.start(run.model.encode(torch.tensor([source]), torch.tensor([len(source)])))
        steps = []
        for token in [run.begin, *said[:-1]]:
            steps.append(run.model.step(torch.tensor([[token]]), state))
            state = steps[-1].state
    return steps


@pytest.mark.parametrize("model", RECURRENT, ids=str)
def test_a_recurrent_walk_is_the_decoding_of_the_search_step_by_step(seed: int, model: dict[str, Any]) -> None:
    run = untrained(**model)
    (output,) = run.translate(["abcdefgh ab"])
    inspected = run.inspect("abcdefgh ab")
    walk = inspected.walks[-1]
    steps = decoded(run, "abcdefgh ab", output.ids)
    there, decoder = stages(walk), run.model.decoder

    # The equation by hand, from what the walk has of it.
    one, v = walk.comparison, walk.comparison.vector
    query, key, value = one.query.double(), one.key.double(), one.value.double()
    if one.kind == "additive":
        scores = torch.tensor([[(v.double() * (q + k).tanh()).sum() for k in key] for q in query])
    else:
        scores = query[:, : len(key)] if one.kind == "location" else query @ key.T
    close(one.scores.double(), scores, **TOLERANCE)
    allowed = torch.ones_like(scores).bool() if one.allowed is None else one.allowed
    weights = scores.masked_fill(~allowed, float("-inf")).softmax(1).nan_to_num(0)
    if one.window is not None and model["local"] == "p":
        keys = torch.arange(len(key))
        gaussian = torch.exp(-((keys - one.window.centre.double()[:, None]) ** 2) / (2 * (model["window"] / 2) ** 2))
        close(one.window.decay.double(), gaussian * allowed, **TOLERANCE)
        weights = weights * gaussian
    close(weights.float(), torch.cat([step.weights[0] for step in steps]), **TOLERANCE)
    close(weights.float(), output.attention, **TOLERANCE)

    # What surrounds it.
    context = next(numbers for symbol, numbers in there[walk.after[-1].name].items() if symbol[0] in "ca")
    close(context, weights @ value, **TOLERANCE)
    state = torch.cat([step.state.layers[-1][0][0] for step in steps]).double()
    close(there["states" if model.get("decoder_layers") == 2 else "state"]["sₜ"], state, **TOLERANCE)
    embedded = decoder.embedding(torch.tensor([run.begin, *output.ids[:-1]])).double()
    close(there["read"]["xₜ"], embedded)
    features = list(there[walk.after[-1].name].values())[-1]
    close(decoder.output(features.float()), torch.cat([step.logits[0] for step in steps]), **TOLERANCE)
    check_words(inspected, walk, decoder.output.out_features)
    following = vectors(walk.back)
    close(following["xₜ₊₁"], embedded[1:])
    if decoder.context == "both":
        close(following["h̃ₜ"], features[:-1])
        entering = next(numbers for stage, numbers in there.items() if stage.startswith("state"))
        close(entering["h̃ₜ₋₁"], torch.cat([torch.zeros_like(features[:1]), features[:-1]]))


def check_words(inspected: Inspected, walk: Walk, size: int) -> None:
    """Its probabilities are those of the alternatives, which are the model's."""
    assert walk.read == ["<s>", *inspected.target_tokens[:-1]]
    assert walk.words.size == size
    for said, listed, log_sum, alternatives in zip(
        inspected.target_tokens, walk.words.tokens, walk.words.log_sum, inspected.alternatives, strict=True
    ):
        chances = {token: torch.tensor(logit - log_sum).exp().item() for token, logit in listed}
        assert said in chances
        for token, chance in alternatives:
            assert chances[token] == pytest.approx(chance, abs=1e-6)


@pytest.mark.parametrize("model", TRANSFORMERS, ids=str)
def test_a_transformers_walks_lead_from_the_embedding_to_the_logits(seed: int, model: dict[str, Any]) -> None:
    run = untrained(**model)
    (output,) = run.translate(["abcdef"])
    inspected = run.inspect("abcdef")
    names = [walk.attention for walk in inspected.walks]
    assert names == [one.name for one in inspected.seen]
    stack = run.model.decoder.stack
    own = [walk for walk in inspected.walks if walk.attention.startswith("decoder")]
    stream = vectors(own[0].before[0])["x"]
    for walk in own:
        block = stack.blocks[int(walk.attention.split(".")[3])]
        cross = walk.attention.endswith("cross_attention")
        attention = block.cross_attention if cross else block.self_attention
        norm = block.cross_attention_norm if cross else block.self_attention_norm
        there = stages(walk)
        close(vectors(walk.before[0])["x"], stream, **TOLERANCE)
        # The heads' contexts from what was captured of them, in float16.
        seen = inspected.seen.of(walk.attention)[0]
        heads = (seen.weights[0].double() @ seen.value[0].double()).transpose(0, 1).flatten(1)
        close(there["heads"]["a"], attention.output(heads.float()).double(), rtol=2e-2, atol=2e-2)
        summed = stream + there["heads"]["a"]
        stream = summed if block.pre_norm else norm(summed.float()).double()
        if cross:
            read = block.feed_forward_norm(stream.float()).double() if block.pre_norm else stream
            close(there["fed_forward"]["f"], block.feed_forward(read.float()).double(), **TOLERANCE)
            summed = stream + there["fed_forward"]["f"]
            stream = summed if block.pre_norm else block.feed_forward_norm(summed.float()).double()
            close(list(vectors(walk.after[-1]).values())[-1], stream, **TOLERANCE)
    features = stream.float() if stack.final_norm is None else stack.final_norm(stream.float())
    steps = decoded(run, "abcdef", output.ids)
    close(run.model.output(features), torch.cat([step.logits[0] for step in steps]), rtol=1e-3, atol=1e-4)
    assert [walk.words is not None for walk in own] == [False] * (len(own) - 1) + [True]
    check_words(inspected, own[-1], run.model.output.out_features)


def test_a_language_models_walks_are_those_of_its_rows_and_then_of_all(seed: int) -> None:
    run = untrained(type="masked-lm", encoder_layers=2)
    inspected = run.inspect("ab[MASK]d")
    assert [(walk.call, walk.words is not None) for walk in inspected.walks] == [
        (0, False),
        (0, True),
        (1, False),
        (1, False),
    ]
    rows, whole = inspected.walks[1], inspected.walks[3]
    assert (rows.read, whole.read) == (["<mask>"], inspected.tokens)
    for few, all_of in zip(stages(rows).values(), stages(whole).values(), strict=True):
        for symbol, numbers in few.items():
            close(numbers, all_of[symbol][inspected.rows])
    run = untrained(type="causal-lm", decoder_layers=1)
    inspected = run.inspect("abc", max_tokens=3)
    walk = inspected.walks[0]
    assert walk.read == [inspected.tokens[row] for row in inspected.rows]
    assert len(vectors(walk.back)["xₜ₊₁"]) == len(inspected.rows) - 1


def payload(inspected: Inspected) -> Any:
    html = inspected.page(language="en").html
    return json.loads(html.split('id="attentio-payload">')[1].split("</script>")[0])


def test_a_page_leaves_out_walks_that_are_too_large_and_says_so(
    seed: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inspected = untrained(attention="bahdanau").inspect("abc")
    (walk,) = inspected.walks
    whole = payload(inspected)
    assert whole["groups"][0]["entries"][0]["walk"]["codes"] == walk.codes
    assert "notes.walks" not in {note["key"] for note in whole["notes"]}
    monkeypatch.setattr(walks_of_pages, "WALK_NUMBERS", 100)
    without = payload(inspected)
    assert without["groups"][0]["entries"][0]["walk"] is None
    assert without["notes"][-1]["key"] == "notes.walks"
    assert "left out" in caplog.text
    assert payload(replace(inspected, walks=None))["notes"] == without["notes"], "a text was too long for them"


def test_what_several_lines_show_is_in_a_page_once(seed: int) -> None:
    inspected = untrained(encoder="transformer", decoder="transformer").inspect("abc")
    cross = payload(inspected)["groups"][-1]["entries"][0]["walk"]
    added = cross["after"][1]["vectors"]
    assert cross["before"][0]["vectors"][0]["blob"] == added[0]["blob"]
    assert added[-1]["blob"] == cross["after"][2]["vectors"][0]["blob"]


def test_walks_that_do_not_belong_to_what_was_seen_are_refused(seed: int) -> None:
    inspected = untrained(attention="bahdanau").inspect("abc")
    tokens = {"tokens": inspected.tokens, "target_tokens": inspected.target_tokens}
    (walk,) = inspected.walks
    with pytest.raises(ValueError, match=r"attentions that were seen, got \[\('decoder.attention', 3\)\]"):
        view(inspected.seen, **tokens, walks=[replace(walk, call=3)])
    (one,) = inspected.seen
    parts = dict.fromkeys(("query", "key", "value", "scores", "allowed"))
    twice = Seen([replace(one, weights=one.weights.expand(2, -1, -1, -1), **parts)])
    with pytest.raises(ValueError, match="one sequence, got a batch of 2"):
        view(twice, **{name: [each, each] for name, each in tokens.items()}, walks=[walk])
