"""The page in a real Chromium, opened from disk with the network off."""

from collections.abc import Callable
from typing import Any

import torch

from attentio.inspection.page.page import view


def test_page_opens_from_disk_without_network_or_errors(open_page: Callable[..., Any], seed: int) -> None:
    tab = open_page(view(torch.rand(3, 5, 7, 7).softmax(-1), list("abcdefg"), title="A title"))
    assert tab.locator("h1").inner_text() == "A title"
    assert tab.get_by_role("tab").first.get_attribute("aria-selected") == "true"
