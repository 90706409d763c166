"""python attention_page.py VIEW WEIGHTS.npy PAGE.html: write a page of attention, and print the seconds that it took.

VIEW is `attentio`, or `head_view` or `model_view` of BertViz. WEIGHTS is [layers, heads, queries, keys]. The clock runs
from the tensor to the closed file; a page of three tokens was made before, so that nothing is imported meanwhile.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


def writer(view: str) -> Callable[[torch.Tensor, list[str]], str]:
    """(weights, tokens) -> HTML"""
    if view == "attentio":
        import attentio as at

        return lambda weights, tokens: at.view(weights, tokens).html
    import bertviz

    show = getattr(bertviz, view)
    return lambda weights, tokens: show([layer[None] for layer in weights], tokens, html_action="return").data


def main(view: str, weights: str, page: str) -> None:
    write = writer(view)
    write(torch.rand(2, 2, 3, 3).softmax(-1), ["a", "b", "c"])
    given = torch.from_numpy(np.load(weights, allow_pickle=False))
    tokens = [f"token{place}" for place in range(given.shape[-1])]
    began = time.perf_counter()
    Path(page).write_text(write(given, tokens), encoding="utf-8")
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
