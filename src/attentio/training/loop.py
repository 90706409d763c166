"""The training loop, top to bottom."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from attentio.errors import AttentioError
from attentio.models.protocols import Trainable
from attentio.text.tokenizer import PAD
from attentio.training.average import WeightAverage
from attentio.training.checkpoint import Checkpoints, Tensors
from attentio.training.loss import linear_cross_entropy
from attentio.training.records import Row
from attentio.training.schedule import Decay, learning_rate


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    max_steps: updates in all. peak_learning_rate, warmup, decay: see `schedule.learning_rate`.
    clip: largest norm of the gradient. accumulate: batches for one update. average: decay of the moving average
    of the weights, which is then what is validated and used; 0 for none.
    validate_every, checkpoint_every, log_every: in updates. patience: validations without improvement after which
    training stops early; 0 for never.
    """

    max_steps: int
    peak_learning_rate: float
    warmup: int
    decay: Decay
    weight_decay: float
    label_smoothing: float
    clip: float
    accumulate: int
    average: float
    validate_every: int
    checkpoint_every: int
    log_every: int
    patience: int


class Validation(NamedTuple):
    """Quality by free decoding. goal: the number that decides which checkpoint is the best; higher is better."""

    goal: float
    scores: dict[str, float]


@dataclass
class Progress:
    """Where training stands. It is saved with every checkpoint, so that a resumed run is the uninterrupted one.

    position: the next batch of the epoch. window_*: sums since the last row of the records; window_tokens counts the
    labels, window_size all real tokens.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    best_goal: float | None = None
    best_step: int = 0
    validations_since_best: int = 0
    seconds: float = 0.0
    window_loss: float = 0.0
    window_tokens: int = 0
    window_size: int = 0
    window_seconds: float = 0.0
    finished: bool = False
    scores: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Batch(Protocol):
    """inputs: given to the model's `features`. labels: the ids to predict, PAD where nothing is asked.
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

    def load(self, indices: Int[np.ndarray, "batch"], epoch: int) -> Batch:
        """The rows with these numbers."""
        ...


