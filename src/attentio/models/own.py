"""Code of the user's own that a configuration names, as what builds models is handed it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class OwnCodeError(Exception):
    """A class of the user's own, by what the configuration calls it, could not be made; the cause says why."""


@dataclass(frozen=True)
class OwnCode:
    """parts: functions and classes by what the configuration calls them, FILE.py:NAME. sha256: of each file."""

    parts: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)

    def made(self, name: str, **sizes: int) -> Callable[..., Any]:
        """A function as it is; a class made with those of the sizes that it asks for by name.

        Raises OwnCodeError for a class that raises something, or leaves.
        """
        part: Any = self.parts[name]
        if inspect.isclass(part):
            try:
                asked = inspect.signature(part).parameters
                part = part(**{size: count for size, count in sizes.items() if size in asked})
            except (Exception, SystemExit) as error:
                raise OwnCodeError(name) from error
        return part


NO_CODE = OwnCode()
