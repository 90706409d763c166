"""How much memory a training takes at least, told before it begins."""

from collections.abc import Sequence

from torch import nn

from attentio.memory import check_memory, fits
from attentio.models.protocols import Trainable
from attentio.training.loop import Corpus

FLOAT = 4  # bytes


def check_training_fits(
    model: nn.Module, corpus: Corpus, *, batch_tokens: int, beside: Sequence[nn.Module] = ()
) -> None:
    """AttentioError where the memory holds neither the optimizer's numbers nor what a backward pass needs of a batch.

    What it needs is reckoned too low, as inputs and outputs of every product: what would fit is never refused.
    beside: teachers, whose weights are there too.
    """
    weights = sum(parameter.numel() for parameter in model.parameters())
    taught = sum(parameter.numel() for teacher in beside for parameter in teacher.parameters())
    learnt = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    check_memory(
        FLOAT * (weights + 3 * learnt + taught),  # gradients, and two averages
        f"training {learnt:,} parameters" + (f" beside the {taught:,} of its teachers" if taught else ""),
        "give smaller sizes or fewer layers in model" + (", or fewer teachers" if taught else ""),
    )
    kept = FLOAT * _numbers_a_token(model)
    if not fits(batch_tokens * kept):  # but the data may be fewer than a batch may hold
        largest = corpus.load(max(corpus.epoch_batches(0), key=len), 0).labels.numel()
        check_memory(largest * kept, f"a batch of {largest:,} tokens", "give a smaller training.batch_tokens")


def _numbers_a_token(model: nn.Module) -> int:
    """Inputs and outputs of the products. Of the output layer, whose logits exist a few rows at a time, inputs only."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    if isinstance(model, Trainable):
        tables.add(id(model.output.weight))
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    return sum(each.shape[1] if id(each) in tables else sum(each.shape) for each in matrices)
