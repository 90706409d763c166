"""The model in training mode without what training alone has: dropout, and statistics of the batch where so asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import no_type_check

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import paired
from attentio.doctor.patient.subject import Subject, measured_once
from attentio.doctor.probes.comparison import compared, largest

NORMS = nn.modules.batchnorm._NormBase
"""Layers that keep running statistics: of the batch in training, the kept ones in evaluation."""


RANDOM = "in training, random numbers other than those of dropout change the results"


class Trained:
    """A copy in training mode without dropout. batch_statistics: whether `NORMS` are in training mode too."""

    def __init__(self, subject: Subject, *, batch_statistics: bool) -> None:
        self._subject = subject
        self.model = subject.fresh().train()
        for module in self.model.modules():
            _no_dropout(module)
            if isinstance(module, NORMS) and not batch_statistics:
                module.eval()

    def run(self, values: dict[str, Tensor] | None = None, *, seed: int = 0) -> dict[str, Tensor]:
        """As `Subject.run`, by the paths of evaluation."""
        with without_dropout():
            outputs = self._subject.run(values, model=self.model, seed=seed, what="in training mode")
        return paired(self._subject.base, outputs)


@measured_once
def trained(subject: Subject, facts: Facts, *, batch_statistics: bool) -> Trained:
    """The copy.

    Raises:
        Skip: it does not run, returns none of the outputs of evaluation, or random numbers still decide what it gives.
    """
    copy = Trained(subject, batch_statistics=batch_statistics)
    first = copy.run()
    if not compared(facts, subject.base, first):
        raise Skip(f"in training the model returns other outputs: {', '.join(first) or 'none'}")
    if largest(compared(facts, first, copy.run(seed=1)))[0] > subject.tolerance:
        raise Skip(RANDOM)
    return copy


@contextmanager
def without_dropout() -> Iterator[None]:
    """Dropout by functions keeps everything, whatever it is told."""
    with _KeepEverything():
        yield


def _no_dropout(module: nn.Module) -> None:
    """Layers keep their probability in a number, whatever it is called: dropout, attn_pdrop, drop_path, layerdrop."""
    dropped = "drop" in type(module).__name__.lower()
    for name, value in vars(module).items():
        if isinstance(value, float) and 0 < value <= 1 and ("drop" in name.lower() or (dropped and name == "p")):
            setattr(module, name, 0.0)


class _KeepEverything(TorchFunctionMode):
    @no_type_check
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if "dropout" in name:
            return args[0] if args else kwargs["input"]
        if name == "scaled_dot_product_attention":
            kwargs, args = {**kwargs, "dropout_p": 0.0}, args[:4] + args[5:]
            if len(args) > 4:  # is_causal came by place, behind dropout_p
                kwargs, args = {**kwargs, "is_causal": args[4]}, args[:4]
        return func(*args, **kwargs)
