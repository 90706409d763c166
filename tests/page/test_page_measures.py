"""What a cell may stand for besides the weight, against the same in Python."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from page_cases import attention, drawn

from attentio.capturing.seen import Seen
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


def test_measures_that_were_not_captured_are_not_offered(open_page: Open, seed: int) -> None:
    tab = open_page(view(torch.rand(1, 2, 5, 5).softmax(-1), list("abcde")))
    assert not tab.locator("#choices").get_by_label("Measure").is_visible()
    cross = open_page(view(torch.rand(2, 2, 3, 5).softmax(-1), list("abcde"), target_tokens=list("xyz")))
    assert not cross.locator("#choices").get_by_label("Measure").is_visible()
