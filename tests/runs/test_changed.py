"""One token of a text is changed: nothing attends to what is erased, and what is hidden or replaced is read as such."""

from typing import Any

import pytest
import torch
from untrained_runs import untrained

import attentio as at
from attentio.errors import AttentioError
from attentio.runs.changed import Changed
from attentio.text.tokenizer import Tokenizer

RECURRENT = [
    {"attention": "bahdanau"},
    {"attention": "luong"},
    {"attention": "bahdanau", "copy": True, "coverage": True},
]
TRANSFORMER = {"encoder": "transformer", "decoder": "transformer"}


@pytest.mark.parametrize("model", [*RECURRENT, TRANSFORMER])
def test_an_erased_key_of_a_source_might_be_anything_and_the_others_might_not(seed: int, model: dict[str, Any]) -> None:
    """The decoder of a model whose encoder mixes nothing: what is erased cannot be told apart any more."""
    run = untrained(**model)
    encode = run.model.encode

    def unmixed(source: torch.Tensor, lengths: torch.Tensor) -> Any:
        memory = encode(source, lengths)
        outputs = torch.nn.functional.one_hot(source % 11, memory.outputs.shape[2]).float() * 3
        copies = None if memory.copies is None else torch.zeros_like(memory.copies)
        return memory._replace(outputs=outputs, summary=torch.zeros_like(memory.summary), copies=copies)

    run.model.encode = unmixed
    one, other = (run.change(text, at.Change(1, "erase")) for text in ("abc", "ahc"))
    assert one.after == other.after
    assert one.still != one.before.probabilities
    assert one.read == one.read_after == [*"abc", "</s>"]
    assert run.change("abc", at.Change(1, "erase")).after != run.change("hbc", at.Change(1, "erase")).after


@pytest.mark.parametrize("type", ["masked-lm", "causal-lm", "labeller"])
def test_no_other_token_attends_to_an_erased_one(seed: int, type: str) -> None:
    run = untrained(type=type)
    texts = ["ab [MASK] c", "ah [MASK] c"] if type == "masked-lm" else ["abcd c", "ahcd c"]
    one, other = (run.change(text, at.Change(2, "erase")) for text in texts)
    assert one.after.tokens == other.after.tokens
    assert one.after.probabilities == pytest.approx(other.after.probabilities, abs=1e-5)
    assert one.still != pytest.approx(one.before.probabilities, abs=1e-6)


@pytest.mark.parametrize("type", ["encoder-decoder", "masked-lm", "causal-lm", "labeller"])
def test_a_replaced_token_is_read_as_if_it_had_been_written(seed: int, type: str) -> None:
    run, hole = untrained(type=type), "[MASK]" if type == "masked-lm" else "d"
    first = 0 if type == "encoder-decoder" else 1
    changed = run.change(f"abc{hole}", at.Change(first + 1, "replace", "hg"))
    written = run.change(f"ahgc{hole}", at.Change(first, "erase"))
    assert changed.read_after == written.read
    assert (changed.after.text, changed.after.tokens) == (written.before.text, written.before.tokens)
    assert changed.after.probabilities == pytest.approx(written.before.probabilities, abs=1e-5)
    assert len(changed.still) == len(changed.before.tokens) > 0


def test_a_hidden_token_is_the_unknown_one_and_in_a_masked_model_a_hole(seed: int) -> None:
    run = untrained()
    assert run.change("abc", at.Change(1, "hide")).after.text == run.translate(["aZc"])[0].text
    masked = untrained(type="masked-lm")
    changed = masked.change("abc", at.Change(2, "hide"))
    ((best, *_),) = masked.fill("a[MASK]c")
    assert (changed.after.text, changed.after.probabilities) == (best.text, [pytest.approx(best.probability, abs=1e-5)])
    assert changed.before.text == "abc"


def test_pieces_within_a_word_are_replaced_within_it(seed: int) -> None:
    words = ["low lower lowest new newer newest wide wider widest"] * 9
    pieces = Tokenizer.train(words, kind="bpe", vocab_size=33)
    run = untrained(type="causal-lm", tokenizer=pieces)
    read = run.change("wide", at.Change(1, "erase")).read
    assert read[1].startswith("▁")
    place = len(read) - 1
    changed = run.change("wide", at.Change(place, "replace", "er"))
    text = pieces.decode(pieces.encode("wide")[:-1]) + "er"
    assert changed.read_after[1:] == pieces.tokens(pieces.encode(text))
    assert run.change("new wide", at.Change(1, "replace", "low")).read_after[1:] == pieces.tokens(
        pieces.encode("low") + pieces.encode("new wide")[1:]
    )


@pytest.mark.parametrize("model", [{"local": "m"}, {"local": "p"}, {"score": "location"}, {"attention": "hard"}])
def test_attention_by_position_cannot_lose_a_key_but_its_tokens_can_be_hidden(seed: int, model: dict[str, Any]) -> None:
    run = untrained(**model)
    with pytest.raises(AttentioError, match="goes by position, so no key can be erased; hide the token instead"):
        run.change("abc", at.Change(1, "erase"))
    assert isinstance(run.change("abc", at.Change(1, "hide")), Changed)
    with pytest.raises(AttentioError, match="the model has no attention, so there is nothing to erase"):
        untrained(attention="none").change("abc", at.Change(1, "erase"))
