"""What a run tells of its output besides its attention: by copying, by erasing, by gradients, layer by layer."""

import html
import itertools
import json
from typing import Any

import pytest
import torch
from torch import Tensor
from untrained_runs import untrained

from attentio.attention.call import Attended
from attentio.runs import evidence as evidence_of_runs
from attentio.runs.asked import Asked
from attentio.runs.contexts import Change, through
from attentio.runs.inspected import Inspected
from attentio.text.tokenizer import Tokenizer

WORDS = {"tokenizer": Tokenizer.train(["a b c d e"], kind="whitespace"), "attention": "bahdanau", "copy": True}
KINDS: list[tuple[dict[str, Any], str]] = [
    ({"encoder": "transformer", "decoder": "transformer", "decoder_layers": 2}, "abcde"),
    ({"encoder": "transformer", "attention": "luong"}, "abcde"),
    (WORDS | {"coverage": True}, "a x b x y"),
    ({"attention": "luong", "local": "p", "window": 1, "input_feeding": False}, "abcde"),
    ({"type": "masked-lm", "encoder_layers": 2}, "ab[MASK]d"),
    ({"type": "causal-lm", "decoder_layers": 2}, "abc"),
]


def asked_of(run: Any, inspected: Inspected, text: str) -> Asked:
    """What `inspect` asks of the model, put together by hand."""
    rows = inspected.rows
    if rows is None:
        (output,) = run.translate([text])
        source = run._source_ids([run.read(text)])[0]
        read = torch.tensor([[run.begin, *output.ids[:-1]]])
        inputs: tuple[Tensor, ...] = torch.tensor([source]), torch.tensor([len(source)]), read
        return Asked(run.model, inputs, range(len(output.ids)), output.ids)
    tokens = run.tokenizer.tokens(range(run.tokenizer.size))
    ids, said = ([tokens.index(each) for each in some] for some in (inspected.tokens, inspected.target_tokens or []))
    lengths = [torch.tensor([len(ids)])] if run.config.model.type == "masked-lm" else []
    return Asked(run.model, (torch.tensor([ids]), *lengths), rows, said)


def inspected_of(model: dict[str, Any], text: str) -> tuple[Any, Inspected, Asked]:
    run = untrained(**model)
    inspected = run.inspect(text, max_tokens=4) if model.get("type") == "causal-lm" else run.inspect(text)
    return run, inspected, asked_of(run, inspected, text)


def test_a_copied_token_comes_from_where_the_source_has_it(seed: int) -> None:
    run = untrained(**WORDS)
    (output,), inspected = run.translate(["a x b x y"]), run.inspect("a x b x y")
    assert output.copied is not None
    assert inspected.evidence.copied is not None
    for row, (token, one) in enumerate(zip(output.tokens, inspected.evidence.copied, strict=True)):
        assert one.share == pytest.approx(output.copied[row], abs=1e-5)
        same = [place for place, symbol in enumerate(output.source_tokens) if symbol == token]
        assert [place for place, _ in one.places] == same
        expected = [one.share * float(output.attention[row, place]) for place in same]
        assert [chance for _, chance in one.places] == pytest.approx(expected, abs=1e-5)


def nudged(name: str, row: int, head: int, key: int, value: Tensor, more: float) -> Change:
    """A weight made larger: its value is added to the context, and whatever reads the weight itself sees it."""
    calls = itertools.count()

    def change(attention: str, attended: Attended) -> Attended:
        if attention != name:
            return attended
        context, weights = (None if each is None else each.clone() for each in attended)
        step_by_step, call = context.shape[1] == 1, next(calls)
        if not step_by_step or call == row:
            place = 0 if step_by_step else row
            context[:, place, head * len(value) : (head + 1) * len(value)] += more * value
            if weights is not None:
                weights[:, place, key] += more
        return Attended(context, weights)

    return change


