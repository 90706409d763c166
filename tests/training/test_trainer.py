"""The training loop: its arithmetic, its stops, and that a resumed run is the uninterrupted one."""

import json
import math
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_checkpoint import CrashAt
from tiny_training import RECIPE, TinyRun, loss_per_token, outcome
from torch import Tensor, nn

from attentio import system
from attentio.config.schema import Recipe
from attentio.errors import AttentioError
from attentio.training import loop
from attentio.training.checkpoint import Checkpoints
from attentio.training.loop import Validation

PLAIN = replace(RECIPE, accumulate=1, average=0.0, label_smoothing=0.0, validate_every=100, checkpoint_every=100)


def weights(run: TinyRun) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in run.model.named_parameters()}


# Arithmetic


def test_loss_is_per_token_over_all_accumulated_batches(tmp_path: Path, seed: int) -> None:
    """Two batches with different numbers of tokens give the update, the loss and the norm of one that has both."""
    together = np.arange(29)
    apart = [together[:23], together[23:]]
    recipe = replace(PLAIN, max_steps=1, warmup=0, decay="constant", log_every=1)
    merged = TinyRun(tmp_path / "merged", recipe, seed=seed, dropout=0.0, order=[together])
    accumulated = TinyRun(tmp_path / "apart", replace(recipe, accumulate=2), seed=seed, dropout=0.0, order=apart)
    expected = loss_per_token(merged.model, merged.data.batch(together))
    before = weights(merged)
    gradients = []
    for run in (merged, accumulated):
        run.train()
        gradients.append({name: parameter.grad for name, parameter in run.model.named_parameters()})
        assert run.rows[0]["loss"] == pytest.approx(expected, rel=1e-5)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=lambda text, name=name: f"{name}: {text}")
    assert merged.rows[0]["gradient_norm"] == pytest.approx(accumulated.rows[0]["gradient_norm"], rel=1e-4)
    assert any(not torch.equal(before[name], value) for name, value in weights(merged).items())


def test_mixed_precision_rounds_products_and_nothing_else(tmp_path: Path, seed: int) -> None:
    """In bfloat16 the gradients are others, the loss is a near one; weights and what AdamW keeps stay float32."""
    recipe = replace(PLAIN, max_steps=1, log_every=1)
    exact, mixed = (
        TinyRun(tmp_path / precision, recipe, seed=seed, dropout=0.0, order=[np.arange(29)], precision=precision)
        for precision in ("32-true", "bf16-mixed")
    )
    exact.train()
    mixed.train()
    assert mixed.rows[0]["loss"] == pytest.approx(exact.rows[0]["loss"], rel=0.05)
    pairs = zip(exact.model.parameters(), mixed.model.parameters(), strict=True)
    assert any(not torch.equal(left.grad, right.grad) for left, right in pairs)
    assert {parameter.dtype for parameter in mixed.model.parameters()} == {torch.float32}
    moments = [value for state in mixed.trainer.optimizer.state.values() for value in state.values()]
    assert {value.dtype for value in moments} == {torch.float32}


def test_the_logged_loss_is_per_token_over_the_whole_window(tmp_path: Path, seed: int) -> None:
    """With next to no learning rate the model stays, so the window's loss is that of all its tokens together."""
    order = [np.arange(0, 2), np.arange(2, 31), np.arange(31, 36)]
    recipe = replace(PLAIN, max_steps=3, learning_rate=1e-12, log_every=3)
    run = TinyRun(tmp_path, recipe, seed=seed, dropout=0.0, order=order)
    expected = loss_per_token(run.model, run.data.batch(np.arange(36)))
    run.train()
    assert run.rows[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_every_pair_is_seen_once_an_epoch_and_a_smaller_last_group_is_not_lost(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, replace(RECIPE, accumulate=3, max_steps=100), seed=seed)
    seen: list[int] = []
    load = run.load
    run.load = lambda indices, epoch: seen.extend(indices.tolist()) or load(indices, epoch)  # type: ignore[method-assign, func-returns-value]
    batches = len(run.epoch_batches(0))
    assert batches % 3
    run.train(stop_at=math.ceil(batches / 3))
    assert sorted(seen) == list(range(len(run.data)))


def test_gradients_are_clipped_by_their_norm(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, replace(PLAIN, max_steps=1, clip=0.01, log_every=1), seed=seed)
    run.train()
    norm = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in run.model.parameters()))
    assert norm == pytest.approx(0.01, rel=1e-3)
    assert run.rows[0]["gradient_norm"] > 0.01, "the norm before clipping is what is logged"


