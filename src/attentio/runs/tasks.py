"""What the verbs need to know of each kind of model: a module for each, all with the same functions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attentio.config.schema import Config
from attentio.data.part import Part
from attentio.errors import AttentioError
from attentio.runs import causal, labelling, masked, translation
from attentio.runs.build import Blueprint, Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.filler import MaskedRun
from attentio.runs.generator import CausalRun
from attentio.runs.labeller import LabelRun
from attentio.runs.outputs import AttentionPicture
from attentio.runs.translator import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from attentio.data.kept import Cache
    from attentio.evaluation.report import Evaluation
    from attentio.runs.changed import Change, Changed
    from attentio.runs.fields import Fields, Question
    from attentio.runs.inspected import Inspected
    from attentio.runs.watched import Fixed
    from attentio.text.tokenizer import Tokenizer
    from attentio.training.loop import Corpus, Validation

AnyRun = Run | MaskedRun | CausalRun | LabelRun


@runtime_checkable
class Task(Protocol):
    """One kind of model, from its data to its use.

    blueprint: how its models are made. run_class: what uses them. verb: of the command line, for their main use.
    options: of the verbs that take every kind of model, those that do something for this one.
    evaluate(run, part, bar, **options): quality on held-out data; bar: a progress bar of rich.
    look(run, text, **options): the attention behind one text, as one matrix.
    """

    blueprint: Blueprint
    run_class: type[Any]
    verb: str
    options: Mapping[str, frozenset[str]]
    evaluate: "Callable[..., Evaluation]"
    look: Callable[..., AttentionPicture]

    def example(self, folder: str) -> str:
        """What to try after training: the words after `attentio`. folder: as a shell takes it."""
        ...

    def learn(self, config: Config, train: Part) -> "Tokenizers[Tokenizer]":
        """The vocabularies of the training data."""
        ...

    def keep(self, config: Config, train: Part, known: "Tokenizers[Any]") -> "Tokenizers[Any]":
        """The vocabularies of a model that training begins with; for `text.extend`, with what they lack."""
        ...

    def corpus(
        self, config: Config, part: Part, tokenizers: Tokenizers[Any], *, seed: int, cache: "Cache | None" = None
    ) -> "Corpus":
        """The batches of one part. cache: for the token ids, where they are many."""
        ...

    def notes(self, contents: Contents, corpus: "Corpus", dev: Part) -> list[str]:
        """What is to be known of the data before training, in lines for a person."""
        ...

    def metrics(self, config: Config) -> list[str]:
        """The names of what a validation measures. AttentioError for one that cannot be computed."""
        ...

    def validation(
        self, contents: Contents, dev: Part, say: Callable[[str], None]
    ) -> "Callable[[nn.Module], Validation]":
        """What is measured on the way. contents: of the run in training. say: where to show the results."""
        ...

    def to_watch(self, contents: Contents, dev: Part, count: int) -> "Fixed":
        """The first examples of dev whose attention is kept over the training."""
        ...

    def example_inputs(self, run: Any) -> "dict[str, Tensor]":
        """Arguments that the model of a run can be called with: random tokens."""
        ...

    def question(self, run: Any, fields: "Fields") -> "Question":
        """What a request asks of a served run; AttentioError for a field that is wrong."""
        ...

    def work(self, run: Any, question: "Question") -> int:
        """The most tokens that it reads and writes for it, each hypothesis by itself; and what is as much work."""
        ...

    def answers(self, run: Any, questions: "Sequence[Question]", each_step: Callable[[], None]) -> list[dict[str, Any]]:
        """What a served run answers to questions with the same options, several only where they go together."""
        ...

    def change(self, run: Any, text: str, change: "Change", each_step: Callable[[], None]) -> "Changed":
        """What a served run says of a text before and after a change of it."""
        ...

    def change_work(self, run: Any, text: str) -> int:
        """As `work`, of a change."""
        ...

    def to_try(self, text: str) -> str:
        """What to give a model of this kind, made of a text of its data."""
        ...

    def live(self, run: Any, text: str, each_step: Callable[[], None]) -> "Inspected":
        """What the live page shows of a text."""
        ...

    def transformers_snippet(self, folder: Path) -> str:
        """Python that opens an exported model with transformers."""
        ...


_ALL: tuple[Task, ...] = (translation, masked, causal, labelling)

TASKS: dict[str, Task] = {task.blueprint.type: task for task in _ALL}
"""Each kind of model, by its `model.type`: the one place where they are told apart."""


def task_of(config: Config) -> Task:
    """The kind of model that is configured."""
    return TASKS[config.model.type]


def options_for(verb: str, config: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a verb that were given, not None; AttentioError for one that does nothing for this model."""
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in task_of(config).options[verb]:
            option = f"--{name.replace('_', '-')}"
            types = ", ".join(type for type, task in TASKS.items() if name in task.options[verb])
            raise AttentioError(f"{option} is for models of type {types}, not for {config.model.type}; leave it out")
    return options
