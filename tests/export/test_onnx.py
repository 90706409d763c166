"""ONNX: the graphs say what our own greedy decoding says, and look at the same, one sentence or many at a time."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import onnxruntime
import pytest
import torch
from untrained_runs import untrained

import attentio as at
from attentio.config.schema import TransformerConfig
from attentio.data.dates import pairs as dates
from attentio.export.onnx import OPSET, write

DOCUMENT = Path(__file__).parents[2] / "docs" / "export.md"

TEXTS = ["gag", "a", "hagfedcb abcd 안녕", "bad cafe"]
"""Shorter and longer than what the graphs are written with."""


def transformer(**options: Any) -> dict[str, Any]:
    sizes = TransformerConfig(**{"width": 24, "heads": 4, "feed_forward": 13, **options})
    return {"encoder": "transformer", "decoder": "transformer", "encoder_layers": 2, "transformer": sizes}


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "none": {"attention": "none", "cell": "gru"},
    "bahdanau": {"attention": "bahdanau", "encoder_layers": 2, "decoder_layers": 2},
    "delayed, entmax": {"attention": "delayed", "normalize": "entmax"},
    "dot, no input feeding": {"score": "dot", "input_feeding": False},
    "concat, local-m": {"score": "concat", "local": "m", "window": 2},
    "location": {"score": "location", "reach": 7, "cell": "gru"},
    "location, local-p": {"score": "location", "reach": 7, "local": "p", "window": 2},
    "general, local-p, no input feeding": {"local": "p", "window": 2, "input_feeding": False},
    "learned, pre-norm, one key-value head": transformer(positions="learned", pre_norm=True, key_value_heads=1),
    "rotary, window, rms, swiglu": transformer(positions="rotary", window=3, norm="rms", activation="swiglu"),
    "alibi, window": transformer(positions="alibi", window=2) | {"decoder_layers": 2},
    "t5, qk-norm": transformer(positions="t5", qk_norm=True),
    "no positions, untied": transformer(positions="none", tied=False),
    "transformer, then bahdanau": transformer() | {"decoder": "recurrent", "attention": "bahdanau"},
    "recurrent, then transformer": transformer() | {"encoder": "recurrent"},
}


@pytest.fixture(autouse=True)
def lengths_without_numbers() -> Iterator[None]:
    """While a graph is written they are symbols, which the checks of annotations take for no int."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("name", ["dates-bahdanau", "dates-transformer"])
def test_what_the_document_shows_says_what_translate_says(name: str, attentio: Callable, tmp_path: Path) -> None:
    said = attentio("export", name, "--to", "onnx", "--out", tmp_path)
    assert (said.code, said.err) == (0, "")
    assert json.loads((tmp_path / "model.json").read_text())["opset"] == OPSET
    shown = next(
        code for code in re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S) if "onnx" in code
    )
    names: dict[str, Any] = {}
    exec(shown.replace('"dates-onnx"', repr(str(tmp_path))), names)
    texts = [source for source, _ in dates("dev", size=8)]
    for text, (best,) in zip(texts, at.load(name, device="cpu").candidates(texts, beam=1), strict=True):
        tokens, weights = names["decode"](text)
        assert tokens == best.ids
        torch.testing.assert_close(torch.tensor(np.concatenate(weights)), best.attention, rtol=1e-3, atol=1e-4)


def test_a_padded_batch_says_and_looks_at_the_same_in_any_architecture(seed: int, tmp_path: Path) -> None:
    """One of them, drawn: each takes some seconds."""
    name = list(ARCHITECTURES)[seed % len(ARCHITECTURES)]
    print(f"architecture = {name}")
    run = untrained(**ARCHITECTURES[name])
    write(run.model, tmp_path, {})
    encoder, decoder = (onnxruntime.InferenceSession(tmp_path / f"{part}.onnx") for part in ("encoder", "decoder"))

    def named(session: onnxruntime.InferenceSession, given: dict[str, Any]) -> dict[str, Any]:
        given = {one.name: given[one.name] for one in session.get_inputs()}
        return dict(zip((one.name for one in session.get_outputs()), session.run(None, given), strict=True))

    sources = [[*run.tokenizers.source.encode(text), run.source_end] for text in TEXTS]
    lengths = np.array([len(source) for source in sources])
    padded = np.array([source + [run.source_end] * (max(lengths) - len(source)) for source in sources])
    state = named(encoder, {"source": padded, "lengths": lengths}) | {"token": np.full(len(TEXTS), run.begin)}
    never = sorted(set(run.tokenizers.target.special_ids) - {run.end})
    tokens, weights = [], []
    for _ in range(25):
        step = named(decoder, state)
        step["logits"][:, never] = -np.inf
        tokens.append(step["logits"].argmax(axis=1))
        weights.append(step.get("weights"))
        state |= {name.removeprefix("next_"): tensor for name, tensor in step.items()} | {"token": tokens[-1]}
    for i, (best,) in enumerate(run.candidates(TEXTS, beam=1)):
        count = len(best.ids) if best.finished else len(best.ids) - 1
        assert [int(step[i]) for step in tokens[:count]] == best.ids[:count]
        if best.attention is None:
            assert weights[0] is None
        else:
            looked = torch.tensor(np.stack([step[i] for step in weights[:count]]))
            torch.testing.assert_close(looked[:, : lengths[i]], best.attention[:count], rtol=1e-3, atol=1e-4)
            assert not looked[:, lengths[i] :].any()
