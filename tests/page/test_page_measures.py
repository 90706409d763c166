"""What a cell may stand for besides the weight, against the same in Python."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from page_cases import attention, drawn

import attentio as at
from attentio.capturing.seen import Seen
from attentio.page.evidence import Copied, Evidence
from attentio.page.page import view

Open = Callable[..., Any]
SHOWN = (
    "(async () => { const matrix = await attentio.app.matrix(); return Array.from({length: matrix.rows}, (_, i) =>"
    " Array.from({length: matrix.columns}, (__, j) => matrix.at(i, j).value)); })()"
)


def test_weight_times_size_of_the_value_and_rollout_are_as_the_papers_have_them(open_page: Open, seed: int) -> None:
    calls = [attention(name=f"layers.{n}.attention", **drawn(queries=7, keys=7)) for n in range(3)]
    tab = open_page(view(Seen(calls), [f"w{n}" for n in range(7)]))
    tab.evaluate("attentio.app.set({layer: 2, head: 1})")
    measure = tab.locator("#choices").get_by_label("Measure")
    measure.select_option("value")
    assert "each row scaled to sum to 1" in tab.locator("#choices").inner_text()
    sized = calls[2].weights[0, 1].double() * calls[2].value[0, 1].double().norm(dim=-1)
    right = sized / sized.sum(-1, keepdim=True)
    np.testing.assert_allclose(tab.evaluate(SHOWN), right, atol=1e-3)
    flow = torch.eye(7).double()
    for call in calls:
        flow = (0.5 * call.weights[0].double().mean(0) + 0.5 * torch.eye(7)) @ flow
    measure.select_option("rollout")
    np.testing.assert_allclose(tab.evaluate(SHOWN), flow / flow.sum(-1, keepdim=True), atol=2e-3)
    assert "goes back to" in tab.locator(".said-large").inner_text()
    tab.click("#tab-steps")  # steps are about the weights, whatever is measured elsewhere
    assert not tab.locator("#panel-steps .remarks", has_text="differ").is_visible()


def test_erasing_a_token_of_the_source_shows_what_its_output_loses(open_page: Open, seed: int) -> None:
    inspected = at.load("dates-transformer", device="cpu").inspect("3 May 2026")
    run = at.load("dates-transformer", device="cpu")
    tab = open_page(inspected.page())
    tab.locator("#choices").get_by_label("Measure").select_option("erased")
    lost = np.array(tab.evaluate(SHOWN))
    np.testing.assert_allclose(lost, inspected.evidence.erased.clamp(min=0), atol=1e-3)
    # By hand: one token of the source not known, and the same output said.
    source = [*run.tokenizers.source.encode("3 May 2026"), run.source_end]
    said = [run.tokenizers.target.tokens([each])[0] for each in range(run.tokenizers.target.size)]
    ids = torch.tensor([[said.index(token) for token in inspected.target_tokens]])
    read = torch.cat([torch.tensor([[run.begin]]), ids[:, :-1]], 1)
    row, column = divmod(int(inspected.evidence.erased.argmax()), len(source))
    chances = []
    for hidden in (None, column):
        tokens = [run.tokenizers.source.unknown if place == hidden else token for place, token in enumerate(source)]
        with torch.inference_mode():
            logits = run.model(torch.tensor([tokens]), torch.tensor([len(tokens)]), read)
        chances.append(logits[0, row].softmax(-1)[ids[0, row]].item())
    assert inspected.evidence.erased[row, column] == pytest.approx(chances[0] - chances[1], abs=1e-4)
    assert chances[0] - chances[1] > 0.2
    tab.locator(".agreed", has_text="Spearman").wait_for()
    assert [text.split("\t")[0] for text in tab.locator(".agreed tr").all_inner_texts()] == [
        "weight", "weight × size of the value", "weight × gradient",
    ]  # fmt: skip
    assert "is lower by" in tab.locator(".said-large").inner_text()
    tab.locator("#choices").get_by_label("Measure").select_option("gradient")
    group = tab.evaluate("attentio.app.group().entries[attentio.app.state.layer].name")
    lost = inspected.evidence.gradients[group, 0][tab.evaluate("attentio.app.state.head")].clamp(min=0)
    np.testing.assert_allclose(tab.evaluate(SHOWN), lost / lost.sum(-1, keepdim=True).clamp(min=1e-30), atol=2e-3)
    assert "Of what" in tab.locator(".said-large").inner_text()
    assert not tab.locator(".agreed").is_visible()


def test_evidence_must_be_of_these_tokens() -> None:
    with pytest.raises(ValueError, match=r"erased must be \[target, source\] = \(2, 3\), got \(3, 2\)"):
        view(
            torch.full((2, 3), 0.3), list("abc"), target_tokens=list("xy"), evidence=Evidence(erased=torch.zeros(3, 2))
        )
    with pytest.raises(ValueError, match="copied must be of each of 2 target tokens, got 1"):
        view(torch.full((2, 3), 0.3), list("abc"), target_tokens=list("xy"), evidence=Evidence(copied=[Copied(1, [])]))


def test_measures_that_were_not_captured_are_not_offered(open_page: Open, seed: int) -> None:
    tab = open_page(view(torch.rand(1, 2, 5, 5).softmax(-1), list("abcde")))
    assert not tab.locator("#choices").get_by_label("Measure").is_visible()
    cross = open_page(view(torch.rand(2, 2, 3, 5).softmax(-1), list("abcde"), target_tokens=list("xyz")))
    assert not cross.locator("#choices").get_by_label("Measure").is_visible()