def test_the_average_is_what_is_saved_and_validated(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, replace(RECIPE, max_steps=5), seed=seed)
    run.train()
    average, own = run.trainer.average, weights(run)
    assert average is not None
    saved = Checkpoints(tmp_path).load("last", "model.safetensors").tensors["model.safetensors"]
    assert all(torch.equal(saved[name], average.weights[name]) for name in own)
    assert not all(torch.equal(saved[name], own[name]) for name in own)
    with average.applied(run.model):
        assert run.rows[-1]["dev_loss"] == run.validate(run.model.eval()).scores["dev_loss"]


# Validation


def test_dropout_is_off_in_validation_and_on_in_training(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, replace(RECIPE, max_steps=11), seed=seed)
    modes: list[tuple[str, bool]] = []
    validate = run.trainer.validate

    def watched(model: nn.Module) -> Validation:
        modes.append(("validation", any(module.training for module in model.modules())))
        return validate(model)

    run.trainer.validate = watched
    update = run.trainer._update

    def watched_update(group: list[np.ndarray]) -> None:
        update(group)
        modes.append(("training", all(module.training for module in run.model.modules())))

    run.trainer._update = watched_update  # type: ignore[method-assign,assignment]
    run.train()
    assert {mode for kind, mode in modes if kind == "validation"} == {False}
    assert {mode for kind, mode in modes if kind == "training"} == {True}


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_validating_does_not_disturb_training(tmp_path: Path, seed: int, average: float) -> None:
    """However often it is done; it draws no random numbers, since dropout is off."""
    often, once = (
        TinyRun(tmp_path / str(every), replace(RECIPE, average=average, validate_every=every, max_steps=7), seed=seed)
        for every in (1, 100)
    )
    torch.manual_seed(seed)
    often.train()
    torch.manual_seed(seed)
    once.train()
    expected = weights(once)
    assert all(torch.equal(value, expected[name]) for name, value in weights(often).items())


# Stops


def with_goals(run: TinyRun, goals: list[float]) -> None:
    following = iter(goals)
    run.trainer.validate = lambda model: Validation(goal := next(following), {"dev_loss": goal})


def test_early_stopping_counts_validations_without_improvement(tmp_path: Path, seed: int) -> None:
    recipe = replace(RECIPE, max_steps=1000, validate_every=2, patience=3)
    run = TinyRun(tmp_path, recipe, seed=seed)
    with_goals(run, [1.0, 3.0, 3.0, 2.0, 4.0, 4.0, 3.9, 4.0, 99.0])
    run.train()
    progress = run.trainer.progress
    assert (progress.step, progress.best_step, progress.best_goal, progress.finished) == (16, 10, 4.0, True)
    assert (tmp_path / "best").read_text() == "step-000010\n"
    assert (tmp_path / "last").read_text() == "step-000016\n"


def test_of_equal_goals_the_lower_loss_is_better(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, replace(RECIPE, max_steps=1000, validate_every=2, patience=2), seed=seed)
    following = iter([(0.0, 3.0), (0.0, 2.5), (0.0, 2.0), (0.0, 2.1), (0.0, 1.9), (-1.0, 0.5), (0.0, 1.9)])
    run.trainer.validate = lambda model: Validation((one := next(following))[0], {"dev_loss": one[1]}, one[1])
    run.train()
    progress = run.trainer.progress
    assert (progress.step, progress.best_step, progress.best_goal, progress.best_loss) == (14, 10, 0.0, 1.9)


def test_a_run_of_which_no_best_loss_was_noted_goes_on(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, replace(RECIPE, max_steps=4, validate_every=2), seed=seed)
    with_goals(run, [1.0, 1.0])
    run.train()
    facts = tmp_path / "checkpoints" / "step-000004" / "checkpoint.json"
    noted = json.loads(facts.read_text())
    del noted["progress"]["best_loss"]
    facts.write_text(json.dumps(noted))
    again = TinyRun(tmp_path, replace(RECIPE, max_steps=6, validate_every=2), seed=seed)
    again.trainer.validate = lambda model: Validation(1.0, {"dev_loss": 0.5}, 0.5)
    again.trainer.resume()
    again.train()
    assert (again.trainer.progress.best_step, again.trainer.progress.best_loss) == (6, 0.5)


