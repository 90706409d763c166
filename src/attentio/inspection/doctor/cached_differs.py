"""Cached decoding, one token a step, gives other results than one pass over the whole sequence.

A cache that keeps the wrong keys, positions that start again at 0 with every step, a mask cut wrongly: the text that is
produced is then not the one that the model scores highest. Seen by feeding the example step by step with the cache.
"""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attentio.inspection.doctor.diagnosis import Finding, Skip
from attentio.inspection.doctor.influence import influence
from attentio.inspection.doctor.inputs import SequenceInput, is_target
from attentio.inspection.doctor.outputs import Output, difference, flatten
from attentio.inspection.doctor.patient import Patient

ID = "cached-differs"
TITLE = "decoding step by step with a cache equals the full pass"
NEEDS = ("positions",)


class Stepped(NamedTuple):
    """outputs: [batch, positions, features], those from `first` on, each from a step of its own. how: in words."""

    outputs: Tensor
    first: int
    how: str


def check(patient: Patient) -> Iterator[Finding]:
    """Decode in the way that the model offers, and compare."""
    sequence = next((one for one in patient.sequences if one.target), patient.sequences[0])
    output = _main_output(patient, sequence)
    stepped = _decode(patient, sequence, output)
    full = output.rows(patient.base[output.path])[:, stepped.first :]
    if stepped.outputs.shape != full.shape:
        raise Skip(f"steps give {list(stepped.outputs.shape)}, the full pass {list(full.shape)}")
    apart = difference(full, stepped.outputs).cpu().masked_fill(~patient.real(sequence)[:, stepped.first :], 0.0)
    if apart.max() <= patient.tolerance:
        return
    first = int((apart > patient.tolerance).any(dim=0).nonzero()[0]) + stepped.first
    yield Finding(
        ID,
        "error",
        "decoding with a cache differs from the full pass",
        f"The example was read once as a whole, and once step by step ({stepped.how}); the outputs at the same "
        "positions differ. So generation follows another model than the one that was trained. Usual reasons: the "
        "position of a step does not count what is in the cache; keys are cached before the rotation for positions in "
        "one place and after it in another; a causal mask is aligned to the first key instead of the last; the last "
        "keys are overwritten.",
        {
            "output": output.title,
            "first position that differs": first,
            "differs by (relative, largest)": float(apart.max()),
        },
        "Count positions from the cache, `positions = torch.arange(past, past + q_len)`; append, `k = "
        "torch.cat([cache.k, k], dim=-2)`; and let the last query see the last key: `at.causal()` is aligned so.",
    )


def _main_output(patient: Patient, sequence: SequenceInput) -> Output:
    found = [output for output in patient.outputs if output.sequence == sequence.name]
    if not found:
        raise Skip(f"no output has the positions of {sequence.name}")
    measured = influence(patient, sequence)
    apart = measured.apart[found[0]]
    future = [bool((apart[i, :s] > patient.tolerance).any()) for i, s in enumerate(measured.positions)]
    if any(future):
        raise Skip("the model is not causal")
    return found[0]


def _decode(patient: Patient, sequence: SequenceInput, output: Output) -> Stepped:
    try:
        if patient.step is not None:
            return patient.within(lambda: _by_step(patient, sequence))
        if sequence.kind == "tokens" and hasattr(patient.model, "start") and hasattr(patient.model, "step"):
            return patient.within(lambda: _by_step_decoder(patient, sequence))
        parameters = inspect.signature(patient.model.forward).parameters
        if {"past_key_values", "use_cache"} <= set(parameters) and set(patient.inputs.values) <= set(parameters):
            return patient.within(lambda: _by_past(patient, sequence, output))
    except Skip:
        raise
    except Exception as error:
        raise Skip(f"step by step, the model raised {type(error).__name__}: {str(error).strip()[:200]}") from error
    raise Skip("the model offers no cached decoding that is known: give step=")


def _by_step(patient: Patient, sequence: SequenceInput) -> Stepped:
    assert patient.step is not None
    inputs = patient.inputs.restored(patient.inputs.copied(patient.inputs.values, exact=patient.exact))
    state, rows = None, []
    for position in range(sequence.length):
        row, state = patient.step(patient.model, inputs, position, state)
        rows.append(row)
    return Stepped(torch.stack(rows, dim=1), 0, "step=")


def _by_step_decoder(patient: Patient, sequence: SequenceInput) -> Stepped:
    """attentio's StepDecoder: start(memory or empty prompt), then step(token [batch, 1], state).logits."""
    model: Any = patient.model
    values = patient.inputs.copied(patient.inputs.values, exact=patient.exact)
    tokens = values.pop(sequence.name)
    state = model.start(model.encode(**values) if hasattr(model, "encode") else tokens[:, :0])
    rows = []
    for position in range(sequence.length):
        result = model.step(tokens[:, position : position + 1], state)
        state = result.state
        rows.append(result.logits.squeeze(1))
    return Stepped(torch.stack(rows, dim=1), 0, "start and step")


def _by_past(patient: Patient, sequence: SequenceInput, output: Output) -> Stepped:
    """transformers' way: half of the positions at once, then one a step, with `past_key_values`."""
    first, past, rows = sequence.length // 2, None, []
    for begin, end in [(0, first), *((t, t + 1) for t in range(first, sequence.length))]:
        values = _piece(patient, sequence, begin, end) | {"past_key_values": past, "use_cache": True}
        result = patient.model(**values)
        past = getattr(result, "past_key_values", None)
        if past is None:
            raise Skip("with use_cache=True the model returns no past_key_values")
        if begin:
            rows.append(output.rows(dict(flatten(result))[output.path])[:, 0])
    return Stepped(torch.stack(rows, dim=1), first, "past_key_values")


def _piece(patient: Patient, sequence: SequenceInput, begin: int, end: int) -> dict[str, Any]:
    """The inputs of a step: the tokens of the step alone, masks of all up to there, no labels."""
    values = patient.inputs.copied(patient.inputs.values, exact=patient.exact)
    alone = len(patient.sequences) == 1
    for name, role in patient.roles.items():
        value = values[name]
        mine = value.ndim == 2 and value.shape[1] == sequence.length and (alone or is_target(name))
        if role == "labels":
            del values[name]
        elif name == sequence.name or (role == "companion" and mine):
            values[name] = value.narrow(sequence.axis, begin, end - begin)
        elif role == "padding" and mine:
            values[name] = value[:, :end]
    return values
