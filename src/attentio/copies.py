"""Copies of models, as they are after a call too."""

import copy
from typing import TypeVar

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from attentio.errors import AttentioError

Model = TypeVar("Model", bound=nn.Module)


def copy_of(model: Model) -> Model:
    """A deep copy of a model, which shares nothing with it.

    A tensor that a call left behind with its graph, such as attention weights that a layer keeps to show them, is
    copied without the graph: torch refuses to copy that.

    Raises:
        AttentioError: something that the model holds cannot be copied, such as a lock or an open file.
    """
    held = [value for module in model.modules() for value in tree_leaves(vars(module)) if isinstance(value, Tensor)]
    try:
        return copy.deepcopy(model, {id(one): one.detach().clone() for one in held if not one.is_leaf})
    except Exception as error:
        raise AttentioError(
            f"the model cannot be copied ({type(error).__name__}: {error}); leave out what cannot be copied, or give "
            f"its class a __deepcopy__"
        ) from error