def test_a_run_that_stopped_early_stays_stopped_until_it_gets_more_patience(tmp_path: Path, seed: int) -> None:
    recipe = replace(RECIPE, max_steps=1000, validate_every=2, patience=1)
    run = TinyRun(tmp_path, recipe, seed=seed)
    with_goals(run, [2.0, 1.0])
    run.train()
    again = TinyRun(tmp_path, recipe, seed=seed)
    again.trainer.resume()
    again.train()
    assert again.trainer.progress.step == 4
    patient = TinyRun(tmp_path, replace(recipe, patience=3), seed=seed)
    with_goals(patient, [1.0, 1.0])
    patient.trainer.resume()
    patient.train()
    assert patient.trainer.progress.step == 8


@pytest.mark.parametrize(("max_steps", "reached"), [(4, 8), (8, 8), (11, 11)])
def test_a_run_resumed_with_other_max_steps_ends_there_or_at_once(
    tmp_path: Path, seed: int, max_steps: int, reached: int
) -> None:
    TinyRun(tmp_path, seed=seed).train(stop_at=8)
    run = TinyRun(tmp_path, replace(RECIPE, max_steps=max_steps), seed=seed)
    run.trainer.resume()
    run.train()
    assert run.trainer.progress.step == reached


MINUTES = 1 / 60
TIMED = replace(RECIPE, max_steps=10**6, max_minutes=MINUTES, decay="linear", log_every=1, validate_every=10**6)


def test_a_training_of_minutes_ends_with_them_and_so_does_its_learning_rate(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, TIMED, seed=seed)
    run.train()
    progress, rates = run.trainer.progress, [row["learning_rate"] for row in run.rows]
    assert progress.finished
    assert progress.step < TIMED.max_steps
    before_the_last = run.rows[-2]["seconds"]
    assert before_the_last < 60 * MINUTES <= progress.seconds == run.rows[-1]["seconds"]
    assert progress.best_step == progress.step, "validated at the end"
    assert max(rates) > 0.5 * TIMED.learning_rate
    assert rates[-1] < 0.3 * TIMED.learning_rate
    again = TinyRun(tmp_path, replace(TIMED, max_minutes=2 * MINUTES), seed=seed)
    again.trainer.resume()
    assert not again.trainer.progress.finished
    again.train()
    assert progress.seconds + 0.5 * 60 * MINUTES < again.trainer.progress.seconds
    ended = TinyRun(tmp_path, TIMED, seed=seed)
    ended.trainer.resume()
    assert ended.trainer.progress.finished, "the minutes are over"


def test_a_warm_up_that_would_outlast_the_minutes_is_a_tenth_of_them(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, replace(TIMED, warmup=10**5), seed=seed)
    run.train()
    rates = [row["learning_rate"] for row in run.rows]
    assert max(rates) > 0.5 * TIMED.learning_rate
    assert rates.index(max(rates)) < 0.4 * len(rates), "most of the time is for what comes after"


def test_time_before_the_first_update_says_nothing_of_how_many_there_will_be(tmp_path: Path, seed: int) -> None:
    trainer = TinyRun(tmp_path, TIMED, seed=seed).trainer
    trainer.progress.seconds = 0.5
    assert trainer.total == TIMED.max_steps


def test_a_slow_first_update_does_not_shorten_the_warm_up(tmp_path: Path, seed: int) -> None:
    trainer = TinyRun(tmp_path, replace(TIMED, max_minutes=10, warmup=100), seed=seed).trainer
    progress = trainer.progress
    progress.step, progress.seconds, progress.first_seconds = 1, 60.0, 60.0
    assert (trainer.total, trainer.warmup) == (TIMED.max_steps, 100)
    progress.step, progress.seconds = 3, 60.0 + 2 * 0.5
    assert trainer.total == 3 + 2 * (600 - 61)
    assert trainer.warmup == 100
    progress.step, progress.seconds = 1, 601.0
    assert trainer.total == 1


def test_updates_that_are_made_before_the_minutes_are_over_are_the_end(tmp_path: Path, seed: int) -> None:
    for name, minutes in (("timed", 1e6), ("plain", None)):
        TinyRun(tmp_path / name, replace(RECIPE, max_minutes=minutes), seed=seed).train()
    assert outcome(tmp_path / "timed") == outcome(tmp_path / "plain")


