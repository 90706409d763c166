"""Code of the user's own that a configuration names, as what builds models is handed it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class OwnCode:
    """parts: functions and classes by what the configuration calls them, FILE.py:NAME. sha256: of each file."""

    parts: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)

    def made(self, name: str, **sizes: int) -> Callable[..., Any]:
        """A function as it is; a class made with those of the sizes that it asks for by name."""
        part: Any = self.parts[name]
        if inspect.isclass(part):
            asked = inspect.signature(part).parameters
            part = part(**{size: count for size, count in sizes.items() if size in asked})
        return part


NO_CODE = OwnCode()
