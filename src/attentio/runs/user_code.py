"""A function or a class of somebody's own file or module, by name."""

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from attentio.errors import AttentioError, did_you_mean


def callable_of(target: str, advice: str) -> Callable[..., Any]:
    """What MODULE:NAME or path/to/file.py:NAME names; the module's own code runs, as by `import`.

    advice: what to write, for a name that is not there.

    Raises AttentioError where there is no such module or name, or it cannot be imported.
    """
    place, _, name = target.rpartition(":")
    if not place or not name.isidentifier():
        raise AttentioError(f"{target}: write MODULE:FUNCTION or path/to/file.py:FUNCTION")
    module = _module(place)
    found = getattr(module, name, None)
    if not callable(found):
        known = [one for one, thing in vars(module).items() if inspect.isfunction(thing) or inspect.isclass(thing)]
        raise AttentioError(f"{place} has no function {name!r}{did_you_mean(name, known) or f'; {advice}'}")
    return found


def _module(place: str) -> ModuleType:
    path = Path(place)
    if path.suffix != ".py":
        sys.path.insert(0, "")  # as `python -m` does, so that a module of the current folder is found
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                raise AttentioError(f"{place} cannot be imported: {told(error)}") from None
            raise AttentioError(f"no module {place!r} here or in this environment; name it, or a file.py") from None
        except (Exception, SystemExit) as error:
            raise AttentioError(f"{place} cannot be imported: {told(error)}") from None
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
        raise AttentioError(f"{place} cannot be imported: {told(error)}") from None
    return module


def told(error: BaseException) -> str:
    """An exception of the user's code in one line, with the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and not _ours(frame.filename)]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def _ours(filename: str) -> bool:
    return Path(filename).is_relative_to(Path(__file__).parents[1])