def test_memory_that_is_free_is_given_back_now_and_then(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[int] = []
    run = TinyRun(tmp_path, replace(RECIPE, max_steps=7), seed=seed)
    monkeypatch.setattr(loop, "TIDIED_EVERY", 3)
    monkeypatch.setattr(system, "give_back_memory", lambda: given_back.append(run.trainer.progress.step))
    run.train()
    assert given_back == [3, 6]


def poison_at(run: TinyRun, step: int) -> None:
    """The model's features are NaN at an update."""
    features = run.model.features

    def poisoned(*arguments: Tensor) -> Tensor:
        return features(*arguments) * (math.nan if run.model.training and run.trainer.progress.step + 1 == step else 1)

    run.model.features = poisoned  # type: ignore[method-assign]


def test_a_non_finite_loss_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path, seed: int) -> None:
    recipe = replace(RECIPE, decay="constant", accumulate=1)
    run = TinyRun(tmp_path, recipe, seed=seed)
    poison_at(run, 11)
    before: dict[str, Tensor] = {}

    with pytest.raises(AttentioError) as caught:
        run.train()
    message = str(caught.value)
    assert "\n" not in message
    per_epoch = len(run.epoch_batches(0))
    epoch, position = divmod(10, per_epoch)
    first = int(run.epoch_batches(epoch)[position][0]) + 1
    for part in (
        "the loss is nan",
        "at step 11,",
        f"epoch {epoch},",
        f"batch {position} (rows {first}",
        "learning rate 0.01;",
        f"the last good checkpoint is {tmp_path / 'checkpoints' / 'step-000010'}",
        "choose another --run, with a lower training.learning_rate or training.clip",
    ):
        assert part in message
    good = Checkpoints(tmp_path).load("last", "model.safetensors", "training.safetensors")
    assert good.facts["step"] == 10
    for tensors in good.tensors.values():
        before |= tensors
    assert all(tensor.isfinite().all() for tensor in before.values())
    again = TinyRun(tmp_path, recipe, seed=seed)
    again.trainer.resume()
    again.train()
    assert again.trainer.progress.step == RECIPE.max_steps


def test_a_non_finite_gradient_stops_though_the_loss_is_finite(tmp_path: Path, seed: int) -> None:
    run = TinyRun(tmp_path, seed=seed)
    next(iter(run.model.parameters())).register_hook(lambda gradient: gradient * math.inf)
    before = weights(run)
    with pytest.raises(AttentioError, match=r"at step 1, .*no checkpoint was saved yet"):
        run.train()
    assert all(torch.equal(value, before[name]) for name, value in weights(run).items())


# Resuming


RECIPES = {
    "accumulated and averaged": RECIPE,
    "plain": replace(RECIPE, accumulate=1, average=0.0, weight_decay=0.0),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path: Path, seed: int, name: str) -> None:
    """Stopped and resumed after every step, in the middle of epochs and windows; dropout is on."""
    recipe = RECIPES[name]
    run = TinyRun(tmp_path / "whole", recipe, seed=seed)
    run.train()
    expected = outcome(tmp_path / "whole")
    updates_an_epoch = math.ceil(len(run.epoch_batches(0)) / recipe.accumulate)
    assert 1 < updates_an_epoch < recipe.max_steps / 2, "stops should fall inside of several epochs"
    pieces = tmp_path / "pieces"
    for step in range(1, recipe.max_steps + 1):
        piece = TinyRun(pieces, recipe, seed=seed + step - 1)  # other first weights, another random state
        if step > 1:
            piece.trainer.resume()
            assert piece.trainer.progress.step == step - 1
        piece.train(stop_at=step)
    assert outcome(pieces) == expected


@pytest.mark.parametrize("step", [1, 6, 11])
def test_a_killed_run_goes_on_from_its_last_checkpoint_bit_for_bit(tmp_path: Path, seed: int, step: int) -> None:
    """What it did after that checkpoint is done again, and stands once in the records."""
    TinyRun(tmp_path / "whole", seed=seed).train()
    run = TinyRun(tmp_path / "killed", seed=seed)
    update = run.trainer._update

    def killed(group: list[np.ndarray]) -> None:
        if run.trainer.progress.step == step:
            raise InterruptedError
        update(group)

    run.trainer._update = killed  # type: ignore[method-assign,assignment]
    with pytest.raises(InterruptedError):
        run.train()
    resumed = TinyRun(tmp_path / "killed", seed=seed if step < 4 else seed + 1)
    if step >= 4:
        resumed.trainer.resume()
    resumed.train()
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def best_at_step_2(run: TinyRun) -> TinyRun:
    progress = run.trainer.progress
    run.trainer.validate = lambda model: Validation(goal := -float(progress.step != 2), {"dev_loss": goal})
    return run


