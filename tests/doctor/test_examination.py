"""The examination as a whole: the model stays as it was, and what one check meets costs no other."""

import copy
import functools
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import head_mistakes
import mode_mistakes
import padding_mistakes as padded
import pytest
import torch
from examined import errors
from sequence_models import Decoder, Encoder, rows
from torch import nn
from torch._dynamo import eval_frame
from torch.nn import functional as F

import attentio as at
from attentio.doctor import examination
from attentio.doctor.catalogue import CHECKS
from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.called import as_module
from attentio.doctor.patient.facts import Facts, Told
from attentio.doctor.patient.learn import learn
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.influence import influence


def test_a_fact_is_established_before_it_is_used() -> None:
    known: set[str] = set()
    for check in CHECKS:
        assert set(getattr(check, "USES", ())) <= known, check.ID
        known |= set(getattr(check, "ESTABLISHES", ()))


def test_causes_are_looked_for_before_their_consequences() -> None:
    made = [check.ID for check in CHECKS]
    for i, check in enumerate(CHECKS):
        assert set(getattr(check, "EXPLAINS", ())) <= set(made[i + 1 :]), check.ID


def test_the_model_its_mode_and_the_random_state_are_untouched(seed: int) -> None:
    model = mode_mistakes.RunningMean()
    model.blocks[0].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    inputs = rows(9, 7)[0]
    given, state = inputs.clone(), torch.get_rng_state()
    at.diagnose(model, inputs)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.reader.tokens.weight.dtype == torch.float32
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(given, inputs)
    assert torch.get_default_dtype() == torch.float32


def test_examining_leaves_the_model_as_it_was(seed: int) -> None:
    model, inputs, _ = head_mistakes.a_head_that_is_not_read()
    model.train()
    before = copy.deepcopy(model.state_dict())
    fused = torch.backends.mha.get_fastpath_enabled()
    state = torch.get_rng_state()
    at.diagnose(model, inputs)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.backends.mha.get_fastpath_enabled() == fused
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_does_not_run_on_the_example_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=r"the model does not run on example_inputs \(tokens: \[2, 41\]\)"):
        at.diagnose(Decoder(), rows(41, 41)[0])


def test_outputs_of_nothing_but_nan_are_an_error(seed: int) -> None:
    class Broken(Decoder):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens) * torch.nan

    diagnosis = at.diagnose(Broken(), rows(9, 9)[0])
    assert "no-finite-output" in {finding.check for finding in diagnosis.findings}
    assert diagnosis.skipped["future-leak"] == "no output has a finite number"


