"""Parameters that stay as they are while the others learn."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from attentio.errors import AttentioError, did_you_mean


def freeze(model: nn.Module, patterns: Sequence[str]) -> int:
    """Fix the parameters whose names match a pattern, as of a shell; a shared one goes by any of its names.

    Returns how many numbers are fixed. Raises AttentioError for a pattern that matches nothing, and where nothing is
    left to learn.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    for pattern in patterns:
        found = [parameter for name, parameter in named.items() if fnmatchcase(name, pattern)]
        if not found:
            hint = did_you_mean(pattern.rstrip(".*"), named) or f"; they begin with {next(iter(named))}"
            raise AttentioError(f"training.freeze: no parameter of the model is called {pattern!r}{hint}")
        for parameter in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise AttentioError("training.freeze leaves nothing to learn; take a pattern out")
    return sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
