"""attentio doctor module:function: the silent mistakes of any PyTorch model, found by what it does."""

import argparse
import contextlib
import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from attentio.errors import AttentioError

if TYPE_CHECKING:
    from torch import nn

    from attentio.inspection.doctor.diagnosis import Diagnosis

HELP = "find the silent mistakes of attention in a model of yours"
TAKES_OVERRIDES = False

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


class Case(NamedTuple):
    """What a user's function returns: a model, what it is called with, and options of `attentio.diagnose`."""

    model: "nn.Module"
    inputs: Any
    options: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "FUNCTION takes nothing and returns (model, inputs) or (model, inputs, options): inputs a tensor, a tuple of\n"
        "positional or a dict of keyword arguments; options those of attentio.diagnose, such as {'causal': True}.\n"
        "MODULE is imported from the current folder or the environment; path/to/file.py:FUNCTION works too.\n"
        "Exit code: 0 healthy (warnings and notes allowed), 1 not healthy, 2 could not be examined."
    )
    parser.add_argument("target", metavar="MODULE:FUNCTION", help="where the model and its example inputs come from")
    parser.add_argument("--json", action="store_true", help="print the diagnosis as JSON, and nothing else")
    parser.add_argument("--ignore", nargs="+", default=[], metavar="CHECK", help="findings that are known and accepted")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    # What the user's code prints must not get into the JSON.
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        case = _case(arguments.target, _function(arguments.target))
        diagnosis = _diagnose(arguments.target, case, arguments.ignore)
    if arguments.json:
        print(diagnosis.json())
    else:
        _show(diagnosis)
    return 0 if diagnosis.healthy else 1


def _function(target: str) -> Callable[[], Any]:
    place, _, name = target.rpartition(":")
    if not place or not name.isidentifier():
        raise AttentioError(f"{target}: write MODULE:FUNCTION or path/to/file.py:FUNCTION")
    module = _module(place)
    function = getattr(module, name, None)
    if not callable(function):
        known = [one for one, thing in vars(module).items() if inspect.isfunction(thing)]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "write one that returns (model, inputs)"
        raise AttentioError(f"{place} has no function {name!r}; {hint}")
    return function


def _module(place: str) -> ModuleType:
    path = Path(place)
    if path.suffix != ".py":
        sys.path.insert(0, "")  # as `python -m` does, so that a module of the current folder is found
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                raise AttentioError(f"{place} cannot be imported: {_told(error)}") from None
            raise AttentioError(f"no module {place!r} here or in this environment; name it, or a file.py") from None
        except (Exception, SystemExit) as error:
            raise AttentioError(f"{place} cannot be imported: {_told(error)}") from None
    if not path.is_file():
        raise AttentioError(f"{place}: no such file")
    sys.path.insert(0, str(path.parent.resolve()))  # as `python file.py` does
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses look for their module there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise AttentioError(f"{place} cannot be imported: {_told(error)}") from None
    return module


def _case(target: str, function: Callable[[], Any]) -> Case:
    from torch import nn

    from attentio.inspection.doctor.examination import diagnose

    try:
        returned = function()
    except (Exception, SystemExit) as error:
        raise AttentioError(f"{target} cannot be called: {_told(error)}") from None
    if not isinstance(returned, tuple) or len(returned) not in (2, 3) or not isinstance(returned[0], nn.Module):
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
    from attentio.inspection.doctor.checks import CHECKS
    from attentio.inspection.doctor.examination import diagnose

    known = [check.ID for check in CHECKS]
    wrong = next((one for one in ignore if one not in known), None)
    if wrong is not None:
        raise AttentioError(f"--ignore {wrong}: there is no such check; there are {', '.join(known)}")
    try:
        diagnosis = diagnose(case.model, case.inputs, **case.options)
    except ValueError as error:
        raise AttentioError(f"{target}: {' '.join(str(error).split())}") from None
    except Exception as error:
        raise AttentioError(f"{target} could not be examined: {_told(error)}") from None
    diagnosis.findings = [finding for finding in diagnosis.findings if finding.check not in ignore]
    return diagnosis


def _told(error: BaseException) -> str:
    """An exception of the user's code in one line, with the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def _show(diagnosis: "Diagnosis") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(emoji=False, highlight=False, markup=False)
    if diagnosis.findings:
        table = Table()
        for heading in ("", "check", "where", "found"):
            table.add_column(heading, no_wrap=heading in ("", "check"))
        for one in diagnosis.findings:
            table.add_row(Text(one.severity, _COLOURS[one.severity]), one.check, one.where, one.title)
        console.print(table)
    for one in diagnosis.findings:
        console.print()
        console.print(Text(f"{one.check}: {one.title}", _COLOURS[one.severity]))
        console.print(one.explanation)
        console.print("Evidence  " + "; ".join(_evidence(one.evidence.items())))
        console.print(f"Cure      {one.cure}")
    console.print()
    for name, what in diagnosis.concluded.items():
        console.print(f"concluded {name}: {what}")
    console.print(f"made {len(diagnosis.checked)} checks in {sum(diagnosis.checked.values()):.1f} s")
    for name, why in diagnosis.skipped.items():
        console.print(f"skipped {name}: {why}")
    verdict, colour = ("healthy", "bold green") if diagnosis.healthy else ("not healthy", "bold red")
    console.print(Text(verdict, colour))


def _evidence(items: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{name}: {f'{value:.3g}' if isinstance(value, float) else value}" for name, value in items]
