"""Which attentions of a model are meant: by name, by pattern, or by number."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from attentio.capturing.caller import names_of

Layers = str | int | Sequence[str | int]


def layer_filter(model: nn.Module, layers: Layers | None) -> Callable[[str], bool]:
    """Whether the attention of a name is wanted.

    A string is the name of the attention or of a module it is in, or such a part of its path, or a pattern of those
    ("decoder.*"). A number is that of a layer in a stack: the first number in the name; -1 is the last of its stack.
    """
    if layers is None:
        return lambda name: True
    wishes = [layers] if isinstance(layers, str | int) else list(layers)
    counts: dict[str, int] = {}
    for name, _ in names_of(model).values():
        numbered = _number(name)
        if numbered is not None:
            stack, number = numbered
            counts[stack] = max(counts.get(stack, 0), number + 1)

    def fits(name: str, wish: str | int) -> bool:
        if isinstance(wish, str):
            return any(fnmatchcase(name, f"{before}{wish}{behind}") for before in ("", "*.") for behind in ("", ".*"))
        numbered = _number(name)
        if numbered is None:
            return False
        stack, number = numbered
        return number == (wish if wish >= 0 else counts[stack] + wish)

    return lambda name: any(fits(name, wish) for wish in wishes)


def _number(name: str) -> tuple[str, int] | None:
    """The stack that a module is in, and its place there."""
    path = name.split(".")
    for depth, step in enumerate(path):
        if step.isdigit():
            return ".".join(path[:depth]), int(step)
    return None
