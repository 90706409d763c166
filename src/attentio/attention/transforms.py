"""torch.func, forward-mode differentiation, tracing, dispatch modes: what runs inside must be plain operations."""

import torch
from torch import Tensor
from torch.autograd import forward_ad


def writing_onnx() -> bool:
    """Whether `torch.onnx.export` reads the model: then too tensors have no numbers, and lengths may be any."""
    return torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export()


def transforming() -> bool:
    """Whether a torch.func transform (grad, vmap, jvp, ..), forward-mode differentiation or `torch.jit.trace` works.

    Their tensors have no numbers that Python could look at, and neither a kernel that autograd does not know nor an
    `autograd.Function` says how it is to be transformed.
    """
    if torch.compiler.is_compiling():
        return torch._C._are_functorch_transforms_active()
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0 or torch._C._is_tracing()


def dispatching() -> bool:
    """Whether a dispatch mode is told of every operation: FakeTensorMode, make_fx, FlopCounterMode, ..

    Tensors may have no numbers then, and operations that torch does not know would go unseen.
    """
    return not torch.compiler.is_compiling() and torch._C._len_torch_dispatch_stack() > 0


def plain_only() -> bool:
    """Whether only torch's own operations may be used, and no number may be looked at."""
    return torch.compiler.is_compiling() or transforming() or dispatching()


def recording(*upstream: Tensor | None) -> bool:
    """Whether a backward pass must be of plain torch operations: it is recorded, or it gets many gradients at once."""
    return torch.is_grad_enabled() or many_at_once(*upstream)


def many_at_once(*gradients: Tensor | None) -> bool:
    """Whether they are of `is_grads_batched`, as in `torch.autograd.functional.jacobian(vectorize=True)`."""
    return any(grad is not None and torch._C._functorch.is_legacy_batchedtensor(grad) for grad in gradients)
