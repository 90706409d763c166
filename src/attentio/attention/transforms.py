"""torch.func and forward-mode differentiation: what runs inside of them must be plain torch operations."""

import torch
from torch.autograd import forward_ad


def writing_onnx() -> bool:
    """Whether `torch.onnx.export` reads the model: then too tensors have no numbers, and lengths may be any."""
    return torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export()


def transforming() -> bool:
    """Whether a torch.func transform (grad, vmap, jvp, ..) or forward-mode differentiation is at work.

    Their tensors have no numbers that Python could look at, and neither a kernel that autograd does not know nor an
    `autograd.Function` says how it is to be transformed.
    """
    if torch.compiler.is_compiling():  # which traces transforms in its own way, and no private question
        return False
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
