"""x W^T without autograd, by the faster of torch's two libraries."""

import torch
from jaxtyping import Float
from torch import Tensor

_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def product(
    inputs: Float[Tensor, "*batch inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, "outputs"] | None = None,
) -> Float[Tensor, "*batch outputs"]:
    """inputs @ weight.T + bias, for use inside a `torch.autograd.Function`: it has no gradient of its own.

    In float32 on a CPU torch multiplies with MKL, which does not use the widest registers of every processor;
    oneDNN, which torch carries too, does, and gains most where the batch is small, as in the step of a recurrence.
    """
    float32_on_cpu = inputs.device.type == "cpu" and inputs.dtype == weight.dtype == torch.float32
    if _ONEDNN is None or not float32_on_cpu or torch.is_autocast_enabled("cpu") or inputs.numel() == 0:
        return torch.nn.functional.linear(inputs, weight, bias)
    return _ONEDNN(inputs.flatten(0, -2), weight, bias, "none", [], "").unflatten(0, inputs.shape[:-1])