def crashed(folder: Path, recipe: Recipe, *, seed: int, crash: CrashAt, operation: int) -> bool:
    """Whether the save of the improved step 2 has so many operations on files that it crashed."""
    run = best_at_step_2(TinyRun(folder, recipe, seed=seed))
    save = run.trainer.save
    hit = False

    def saving(*, best: bool = False) -> None:
        nonlocal hit
        if run.trainer.progress.step != 2:
            return save(best=best)
        assert best
        hit = crash.during(lambda: save(best=best), folder=folder, operation=operation)
        raise InterruptedError

    run.trainer.save = saving  # type: ignore[method-assign]
    with pytest.raises(InterruptedError):
        run.train()
    return hit


def test_a_run_resumed_after_a_crash_in_a_save_is_the_uninterrupted_one(tmp_path: Path, seed: int) -> None:
    """Whatever operation on files was the last one; the links best and last end where they should."""
    crash = CrashAt()
    recipe = replace(RECIPE, max_steps=3, validate_every=2, checkpoint_every=1)
    best_at_step_2(TinyRun(tmp_path / "whole", recipe, seed=seed)).train()
    expected = outcome(tmp_path / "whole")
    operation, hit = 0, True
    while hit:
        folder = tmp_path / str(operation)
        hit = crashed(folder, recipe, seed=seed, crash=crash, operation=operation)
        resumed = TinyRun(folder, recipe, seed=seed + 1)
        resumed.trainer.resume()
        best_at_step_2(resumed).train()
        assert outcome(folder) == expected, f"crashed at operation {operation}"
        operation += 1
    assert operation > 12


def test_altered_facts_are_refused(tmp_path: Path, seed: int) -> None:
    TinyRun(tmp_path, seed=seed).train(stop_at=2)
    path = tmp_path / "checkpoints" / "step-000002" / "checkpoint.json"
    path.write_text(path.read_text().replace("best_step", "worst_step"))
    with pytest.raises(AttentioError, match=r"checkpoint\.json has been altered"):
        TinyRun(tmp_path, seed=seed).trainer.resume()


@pytest.mark.parametrize("changed", [{"step": "2"}, {"step": -2}, {"seconds": None}, {"scores": []}, {"more": 1}, {}])
def test_progress_of_other_types_is_refused(tmp_path: Path, seed: int, changed: dict[str, object]) -> None:
    TinyRun(tmp_path, seed=seed).train(stop_at=2)
    path = tmp_path / "checkpoints" / "step-000002" / "checkpoint.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"progress": changed and facts["progress"] | changed}))
    with pytest.raises(AttentioError, match=r"checkpoint\.json has been altered"):
        TinyRun(tmp_path, seed=seed).trainer.resume()


CHANGES = {
    "missing": lambda one: None,
    "of another type": lambda one: one.to(torch.float16),
    "of another shape": lambda one: one.flatten()[:1].repeat(2),
    "shorter, so that it would be repeated": lambda one: one.flatten()[:1],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["random_state", "weights.{}", "optimizer.exp_avg.{}", "optimizer.step.{}"])
def test_tensors_that_are_not_the_training_s_are_refused(tmp_path: Path, seed: int, name: str, change: str) -> None:
    """Though the sums are right, as in a run that another program wrote."""
    TinyRun(tmp_path, seed=seed).train(stop_at=2)
    resumed = TinyRun(tmp_path, seed=seed)
    parameter = max(dict(resumed.model.named_parameters()).items(), key=lambda item: item[1].numel())[0]
    folder = tmp_path / "checkpoints" / "step-000002"
    tensors = load_file(folder / "training.safetensors")
    entry = name.format(parameter)
    one = CHANGES[change](tensors.pop(entry))
    if change.startswith("shorter") and "step" in name:
        pytest.skip("one number has no shorter shape")
    save_file(tensors if one is None else tensors | {entry: one.contiguous()}, folder / "training.safetensors")
    facts = json.loads((folder / "checkpoint.json").read_text())
    facts["sha256"]["training.safetensors"] = sha256((folder / "training.safetensors").read_bytes()).hexdigest()
    (folder / "checkpoint.json").write_text(json.dumps(facts))
    with pytest.raises(AttentioError, match=f"training.safetensors holds no {entry} as this model has it"):
        resumed.trainer.resume()


def test_nothing_that_training_leaves_can_run_code(tmp_path: Path, seed: int) -> None:
    TinyRun(tmp_path, seed=seed).train()
    for path in tmp_path.rglob("*"):
        known = path.suffix in (".safetensors", ".json", ".csv") or path.name.startswith("events.out.tfevents")
        assert path.is_dir() or known or path.name in ("best", "last"), path
        if path.is_file():
            assert not path.read_bytes().startswith((b"\x80", b"PK")), f"{path} looks like a pickle"
