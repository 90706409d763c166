"""The training loop, top to bottom."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from attentio import system
from attentio.config.schema import Recipe
from attentio.data.batches import IGNORE_INDEX
from attentio.errors import AttentioError, extra
from attentio.text.tokenizer import PAD
from attentio.training.average import WeightAverage
from attentio.training.checkpoint import FACTS, Checkpoint, Checkpoints, Tensors
from attentio.training.distillation import Teaching
from attentio.training.loss import Objective
from attentio.training.records import MetricsRow
from attentio.training.schedule import learning_rate

with extra("train"):
    from lightning_fabric import Fabric


TIDIED_EVERY = 250  # updates, after which memory that holes take is given back, in a twentieth of a second


class Validation(NamedTuple):
    """Quality by free decoding. goal: the number that decides which checkpoint is the best; higher is better. Of equal
    ones, as those of small sets are, the lower `loss` decides."""

    goal: float
    scores: dict[str, float]
    loss: float = 0.0


@dataclass
class Progress:
    """Where training stands. It is saved with every checkpoint, so that a resumed run is the uninterrupted one.

    position: the next batch of the epoch. seconds: of all updates; first_seconds: of the first, which is slow.
    window_*: sums since the last row of the records; window_tokens counts the labels, window_size all real tokens.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    best_goal: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    validations_since_best: int = 0
    seconds: float = 0.0
    first_seconds: float = 0.0
    window_loss: float = 0.0
    window_tokens: int = 0
    window_size: int = 0
    window_seconds: float = 0.0
    finished: bool = False
    scores: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class TrainingBatch(Protocol):
    """inputs: given to the model's `features`. labels: the ids to predict, IGNORE_INDEX where nothing is asked.
    size: real tokens, for the speed that is shown."""

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...
    @property
    def labels(self) -> Int[Tensor, "batch positions"]: ...
    @property
    def size(self) -> int: ...


@runtime_checkable
class Corpus(Protocol):
    """What is learnt from; both methods are functions of the seed it was made with, and of their arguments."""

    def epoch_batches(self, epoch: int) -> Sequence[np.ndarray]:
        """The numbers of the rows of each batch, in order."""
        ...

    def load(self, indices: Int[np.ndarray, "batch"], epoch: int) -> TrainingBatch:
        """The rows with these numbers."""
        ...


