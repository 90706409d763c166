"""x W^T without autograd, by the faster of torch's two libraries."""

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.attention.transforms import plain_only

_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def suits_onednn(inputs: Tensor, weight: Tensor) -> bool:
    """Whether `product` may leave torch's usual way: float32 on a CPU, nothing compiling or transforming, no mixed
    precision."""
    return (
        _ONEDNN is not None
        and inputs.dtype == weight.dtype == torch.float32
        and inputs.device.type == "cpu"
        and inputs.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not plain_only()
    )


def product(
    inputs: Float[Tensor, "*batch inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, "outputs"] | None = None,
) -> Float[Tensor, "*batch outputs"]:
    """inputs @ weight.T + bias, for use inside a `torch.autograd.Function`: it has no gradient of its own.

    In float32 on a CPU torch multiplies with MKL, which does not use the widest registers of every processor;
    oneDNN, which torch carries too, does, and gains most where the batch is small, as in the step of a recurrence.
    """
    if _ONEDNN is None or not suits_onednn(inputs, weight):
        return torch.nn.functional.linear(inputs, weight, bias)
    if not (weight.is_contiguous() or weight.T.is_contiguous()):
        weight = weight.contiguous()  # of a slice oneDNN would multiply a thousand times slower
    outputs = _ONEDNN(inputs.reshape(-1, inputs.shape[-1]), weight, bias, "none", [], "")
    return outputs.view(*inputs.shape[:-1], weight.shape[0])
