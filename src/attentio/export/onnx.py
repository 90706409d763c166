"""Any encoder-decoder as ONNX: `encoder.onnx` reads sources, `decoder.onnx` takes a step, its state in and out."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from attentio.errors import AttentioError, extra
from attentio.export.onnx_graphs import Entry, Naming, Reading, RecurrentNaming, Stepping, TransformerNaming
from attentio.layers.positions import SinusoidalPositions
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.protocols import Likelihood
from attentio.models.recurrent import RecurrentDecoder
from attentio.models.transformer import TransformerDecoder

with extra("onnx"):
    import onnxscript  # noqa: F401 (torch writes with it)

OPSET = 20
"""Version of ONNX's operators."""

POSITIONS = 4096
"""Tokens that a written model with sinusoidal positions takes: they are a table."""


def write(model: EncoderDecoder, folder: Path, facts: dict[str, Any]) -> None:
    """Write our model as two graphs of float32, and `model.json`: the opset, and the facts that decoding needs.

    encoder   source [batch, source], lengths [batch]     ->  the state before the first token
    decoder   token [batch], the state                    ->  logits [batch, vocab], weights [batch, source] of a model
                                                              with attention, and next_NAME for each NAME that changes

    All are int64 or float32; batch, source and steps may have any length.

    Raises AttentioError for a model whose state is more than that of its decoder.
    """
    if isinstance(model, Likelihood):
        raise AttentioError(
            "models with a hard attention, a transducer or model.copy cannot be written as ONNX; choose --to bundle"
        )
    naming = _naming(model.decoder)
    for module in model.modules():
        if isinstance(module, SinusoidalPositions):
            module.reach(POSITIONS)
    source, lengths = torch.ones(3, 5, dtype=torch.long), torch.tensor([5, 3, 4])
    token = torch.ones(3, dtype=torch.long)
    with torch.inference_mode():
        state = model.start(model.encode(source, lengths))
        for _ in range(2):  # lengths of 0 and 1 would be taken for what they always are
            step = model.step(token.unsqueeze(1), state)
            state = step.state
    entries = naming.apart(state)
    given = {"source": Entry(source, {0: "batch", 1: "source"}, False), "lengths": Entry(lengths, {0: "batch"}, False)}
    outputs = ["logits", *([] if step.weights is None else ["weights"])]
    outputs += [f"next_{name}" for name, entry in entries.items() if entry.changes]
    folder.mkdir(parents=True, exist_ok=True)
    _write_graph(Reading(model, naming), given, [*entries], folder / "encoder.onnx")
    taken = {"token": Entry(token, {0: "batch"}, True), **entries}
    _write_graph(Stepping(model, naming, [*entries]), taken, outputs, folder / "decoder.onnx")
    content = json.dumps({"opset": OPSET, **facts}, indent=1, ensure_ascii=False) + "\n"
    (folder / "model.json").write_text(content, encoding="utf-8")


def _naming(decoder: nn.Module) -> Naming:
    if isinstance(decoder, RecurrentDecoder):
        return RecurrentNaming(decoder)
    assert isinstance(decoder, TransformerDecoder)
    return TransformerNaming(decoder)


def _write_graph(module: nn.Module, inputs: dict[str, Entry], outputs: list[str], path: Path) -> None:
    lengths = {name: Dim(name) for name in ("batch", "source", "target")}
    shapes = tuple({axis: lengths[name] for axis, name in entry.axes.items()} for entry in inputs.values())
    with torch.no_grad(), _quietly():
        program = torch.onnx.export(
            module,
            tuple(entry.tensor.clone() for entry in inputs.values()),
            input_names=[*inputs],
            output_names=outputs,
            dynamic_shapes=(shapes,),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(str(path))


@contextmanager
def _quietly() -> Iterator[None]:
    """What torch says on the way is for those who develop it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
