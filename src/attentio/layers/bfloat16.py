"""Linear layers whose products read bfloat16: half of the bytes, and twice the rate where a processor has them."""

import copy
import platform
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.errors import AttentioError
from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights

Model = TypeVar("Model", bound=nn.Module)


class Bfloat16Linear(nn.Module):
    """x W^T + b of a trained layer, with inputs, weights and outputs rounded to bfloat16; not to be trained.

    Sums are in float32. A rounded number is off by 1/512 of itself at most.
    """

    def __init__(self, layer: Linear) -> None:
        super().__init__()
        self.weight, bias = _rounded(layer.weight), layer.bias
        self.bias = None if bias is None else _rounded(bias)

    def forward(
        self, inputs: Float[Tensor, "*batch inputs"], packed: PackedWeights | None = None
    ) -> Float[Tensor, "*batch outputs"]:
        """The outputs in the inputs' own dtype; `packed` as in `Linear`."""
        weight, rows = self.weight, inputs.numel() // inputs.shape[-1]
        if packed is not None:
            about = 1 << (rows - 1).bit_length()
            weight = packed.get((self, about), lambda: torch.ops.mkldnn._reorder_linear_weight(self.weight, about))
        flat = inputs.flatten(0, -2).bfloat16()
        outputs = torch.ops.mkldnn._linear_pointwise(flat, weight, self.bias, "none", [], "")
        return outputs.to(inputs.dtype).view(*inputs.shape[:-1], -1)


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for products of bfloat16; without them these are slower than float32."""
    if not torch.backends.mkldnn.is_available():  # oneDNN, which does not come with every build of torch
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):  # it calls AVX-512 alone support enough
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def in_bfloat16(model: Model, *, but: nn.Module) -> Model:
    """A copy of the model with every `Linear` but that one, such as the output layer, as a `Bfloat16Linear`.

    Raises:
        AttentioError: for a model on another device than a CPU, and on a processor without instructions for bfloat16,
            on which this would be slower.
    """
    if (device := next(model.parameters()).device).type != "cpu":
        raise AttentioError(f"bfloat16 is used on a CPU only, and the model is on {device}; give --device cpu")
    if not multiplies_bfloat16():
        raise AttentioError("this processor has no instructions for bfloat16")
    rounded = copy.deepcopy(model, {id(kept): kept for kept in (but, *but.parameters())})
    for module in list(rounded.modules()):
        for name, child in module.named_children():
            if type(child) is Linear and child is not but:
                setattr(module, name, Bfloat16Linear(child))
    return rounded


def _rounded(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach().bfloat16(), requires_grad=False)