class Trainer:
    """Trains a model on batches, validating, logging and saving on the way.

    corpus: the batches. validate: model -> Validation.
    record: takes each row of numbers. should_stop: asked after every update; True saves and leaves.
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
    ) -> None:
        self.recipe, self.checkpoints, self.fabric = recipe, checkpoints, fabric
        self.corpus, self.validate = corpus, validate
        self.model = model
        products = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [{"params": products, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)
        _, self.optimizer = fabric.setup(model, optimizer)  # moves the model to its device
        self.average = WeightAverage(model, recipe.average) if recipe.average else None
        self.progress = Progress()

    def run(self, record: Callable[[Row], None], should_stop: Callable[[], bool]) -> Progress:
        """Train until the recipe's end, early stopping, or until asked to stop. Returns where it stands then."""
        recipe, progress = self.recipe, self.progress
        while not progress.finished:
            order = self.corpus.epoch_batches(progress.epoch)
            while progress.position < len(order) and not progress.finished:
                self._update(order[progress.position : progress.position + recipe.accumulate])
                progress.position += recipe.accumulate
                improved = False
                if progress.step % recipe.validate_every == 0 or progress.step == recipe.max_steps:
                    improved = self._validate()
                    progress.finished = progress.step == recipe.max_steps or self._out_of_patience()
                if progress.step % recipe.log_every == 0 or progress.scores:
                    record(self._row())
                stopping = should_stop()
                if progress.step % recipe.checkpoint_every == 0 or improved or stopping or progress.finished:
                    self.save(best=improved)
                if stopping:
                    return progress
            if not progress.finished:
                progress.epoch, progress.position = progress.epoch + 1, 0
        return progress

    def _update(self, group: Sequence[np.ndarray]) -> None:
        """One update from one or several batches; the loss is the mean over all their target tokens."""
        started = time.perf_counter()
        recipe, progress = self.recipe, self.progress
        rate = learning_rate(
            progress.step + 1,
            peak=recipe.peak_learning_rate,
            warmup=recipe.warmup,
            total=recipe.max_steps,
            decay=recipe.decay,
        )
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        batches = [self.fabric.to_device(self.corpus.load(indices, progress.epoch)) for indices in group]
        asked = [batch.labels != PAD for batch in batches]
        tokens = max(1, sum(int(each.sum()) for each in asked))
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        model = cast(Trainable, self.model)
        loss = 0.0
        for batch, where in zip(batches, asked, strict=True):
            # The wrapper that Fabric makes of a model would let `features` past mixed precision.
            with self.fabric.autocast():
                features = model.features(*batch.inputs)
            summed = linear_cross_entropy(
                features[where],
                model.output.weight,
                model.output.bias,
                batch.labels[where],
                label_smoothing=recipe.label_smoothing,
                never=PAD,
            )
            self.fabric.backward(summed / tokens)
            loss += summed.item()
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise AttentioError(self._not_finite(loss / tokens, norm, rate, group))
        self.optimizer.step()
        progress.step += 1
        if self.average:
            self.average.update(self.model, progress.step)
        progress.window_loss += loss
        progress.window_tokens += tokens
        progress.window_size += sum(batch.size for batch in batches)
        elapsed = time.perf_counter() - started
        progress.seconds += elapsed
        progress.window_seconds += elapsed
        self.last_rate, self.last_norm = rate, norm

    def _validate(self) -> bool:
        progress = self.progress
        self.model.eval()
        with torch.inference_mode():
            if self.average:
                with self.average.applied(self.model):
                    validation = self.validate(self.model)
            else:
                validation = self.validate(self.model)
        progress.scores = validation.scores
        if progress.best_goal is None or validation.goal > progress.best_goal:
            progress.best_goal, progress.best_step = validation.goal, progress.step
            progress.validations_since_best = 0
            return True
        progress.validations_since_best += 1
        return False

    def _out_of_patience(self) -> bool:
        return 0 < self.recipe.patience <= self.progress.validations_since_best

    def _row(self) -> Row:
        progress = self.progress
        row: Row = {
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
        last = self.checkpoints.folder / "last"
        kept = f"the last good checkpoint is {last.resolve()}" if last.exists() else "no checkpoint was saved yet"
        rows = ", ".join(str(int(index) + 1) for indices in group for index in indices[:5])
        return (
            f"the loss is {loss} (gradient norm {norm}) at step {progress.step + 1}, epoch {progress.epoch}, "
            f"batch {progress.position} (training rows {rows}, ..), learning rate {rate:g}; {kept}; "
            f"try a lower training.learning_rate or training.clip"
        )

    def save(self, *, best: bool = False) -> None:
        """Save all that a resumed run needs. `model.safetensors` holds the weights to use: the average, if any."""
        own = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        training: Tensors = {"random_state": torch.get_rng_state()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                training[f"optimizer.{key}.{name}"] = value
            if self.average:
                training[f"weights.{name}"] = parameter.detach()
        to_use = self.average.weights if self.average else own
        facts: dict[str, Any] = {"progress": dict(vars(self.progress))}
        files = {"model.safetensors": to_use, "training.safetensors": training}
        self.checkpoints.save(self.progress.step, files, facts, best=best)

    def resume(self) -> None:
        """Go on from the last checkpoint: weights, optimizer, random state and position in the data.

        Raises AttentioError where `Checkpoints.load` does.
        """
        saved = self.checkpoints.load("last", "model.safetensors", "training.safetensors")
        model, training = saved.tensors["model.safetensors"], saved.tensors["training.safetensors"]
        try:
            self.progress = progress = Progress(**saved.facts["progress"])
        except (KeyError, TypeError):
            facts = saved.path / "checkpoint.json"
            raise AttentioError(f"{facts} has been altered since it was saved; train again") from None
        # The recipe may allow more steps or more patience than before.
        progress.finished = progress.step >= self.recipe.max_steps or self._out_of_patience()
        if progress.best_step == progress.step:  # a crash may have kept the link from moving here
            self.checkpoints.point("best", saved.path)
        for name, parameter in self.model.named_parameters():
            if self.average:
                self.average.weights[name].copy_(model[name])
            parameter.data.copy_(training[f"weights.{name}"] if self.average else model[name])
            self.optimizer.state[parameter] = {
                key: training[f"optimizer.{key}.{name}"].to(parameter.device, copy=True)
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
        torch.set_rng_state(training["random_state"])