@pytest.mark.parametrize(("model", "text"), KINDS, ids=range(len(KINDS)))
def test_weight_times_gradient_is_what_the_output_loses_to_first_order(
    seed: int, model: dict[str, Any], text: str
) -> None:
    run, inspected, asked = inspected_of(model, text)
    run.model.double()
    for call in inspected.seen:
        found = inspected.evidence.gradients[call.name, 0]
        head, q, key = (int(torch.randint(size, ())) for size in found.shape)
        row = q if inspected.rows is None else inspected.rows[q]
        if hasattr(run.model.get_submodule(call.name), "output"):
            value = call.value[0, head, key].double()
        else:
            value = run.model.encode(*asked.inputs[:2]).outputs[0, key].detach()
        chances = []
        for more in (0.003, -0.003):
            with torch.no_grad(), through(run.model, nudged(call.name, row, head, key, value, more)):
                chances.append(asked.log_probs(asked.inputs)[0])
        slope = (chances[0] - chances[1]) / 0.006
        expected = (slope.sum() if call.name.startswith("encoder") else slope[q]) * call.dense()[0, head, row, key]
        torch.testing.assert_close(found[head, q, key].double(), expected.double(), rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize(("model", "text"), [KINDS[0], *KINDS[4:]], ids=str)
def test_a_head_is_erased_as_if_its_output_were_not_projected(seed: int, model: dict[str, Any], text: str) -> None:
    run, inspected, asked = inspected_of(model, text)
    found = inspected.evidence.heads
    assert found is not None
    with torch.inference_mode():
        torch.testing.assert_close(found.log_probs, asked.log_probs(asked.inputs)[0], rtol=1e-4, atol=1e-4)
    sums = [float(one.log_probs.sum()) for one in found.heads]
    assert sums == sorted(sums)
    assert {(one.attention, one.head) for one in found.heads} == {
        (call.name, head) for call in inspected.seen for head in call.heads
    }
    for one in (found.heads[0], found.heads[-1]):
        output = run.model.get_submodule(one.attention).output
        width = output.weight.shape[1] // 3
        before = output.weight.detach().clone()
        with torch.inference_mode():
            output.weight[:, one.head * width : (one.head + 1) * width] = 0
            torch.testing.assert_close(one.log_probs, asked.log_probs(asked.inputs)[0], rtol=1e-4, atol=1e-4)
            output.weight.copy_(before)


@pytest.mark.parametrize(("model", "text"), [KINDS[0], *KINDS[4:]], ids=str)
def test_a_layer_is_read_off_as_the_last_of_a_shorter_model(seed: int, model: dict[str, Any], text: str) -> None:
    run, inspected, asked = inspected_of(model, text)
    lens = inspected.evidence.lens
    assert lens is not None
    stack = run.model.stack if inspected.rows else run.model.decoder.stack
    assert lens.said == inspected.target_tokens
    blocks = stack.blocks
    for layer in range(2):
        stack.blocks = blocks[: layer + 1]
        with torch.inference_mode():
            chances = asked.log_probs(asked.inputs)[0].exp()
        torch.testing.assert_close(lens.chances[layer], chances, rtol=1e-3, atol=1e-5)
        for place, listed in enumerate(lens.best[layer]):
            for token, chance in listed:
                assert chance == pytest.approx(float(chances[place]), rel=1e-3) or token != lens.said[place]


def test_a_labellers_labels_are_what_it_says(seed: int) -> None:
    run = untrained(type="labeller", labels="words", encoder_layers=2)
    found, (labelled,) = run.inspect("ab cd").evidence, run.label(["ab cd"])
    assert found.heads.said == found.lens.said == labelled.labels
    assert found.lens.read == ["a", "c"]
    torch.testing.assert_close(found.lens.chances[-1], found.heads.log_probs.exp(), rtol=1e-3, atol=1e-5)
    assert all(
        mine <= its + 1e-5 for mine, its in zip(found.lens.chances[-1].tolist(), labelled.probabilities, strict=True)
    )
    assert found.gradients["stack.blocks.1.self_attention", 0].shape == (3, 7, 7)


@pytest.mark.parametrize(("model", "text"), KINDS[4:], ids=str)
def test_a_language_model_loses_what_it_says_without_a_token(seed: int, model: dict[str, Any], text: str) -> None:
    run, inspected, asked = inspected_of(model, text)
    lost = inspected.evidence.erased
    assert lost is not None
    ids, *others = asked.inputs
    for place in range(ids.shape[1]):
        without = ids.clone()
        without[0, place] = run.tokenizer.mask if model["type"] == "masked-lm" else run.tokenizer.unknown
        with torch.inference_mode():
            before, after = asked.log_probs(asked.inputs)[0].exp(), asked.log_probs((without, *others))[0].exp()
        torch.testing.assert_close(lost[:, place], before - after, rtol=1e-3, atol=1e-5)


def notes(inspected: Inspected) -> list[str]:
    payload = inspected.page().html.split('id="attentio-payload">')[1].split("</script>")[0]
    return [note["key"] for note in json.loads(payload)["notes"]]


def test_why_an_output_may_be_wrong_is_a_note_of_the_page_and_no_part_of_its_title(seed: int) -> None:
    run = untrained()
    with torch.no_grad():
        run.model.output.bias[run.tokenizers.target.end] = -1e4  # it never ends
    inspected = run.inspect("Abcz")
    assert notes(inspected) == ["notes.unknownForm", "notes.unknownMore", "notes.cut"]
    assert f"<title>{html.escape(inspected.title)}" in inspected.page().html
    assert inspected.title == f"Abcz → {inspected.text}"
    assert notes(run.inspect("zab"))[0] == "notes.unknown"


def test_what_cannot_be_computed_is_said_on_the_page(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert notes(untrained(attention="hard").inspect("ab"))[-1] == "notes.latent"
    run = untrained(type="causal-lm")
    assert notes(run.inspect("abc")) == []
    assert run.inspect("abc").evidence.heads.said == list("abc")
    long = run.inspect("abcde" * 10)
    assert (notes(long), long.evidence.gradients) == (["notes.long"], {})
    monkeypatch.setattr(evidence_of_runs, "MOST_WORK", 0)
    monkeypatch.setattr(evidence_of_runs, "LENS_CELLS", 0)
    without = run.inspect("abc")
    assert (notes(without), without.evidence.heads, without.evidence.lens) == (
        ["notes.heads", "notes.lens"],
        None,
        None,
    )


@pytest.mark.parametrize(("model", "text"), KINDS, ids=range(len(KINDS)))
def test_what_is_asked_can_be_ended_before_every_reading(seed: int, model: dict[str, Any], text: str) -> None:
    run, count = untrained(**model), itertools.count(1)

    def step() -> None:
        next(count)

    run.inspect(text, each_step=step)
    readings = next(count) - 1
    assert readings >= 4, "the text as it is, and with what was erased"

    def stop() -> None:
        if next(again) == readings:
            raise InterruptedError

    again = itertools.count(1)
    with pytest.raises(InterruptedError):
        run.inspect(text, each_step=stop)