def test_a_check_that_fails_by_itself_says_so_and_costs_no_other(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
        yield Finding("broken", "warning", "seen before", "", {}, "")
        raise IndexError("index 7 is out of range\nand more")

    broken = SimpleNamespace(ID="broken", TITLE="", NEEDS=(), check=check)
    monkeypatch.setattr(examination, "CHECKS", (broken, *examination.CHECKS))
    diagnosis = at.diagnose(nn.GRU(5, 7, batch_first=True, bidirectional=True), torch.randn(3, 11, 5), causal=True)
    assert diagnosis.skipped["broken"] == (
        "the check itself failed, which says nothing of the model: IndexError: index 7 is out of range"
    )
    assert "the check itself failed" in str(diagnosis)
    assert errors(diagnosis) == ["future-leak"]
    assert "seen before" in {finding.title for finding in diagnosis.findings}


def test_what_several_checks_look_at_is_measured_once(seed: int) -> None:
    model, runs = nn.GRU(5, 7, batch_first=True), []
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    subject = Subject(model, torch.randn(3, 11, 5))
    facts = learn(subject, Told())
    measured = influence(subject, facts, facts.sequences[0])
    before = len(runs)
    assert influence(subject, facts, facts.sequences[0]) is measured
    assert len(runs) == before > 0


def test_what_was_not_checked_stands_beside_the_verdict(seed: int) -> None:
    said = str(at.diagnose(nn.GRU(5, 7, batch_first=True), torch.randn(3, 11, 5))).splitlines()
    assert re.fullmatch(r"healthy, as far as \d+ of \d+ checks can tell: nothing found", said[0])
    reasons = [line for line in said if line.startswith("not checked: ")]
    assert said[1 : 1 + len(reasons)] == reasons
    assert any(line.endswith("there is no loss: give loss=, or labels with the example inputs") for line in reasons)


def test_a_compiled_model_is_examined_as_it_was_written(seed: int) -> None:
    compiled: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        compiled.append(1)
        return graph

    model, (inputs, _) = Decoder(), rows(9, 9)
    whole = torch.compile(model, backend=backend)
    inside = Decoder()
    inside.blocks[0] = torch.compile(inside.blocks[0], backend=backend)
    for one in (whole, inside):
        diagnosis = at.diagnose(one, inputs)
        assert diagnosis.healthy, str(diagnosis)
        assert diagnosis.checked.keys() == at.diagnose(model, inputs).checked.keys()
    assert not compiled
    assert at.diagnose(whole, inputs).concluded == at.diagnose(model, inputs).concluded


def test_a_function_is_examined_with_the_modules_that_it_holds(seed: int) -> None:
    model = Decoder().train()
    model.drop = nn.Dropout(0.5)
    inputs = {"tokens": rows(9, 9)[0]}
    by_closure = lambda tokens: model.drop(model(tokens))  # noqa: E731
    for function in (by_closure, model.forward, functools.partial(model.forward)):
        before = copy.deepcopy(model.state_dict())
        diagnosis = at.diagnose(function, inputs)
        assert diagnosis.healthy, str(diagnosis)
        assert {"future-leak", "lost-gradient", "dropout-in-eval"} <= diagnosis.checked.keys()
        assert model.training
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_function_without_parameters_is_examined(seed: int) -> None:
    def attend(x: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(x, x, x, is_causal=True)

    def leaking(x: torch.Tensor) -> torch.Tensor:
        return attend(x) + x.mean(1, keepdim=True)

    inputs = torch.randn(3, 7, 5)
    assert at.diagnose(attend, inputs).healthy
    assert errors(at.diagnose(leaking, inputs)) == ["future-leak"]
    assert at.diagnose(F.scaled_dot_product_attention, (inputs, inputs, inputs)).healthy  # it has no signature


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ValueError, match="model must be a module or a function, got Tensor"):
        as_module(torch.zeros(3))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"causal": "yes"}, "causal must be True, False or None, got 'yes'"),
        ({"window": 3}, r"window must be \(before, after\), two whole numbers of at least 0, got 3"),
        ({"window": (-1, 0)}, r"window must be .*, got \(-1, 0\)"),
        ({"loss": 3}, "loss must be a function of the model and its inputs, got 3"),
        ({"step": 3}, "step must be a function of .*, got 3"),
    ],
)
def test_an_option_of_another_kind_is_told(as_installed: None, option: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        at.diagnose(torch.nn.Linear(3, 3), torch.randn(2, 8, 3), **option)


class KeepsWeights(nn.Module):
    """A small GPT that keeps the weights of its last call, as many do to show them."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(50, 16), nn.Embedding(64, 16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.out = nn.Linear(16, 50)
        self.kept: list[torch.Tensor] = []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        n = ids.shape[1]
        x = self.tokens(ids) + self.places.weight[:n]
        scores = self.query(x) @ self.key(x).mT / 4
        self.kept = [scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -1e9).softmax(-1)]
        return self.out(x + self.kept[0] @ self.value(x))


def test_a_model_that_keeps_its_weights_is_examined_after_a_call_too(seed: int) -> None:
    model, ids = KeepsWeights(), torch.randint(50, (3, 12))
    model(ids)
    kept = model.kept[0]
    diagnosis = at.diagnose(model, ids)
    assert diagnosis.healthy, str(diagnosis)
    assert model.kept[0] is kept
    assert kept.requires_grad


def test_what_cannot_be_copied_is_told(seed: int) -> None:
    model = KeepsWeights()
    model.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"the model cannot be copied \(TypeError: .*lock"):
        at.diagnose(model, torch.randint(50, (3, 12)))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_mode_of_the_caller_changes_nothing(mode: Callable, seed: int) -> None:
    model, ids = KeepsWeights(), torch.randint(50, (3, 12))
    with mode():
        diagnosis = at.diagnose(model, ids)
    assert diagnosis.healthy, str(diagnosis)
    assert set(diagnosis.checked) == set(at.diagnose(model, ids).checked)


def test_examinations_at_the_same_time_leave_what_is_set_for_the_process(seed: int) -> None:
    started = threading.Barrier(3)

    def examine(model: nn.Module) -> bool:
        started.wait()
        return at.diagnose(model, torch.randint(50, (3, 12))).healthy

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(examine, [KeepsWeights() for _ in range(3)])) == [True] * 3
    assert torch.get_default_dtype() == torch.float32
    assert eval_frame._stance.stance == "default"


def test_a_model_for_many_devices_is_examined_as_it_was_written(seed: int) -> None:
    model, (ids, mask) = Encoder(), padded.padded(11, 7, 9).values()
    plain, wrapped = at.diagnose(model, (ids, mask)), at.diagnose(nn.DataParallel(model), (ids, mask))
    assert wrapped.concluded == plain.concluded
    assert [one.check for one in wrapped.findings] == [one.check for one in plain.findings]
