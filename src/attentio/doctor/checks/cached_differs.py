"""Cached decoding, one token a step, gives other results than one pass over the whole sequence.

A cache that keeps the wrong keys, positions that start again at 0 with every step, a mask cut wrongly: the text that is
produced is then not the one that the model scores highest. Seen by feeding the example step by step with the cache.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import Output
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.cached_decoding import Stepped, apart, by_cache
from attentio.doctor.probes.influence import influence

ID = "cached-differs"
TITLE = "decoding step by step with a cache equals the full pass"
NEEDS = ("positions",)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Decode in each way that the model offers; one that equals the full pass is enough."""
    sequence = facts.predicted
    output = _main_output(subject, facts, sequence)
    tried = []
    for stepped in _decoded(subject, facts, sequence, output):
        tried.append((apart(subject, facts, sequence, output, stepped), stepped))
        if tried[-1][0].max() <= subject.tolerance:
            return
    differs, stepped = min(tried, key=lambda one: float(one[0].max()))
    first = int((differs > subject.tolerance).any(dim=0).nonzero()[0]) + stepped.first
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
            "differs by (relative, largest)": float(differs.max()),
        },
        "Count positions from the cache, `positions = torch.arange(past, past + q_len)`; append, `k = "
        "torch.cat([cache.k, k], dim=-2)`; and let the last query see the last key: `at.causal()` is aligned so.",
    )


def _main_output(subject: Subject, facts: Facts, sequence: SequenceInput) -> Output:
    found = [output for output in facts.outputs if output.sequence == sequence.name]
    if not found:
        raise Skip(f"no output has the positions of {sequence.name}")
    measured = influence(subject, facts, sequence)
    moved = {output: measured.apart[output] > subject.tolerance for output in found}

    def later(output: Output) -> int:
        return sum(int(moved[output][i, s + 1 :].sum()) for i, s in enumerate(measured.positions))

    # The one that hears most of what came before, so not the embeddings; then logits before members of hidden_states.
    main = max(found, key=lambda output: (later(output), -output.path.count(".")))
    if any(bool(moved[main][i, :s].any()) for i, s in enumerate(measured.positions)):
        raise Skip("the model is not causal")
    return main


def _decoded(subject: Subject, facts: Facts, sequence: SequenceInput, output: Output) -> Iterator[Stepped]:
    step = facts.told.step
    if step is not None:
        by_hand = partial(_by_step, subject, sequence, step)
    elif sequence.kind == "tokens" and hasattr(subject.model, "start") and hasattr(subject.model, "step"):
        by_hand = partial(_by_step_decoder, subject, sequence)
    else:
        yield from by_cache(subject, facts, sequence, output)
        return
    try:
        yield subject.reproducibly(by_hand)
    except Exception as error:
        raise Skip(f"step by step, the model raised {type(error).__name__}: {str(error).strip()[:200]}") from error


def _by_step(subject: Subject, sequence: SequenceInput, step: Callable[..., tuple[Tensor, Any]]) -> Stepped:
    inputs = subject.inputs.restored(subject.copied())
    state, rows = None, []
    for position in range(sequence.length):
        row, state = step(subject.model, inputs, position, state)
        rows.append(row)
    return Stepped(torch.stack(rows, dim=1), 0, "step=")


def _by_step_decoder(subject: Subject, sequence: SequenceInput) -> Stepped:
    """attentio's StepDecoder: start(memory or empty prompt), then step(token [batch, 1], state).logits."""
    model: Any = subject.model
    values = subject.copied()
    tokens = values.pop(sequence.name)
    state = model.start(model.encode(**values) if hasattr(model, "encode") else tokens[:, :0])
    rows = []
    for position in range(sequence.length):
        result = model.step(tokens[:, position : position + 1], state)
        state = result.state
        rows.append(result.logits.squeeze(1))
    return Stepped(torch.stack(rows, dim=1), 0, "start and step")
