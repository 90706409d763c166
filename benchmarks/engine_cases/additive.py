"""Bahdanau's comparison: a step of a decoder, and all steps at once; beside PyTorch line by line, the same compiled,
and Keras. And the memory of a long one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import attentio as at
from engine_cases.case import Case, Run, ready

FEATURES = 256


def cases() -> list[Case]:
    steps = [_case(32, 1, 30, values, backward, {"eager": 3.0}) for values in (256, 512) for backward in (False, True)]
    forward = _case(8, 128, 128, FEATURES, False, {"eager": 10.0, "torch.compile": 5.0, "Keras": 10.0})
    backward = _case(8, 128, 128, FEATURES, True, {"eager": 8.0, "torch.compile": 8.0, "Keras": 8.0})
    return [*steps, forward, backward]


def _case(batch: int, queries: int, keys: int, values: int, backward: bool, targets: dict[str, float]) -> Case:
    shapes = ((batch, queries, FEATURES), (batch, keys, FEATURES), (batch, keys, values), (FEATURES,))
    tensors = [torch.randn(shape) for shape in shapes]
    tensors[3] /= FEATURES**0.5

    def compiled() -> Run:
        torch.compiler.reset()
        return ready(torch.compile(_eager), tensors, backward=backward)

    peers: dict[str, Callable[[], Run]] = {
        "eager": partial(ready, _eager, tensors, backward=backward),
        "torch.compile": compiled,
    }
    if values == FEATURES:  # Keras takes its values' features for the keys'
        peers["Keras"] = lambda: ready(_keras(batch, queries, keys), tensors, backward=backward)
    return Case(
        name=f"additive, {batch} x {queries} queries x {keys} keys x {FEATURES}, values {values}",
        backward=backward,
        ours=partial(ready, _ours, tensors, backward=backward),
        peers=peers,
        targets=targets,
        products=2.0 * batch * queries * keys * values * (3 if backward else 1),
        tanhs=float(batch * queries * keys * FEATURES * (2 if backward else 1)),
    )


def _ours(query: Tensor, key: Tensor, value: Tensor, vector: Tensor) -> Tensor:
    return at.attend(query, key, value, score=at.Additive(vector)).context


def _eager(query: Tensor, key: Tensor, value: Tensor, vector: Tensor) -> Tensor:
    scores = torch.tanh(query[:, :, None, :] + key[:, None, :, :]) @ vector
    return torch.softmax(scores, dim=-1) @ value


def _keras(batch: int, queries: int, keys: int) -> Callable[..., Tensor]:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    layer = keras.layers.AdditiveAttention()
    layer.build([(batch, queries, FEATURES), (batch, keys, FEATURES), (batch, keys, FEATURES)])
    # The vector is the layer's own parameter, so its gradient is computed as it is for the others.
    return lambda query, key, value, vector: layer([query, value, key])


MEMORY_SIZES = {"batch": 8, "queries": 1024, "keys": 1024, "features": FEATURES}

_MEMORY = """
import json, sys
import torch
import attentio as at
from engine_cases.case import peak_kilobytes

batch, queries, keys, features, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)

def step(query, key, value, vector):
    at.attend(query, key, value, score=at.Additive(vector)).context.sum().backward()

def tensors(queries, keys):
    shapes = ((batch, queries, features), (batch, keys, features), (batch, keys, features), (features,))
    return [torch.randn(shape, requires_grad=True) for shape in shapes]

step(*tensors(64, 64))  # so that compiling is not counted
inputs = tensors(queries, keys)
before = peak_kilobytes()
step(*inputs)
print(json.dumps((peak_kilobytes() - before) / 1024))
"""


def memory(threads: int) -> dict[str, float]:
    """MiB beyond the inputs, forward and backward: ours at its peak; what PyTorch must hold, its sums and their
    gradient."""
    program = [sys.executable, "-c", _MEMORY, *(str(size) for size in (*MEMORY_SIZES.values(), threads))]
    done = subprocess.run(program, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    sums = 4.0 * torch.Size(MEMORY_SIZES.values()).numel() / 2**20
    return {"attentio": json.loads(done.stdout), "eager, at least": 2 * sums, "target": 300.0}


EXTRAS = {"memory": memory}
