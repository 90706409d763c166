"""attentio doctor module:function (or RUN): the silent mistakes of any PyTorch model, found by what it does."""

import argparse
import contextlib
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attentio.commands.words import said
from attentio.errors import AttentioError
from attentio.files import is_missing
from attentio.runs.places import along
from attentio.runs.user_code import callable_of, told

if TYPE_CHECKING:
    from torch import nn

    from attentio.doctor.diagnosis import Diagnosis

TAKES_OVERRIDES = False

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


class Case(NamedTuple):
    """What a user's function returns: a model, what it is called with, and options of `attentio.diagnose`."""

    model: "nn.Module | Callable[..., Any]"
    inputs: Any
    options: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "FUNCTION takes no arguments and returns (model, inputs) or (model, inputs, options): inputs a tensor, a\n"
        "tuple of positional or a dict of keyword arguments; options for attentio.diagnose, such as {'causal': True}.\n"
        "A RUN is examined on random tokens.\n"
        "MODULE is imported from the current folder or the environment; path/to/file.py:FUNCTION works too.\n"
        "Exit code: 0 healthy (warnings and notes allowed), 1 not healthy, 2 could not be examined."
    )
    parser.add_argument(
        "target", metavar="MODULE:FUNCTION", help="where the model and its example inputs come from; or a RUN"
    )
    parser.add_argument("--json", action="store_true", help="print the diagnosis as JSON, and nothing else")
    parser.add_argument(
        "--device", default="auto", help="where to run it: cpu, cuda, cuda:1, mps, .. (default: where FUNCTION put it)"
    )
    parser.add_argument("--ignore", nargs="+", default=[], metavar="CHECK", help="findings that are known and accepted")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.devices import device_called
    from attentio.doctor.patient.called import as_module
    from attentio.doctor.patient.precision import moved

    # What the user's code prints must not get into the JSON.
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        target = arguments.target
        case = (
            _run(target, arguments.allow_code)
            if _names_run(target)
            else _case(target, callable_of(target, "write one that returns (model, inputs)"))
        )
        if arguments.device != "auto":
            model, inputs = moved(as_module(case.model), case.inputs, device_called(arguments.device))
            case = case._replace(model=model, inputs=inputs)
        diagnosis = _diagnose(arguments.target, case, arguments.ignore)
    if arguments.json:
        print(diagnosis.json())
    else:
        _show(diagnosis)
    return 0 if diagnosis.healthy else 1


def _names_run(target: str) -> bool:
    return target in along() or (not target.endswith(".py") and not is_missing(Path(target)))


def _run(target: str, allow_code: Sequence[str]) -> Case:
    from attentio.runs.load import load
    from attentio.runs.tasks import task_of

    run = load(target, device="cpu", allow_code=allow_code)
    return Case(run.model, task_of(run.config).example_inputs(run), {})


def _case(target: str, function: Callable[[], Any]) -> Case:
    from attentio.doctor.examination import diagnose

    try:
        returned = function()
    except (Exception, SystemExit) as error:
        raise AttentioError(f"{target} cannot be called: {told(error)}") from None
    if not isinstance(returned, tuple) or len(returned) not in (2, 3) or not callable(returned[0]):
        kinds = ", ".join(type(one).__name__ for one in returned) if isinstance(returned, tuple) else None
        got = type(returned).__name__ if kinds is None else f"({kinds})"
        raise AttentioError(f"{target} must return (model, inputs) or (model, inputs, options), got {got}")
    options = dict(returned[2]) if len(returned) == 3 else {}
    known = [name for name, one in inspect.signature(diagnose).parameters.items() if one.kind is one.KEYWORD_ONLY]
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        raise AttentioError(f"{target} returns an unknown option {unknown!r}; there are {', '.join(known)}")
    return Case(returned[0], returned[1], options)


def _diagnose(target: str, case: Case, ignore: Sequence[str]) -> "Diagnosis":
    from attentio.doctor.catalogue import CHECKS
    from attentio.doctor.examination import diagnose

    known = [check.ID for check in CHECKS]
    wrong = next((one for one in ignore if one not in known), None)
    if wrong is not None:
        raise AttentioError(f"--ignore {wrong}: there is no such check; there are {', '.join(known)}")
    try:
        diagnosis = diagnose(case.model, case.inputs, **case.options)
    except ValueError as error:
        raise AttentioError(f"{target}: {' '.join(str(error).split())}") from None
    except Exception as error:
        raise AttentioError(f"{target} could not be examined: {told(error)}") from None
    diagnosis.findings = [finding for finding in diagnosis.findings if finding.check not in ignore]
    return diagnosis


def _show(diagnosis: "Diagnosis") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(emoji=False, highlight=False, markup=False)
    if diagnosis.findings:
        table = Table()
        for heading in ("", "check", "where", "found"):
            table.add_column(said(heading), no_wrap=heading in ("", "check"))
        for one in diagnosis.findings:
            table.add_row(Text(said(one.severity), _COLOURS[one.severity]), one.check, one.where, one.title)
        console.print(table)
    for one in diagnosis.findings:
        console.print()
        console.print(Text(f"{one.check}: {one.title}", _COLOURS[one.severity]))
        console.print(one.explanation)
        console.print(f"{said('Evidence  ')}{'; '.join(_evidence(one.evidence.items()))}")
        console.print(f"{said('Cure      ')}{one.cure}")
    console.print()
    for name, what in diagnosis.concluded.items():
        console.print(said(f"concluded {name}: {what}"))
    console.print(said(f"made {len(diagnosis.checked)} checks in {sum(diagnosis.checked.values()):.1f} s"))
    for why, names in diagnosis.not_checked().items():
        console.print(said(f"not checked: {', '.join(names)}: {why}"))
    console.print(Text(said(diagnosis.verdict), "bold green" if diagnosis.healthy else "bold red"))


def _evidence(items: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{name}: {f'{value:.3g}' if isinstance(value, float) else value}" for name, value in items]
