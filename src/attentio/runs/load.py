"""Any run directory read back, whatever kind of model is in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from attentio.errors import AttentioError
from attentio.runs.directory import Contents, load_directory
from attentio.runs.ensemble import ensemble_of
from attentio.runs.own_code import Files
from attentio.runs.places import runs_in
from attentio.runs.tasks import TASKS, AnyRun, task_of

OneRun = TypeVar("OneRun", bound=AnyRun)


def load(
    path: str | Path | Sequence[str | Path],
    *,
    checkpoint: str = "best",
    device: str | torch.device = "auto",
    allow_code: Files = (),
) -> AnyRun:
    """Read a run, whatever kind of model is in it, or BERT, GPT-2 or Marian from a directory of Hugging Face.

    path: of a run directory or a bundle, or the name of a model that comes along, such as "cmudict". Several of them,
        in a list or with commas between them, answer together: their log-probabilities are averaged at each token, and
        so is their attention. All options, such as the beam, are then those of the first.
    checkpoint: of a run directory, "best", "last", or "average:N", the mean of the weights of the last N.
    device: where it runs: "cpu", "cuda", "cuda:1", "mps", ..; "auto" is a CUDA device where there is one, else the CPU.
    allow_code: .py files that may run where the run's configuration names code of the user's own, such as
        `model.score: my_file.py:MyScore`. Otherwise nothing that is read can run.

    Raises AttentioError for what is none of these, or whose files are missing, truncated or altered, and for a
    device that this PyTorch does not have; and several that are no encoder-decoders with the same vocabularies.

    >>> at.load("dates-luong", checkpoint="best", device="cpu")
    <Run ...dates-luong...: luong general, input feeding, ... parameters>
    >>> at.load("dates-luong", allow_code=["my_score.py"])  # which names no such code
    <Run ...>
    >>> at.load("dates-luong,dates-bahdanau")
    <Run ...: 2 models together, ... parameters>
    """
    contents = read(path, checkpoint=checkpoint, device=device, allow_code=allow_code)
    return task_of(contents.config).run_class.of(contents)


def load_as(kind: type[OneRun], path: str | Path, *, checkpoint: str, device: str, allow_code: Files = ()) -> OneRun:
    """`load` for a verb that takes one kind of run; AttentioError for another, with the verb that takes that."""
    run = load(path, checkpoint=checkpoint, device=device, allow_code=allow_code)
    if not isinstance(run, kind):
        type, verb = run.config.model.type, task_of(run.config).verb
        raise AttentioError(f"{path} holds a model of type {type}; use `attentio {verb}`")
    return run


def read(
    path: str | Path | Sequence[str | Path],
    *,
    checkpoint: str = "best",
    device: str | torch.device = "auto",
    allow_code: Files = (),
) -> Contents:
    """What a directory holds, or several together; see `load`."""
    blueprints = [task.blueprint for task in TASKS.values()]
    how: dict[str, Any] = {"checkpoint": checkpoint, "device": device, "allow_code": allow_code}
    found = [load_directory(one, blueprints, **how) for one in runs_in(path)]
    if not found:
        raise AttentioError("no run was given; name a directory or a model that comes along")
    return found[0] if len(found) == 1 else ensemble_of(found)