class Trainer:
    """Trains a model on batches, validating, logging and saving on the way.

    Where several ranks train (`attentio.training.ranks`), each has a trainer of its own: an update takes `accumulate`
    batches for each of them, dealt in turn, and is that of one process which takes all. Rank 0 validates and saves.

    corpus: the batches. validate: model -> Validation; of rank 0. teaching: what is learnt besides the labels.
    never: the id of no label, to which `label_smoothing` gives nothing, None where each may be one.
    facts: what every checkpoint holds besides the progress.
    record: takes each row of numbers. should_stop: asked after every update; True saves and leaves.
    watch: called with the number of updates, before the first one and at each validation, while the model is as it is
        validated; for rank 0.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        checkpoints: Checkpoints,
        *,
        fabric: Fabric,
        corpus: Corpus,
        validate: Callable[[nn.Module], Validation],
        never: int | None = PAD,
        teaching: Teaching | None = None,
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.recipe, self.checkpoints, self.fabric = recipe, checkpoints, fabric
        self.corpus, self.validate, self.facts = corpus, validate, facts
        self.model = model
        learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
        products = [parameter for parameter in learnt if parameter.ndim > 1]
        vectors = [parameter for parameter in learnt if parameter.ndim <= 1]
        groups = [{"params": products, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, recipe.beta2), fused=True)
        # Fabric's wrapper of the objective holds precision and, on several devices, the exchange of gradients.
        objective = Objective(
            model, label_smoothing=recipe.label_smoothing, never=never, r_drop=recipe.r_drop, teaching=teaching
        )
        self.objective, self.optimizer = fabric.setup(objective, optimizer)  # moves the model to its device
        self.average = WeightAverage(model, recipe.average) if recipe.average else None
        self.progress = Progress()
        if fabric.global_rank:  # rank 0 goes on as a process by itself would
            torch.manual_seed(_seed_of(fabric.global_rank))

    def run(
        self,
        record: Callable[[MetricsRow], None],
        should_stop: Callable[[], bool],
        watch: Callable[[int], None] | None = None,
    ) -> Progress:
        """Train until the recipe's end, early stopping, or until asked to stop. Returns where it stands then."""
        recipe, progress = self.recipe, self.progress
        if watch is not None and progress.step == 0:
            with self._evaluating():
                watch(0)
        at_once = recipe.accumulate * self.fabric.world_size
        while not progress.finished:
            started = time.perf_counter()
            order = self.corpus.epoch_batches(progress.epoch)
            self._count_time(started)
            while progress.position < len(order) and not progress.finished:
                self._update(order[progress.position : progress.position + at_once])
                progress.position += at_once
                improved = False
                at_the_end = progress.step >= self.total
                if progress.step % recipe.validate_every == 0 or at_the_end:
                    improved = self._validate(watch)
                    progress.finished = at_the_end or self._out_of_patience()
                if progress.step % recipe.log_every == 0 or progress.scores:
                    record(self._row())
                if progress.step % TIDIED_EVERY == 0:
                    system.give_back_memory()
                (stopping,) = self._summed(should_stop())
                if progress.step % recipe.checkpoint_every == 0 or improved or stopping or progress.finished:
                    self.save(best=improved)
                if stopping:
                    return progress
            if not progress.finished:
                progress.epoch, progress.position = progress.epoch + 1, 0
        return progress

    def _update(self, group: Sequence[np.ndarray]) -> None:
        """One update from one or several batches, of all ranks; the loss is the mean over all their target tokens."""
        started = time.perf_counter()
        recipe, progress = self.recipe, self.progress
        rate = learning_rate(
            progress.step + 1,
            peak=recipe.learning_rate,
            warmup=self.warmup,
            total=self.total,
            decay=recipe.decay,
        )
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        world, mine = self.fabric.world_size, group[self.fabric.global_rank :: self.fabric.world_size]
        # At the end of an epoch there may be none for this rank: it then takes part with one that does not count.
        counts, mine = (1, mine) if mine else (0, group[:1])
        batches = [self.fabric.to_device(self.corpus.load(indices, progress.epoch)) for indices in mine]
        tokens, size = self._summed(
            counts * sum(int((batch.labels != IGNORE_INDEX).sum()) for batch in batches),
            counts * sum(batch.size for batch in batches),
        )
        tokens, size = max(1, int(tokens)), int(size)
        self.objective.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for batch in batches:
            with self.fabric.no_backward_sync(self.objective, enabled=batch is not batches[-1]):
                summed = self.objective(batch.labels, *batch.inputs)
                # The ranks' gradients are averaged: this makes a sum of it.
                self.fabric.backward(counts * (summed / (tokens / world)))
            loss += counts * summed.item()
        (loss,) = self._summed(loss)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            if not self.fabric.is_global_zero:  # which tells it
                raise SystemExit(2)
            raise AttentioError(self._not_finite(loss / tokens, norm, rate, group))
        self.optimizer.step()
        progress.step += 1
        if self.average:
            self.average.update(self.model, progress.step)
        progress.window_loss += loss
        progress.window_tokens += tokens
        progress.window_size += size
        self._count_time(started)
        self.last_rate, self.last_norm = rate, norm

    def _count_time(self, started: float) -> None:
        """Add the time since then: the mean over the ranks, which must agree on the learning rate and the end."""
        (elapsed,) = self._summed(time.perf_counter() - started)
        self.progress.seconds += elapsed / self.fabric.world_size
        if self.progress.step == 1:
            self.progress.first_seconds = self.progress.seconds
        self.progress.window_seconds += elapsed / self.fabric.world_size

    @property
    def total(self) -> int:
        """Updates in all: of `max_minutes`, as many as they will be at the speed since the first."""
        recipe, progress = self.recipe, self.progress
        if recipe.max_minutes is None:
            return recipe.max_steps
        left = 60 * recipe.max_minutes - progress.seconds
        if left <= 0:
            return progress.step
        timed = progress.seconds - progress.first_seconds
        if progress.step < 2 or timed <= 0:
            return recipe.max_steps
        return min(recipe.max_steps, progress.step + math.ceil(left * (progress.step - 1) / timed))

    @property
    def warmup(self) -> int:
        """Updates of warm-up: at most a tenth of those that there is time for, or a short training would be no more."""
        return self.recipe.warmup if self.total == self.recipe.max_steps else min(self.recipe.warmup, self.total // 10)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Inside, the model is as it is used: in eval mode, its weights the average, if any."""
        self.objective.eval()
        with torch.inference_mode(), self.average.applied(self.model) if self.average else nullcontext():
            yield

    def _validate(self, watch: Callable[[int], None] | None) -> bool:
        progress, validation = self.progress, None
        with self._evaluating():
            if self.fabric.is_global_zero:
                validation = self.validate(self.model)
                if watch is not None:
                    watch(progress.step)
        validation = self.fabric.broadcast(validation)
        progress.scores = validation.scores
        if _is_better(validation, progress):
            progress.best_goal, progress.best_loss = validation.goal, validation.loss
            progress.best_step = progress.step
            progress.validations_since_best = 0
            return True
        progress.validations_since_best += 1
        return False

    def _summed(self, *numbers: int | float) -> list[Any]:
        """Each of the numbers, added up over the ranks: exactly where they are whole."""
        if self.fabric.world_size == 1:
            return [*numbers]
        own = torch.tensor(numbers, dtype=torch.float64, device=self.fabric.device)
        return [*self.fabric.all_reduce(own, reduce_op="sum").tolist()]

    def _out_of_patience(self) -> bool:
        return 0 < self.recipe.patience <= self.progress.validations_since_best

    def _row(self) -> MetricsRow:
        progress = self.progress
        row: MetricsRow = {
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": progress.window_loss / progress.window_tokens,
            "learning_rate": self.last_rate,
            "gradient_norm": self.last_norm,
            "target_tokens_per_second": progress.window_size / progress.window_seconds,
            "seconds": progress.seconds,
            **progress.scores,
        }
        progress.window_loss, progress.window_seconds = 0.0, 0.0
        progress.window_tokens = progress.window_size = 0
        progress.scores = {}
        return row

    def _not_finite(self, loss: float, norm: float, rate: float, group: Sequence[np.ndarray]) -> str:
        progress = self.progress
        exists = self.checkpoints.exists()
        kept = (
            f"the last good checkpoint is {self.checkpoints.path('last')}" if exists else "no checkpoint was saved yet"
        )
        rows = ", ".join(str(int(index) + 1) for indices in group for index in indices[:5])
        return (
            f"the loss is {loss} (gradient norm {norm}) at step {progress.step + 1}, epoch {progress.epoch}, "
            f"batch {progress.position} (rows {rows}, .. of what it trains on, without those held out or left out), "
            f"learning rate {rate:g}; {kept}; "
            f"choose another --run, with a lower training.learning_rate or training.clip"
        )

    def save(self, *, best: bool = False) -> None:
        """Save all that a resumed run needs. `model.safetensors` holds the weights to use: the average, if any."""
        own = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        training: Tensors = self._random_states("random_state", torch.get_rng_state())
        if (device := self.fabric.device).type != "cpu":
            state = torch.get_device_module(device).get_rng_state()
            training |= self._random_states(f"random_state.{device.type}", state)
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                training[f"optimizer.{key}.{name}"] = value
            if self.average:
                training[f"weights.{name}"] = parameter.detach()
        to_use = self.average.weights if self.average else own
        facts: dict[str, Any] = {"progress": dict(vars(self.progress)), "ranks": self.fabric.world_size, **self.facts}
        files = {"model.safetensors": to_use, "training.safetensors": training}
        if self.fabric.is_global_zero:
            self.checkpoints.save(self.progress.step, files, facts, best=best)
        self.fabric.barrier()  # a rank that ends before may be taken for one that failed

    def _random_states(self, name: str, own: Tensor) -> Tensors:
        """That of every rank, under its name in a checkpoint."""
        if self.fabric.world_size == 1:
            return {name: own}
        own = own.to(self.fabric.device)
        states = [torch.empty_like(own) for _ in range(self.fabric.world_size)]
        torch.distributed.all_gather(states, own)
        return {_of_rank(name, rank): state for rank, state in enumerate(states)}

    def resume(self) -> None:
        """Go on from the last checkpoint: weights, optimizer, random state and position in the data.

        Raises AttentioError where `Checkpoints.load` does, and where it was saved by more ranks or by fewer.
        """
        rank = self.fabric.global_rank
        saved = self.checkpoints.load("last", "model.safetensors", "training.safetensors")
        model, training = saved.tensors["model.safetensors"], saved.tensors["training.safetensors"]
        if (before := saved.facts.get("ranks", 1)) != (now := self.fabric.world_size):
            raise AttentioError(
                f"{saved.path} was saved by {before} processes, and now there are {now}: an update would take other "
                f"batches, and dropout other numbers; start {before}, or choose another --run to begin anew"
            )
        self.progress = progress = _progress(saved)
        # The recipe may allow more steps, more minutes or more patience than before.
        progress.finished = progress.step >= self.total or self._out_of_patience()
        best = self.checkpoints.of(progress.best_step)
        if self.fabric.is_global_zero and (best == saved.path or (best.is_dir() and not self.checkpoints.has("best"))):
            self.checkpoints.point("best", best)  # a crash may have kept it from moving here
        self.checkpoints.path("best")  # what is wrong with it is told now, not when training has been going on
        found = {"model.safetensors": model, "training.safetensors": training}

        def saved_as(file: str, name: str, like: Tensor) -> Tensor:
            tensor = found[file].get(name)
            if tensor is None or tensor.shape != like.shape or tensor.dtype != like.dtype:
                raise AttentioError(f"{saved.path / file} holds no {name} as this model has it; train again")
            return tensor

        count = torch.zeros(())  # of updates, as the optimizer keeps it
        for name, parameter in self.model.named_parameters():
            weights = saved_as("model.safetensors", name, parameter)
            if self.average:
                self.average.weights[name].copy_(weights)
                weights = saved_as("training.safetensors", f"weights.{name}", parameter)
            parameter.data.copy_(weights)
            entries = {key: f"optimizer.{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq")}
            if not parameter.requires_grad or training.keys().isdisjoint(entries.values()):
                continue  # no gradient has ever come to it
            self.optimizer.state[parameter] = {
                key: saved_as("training.safetensors", entry, count if key == "step" else parameter).to(
                    parameter.device, copy=True
                )
                for key, entry in entries.items()
            }
        own, device = _of_rank("random_state", rank), self.fabric.device.type
        torch.set_rng_state(saved_as("training.safetensors", own, torch.get_rng_state()))
        # There is none of this device where it went on from another one.
        if (state := training.get(_of_rank(f"random_state.{device}", rank))) is not None:
            torch.get_device_module(device).set_rng_state(state)


def _of_rank(name: str, rank: int) -> str:
    return f"{name}.rank{rank}" if rank else name


def _seed_of(rank: int) -> int:
    """Of what a rank draws, made of the seed that all began with."""
    return int(np.random.SeedSequence([torch.initial_seed(), rank]).generate_state(1, np.uint64)[0])


def _is_better(validation: Validation, progress: Progress) -> bool:
    if progress.best_goal is None or validation.goal > progress.best_goal:
        return True
    least = math.inf if progress.best_loss is None else progress.best_loss
    return validation.goal == progress.best_goal and validation.loss < least


def _progress(saved: Checkpoint) -> Progress:
    """Where training stood. AttentioError for facts that no training saved."""
    kinds: dict[type, Any] = {
        int: int,
        bool: bool,
        float: (int, float),
        dict: dict,
        type(None): (int, float, type(None)),
    }
    begun, facts = vars(Progress()), {"best_loss": None, **saved.facts.get("progress", {})}  # once it was not noted
    right = facts.keys() == begun.keys() and all(isinstance(facts[name], kinds[type(begun[name])]) for name in begun)
    if not right or any(facts[name] < 0 for name, value in begun.items() if type(value) is int):
        path = saved.path / FACTS
        raise AttentioError(f"{path} has been altered since it was saved: progress is none of a training; train again")
    return Progress(**facts)
