"""Losses that ask for another token than the next one."""

import torch
from sequence_models import Case, Decoder, Translator, rows
from torch import Tensor, nn
from torch.nn import functional as F


class ShiftsItself(Decoder):
    """As models of transformers do: labels are the tokens as they are."""

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = super().forward(input_ids)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return {"loss": loss, "logits": logits}


class GivesLoss(Decoder):
    """(logits, loss)."""

    def forward(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = super().forward(tokens)
        return logits, F.cross_entropy(logits.mT, targets)


def shifted(model: nn.Module, tokens: Tensor) -> Tensor:
    return F.cross_entropy(model(tokens[:, :-2]).flatten(0, 1), tokens[:, 2:].flatten())


def shifted_again(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The target has been shifted against the decoder's input, and is once more."""
    labels = torch.cat([inputs["target"][:, 1:], inputs["target"][:, :1]], dim=1)
    return F.cross_entropy(model(**inputs)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def backwards() -> tuple[Tensor, Tensor]:
    tokens, _ = rows(12, 12)
    return tokens[:, 1:].contiguous(), tokens[:, :-1].contiguous()


def twice() -> dict[str, Tensor]:
    tokens, _ = rows(12, 12, 12)
    return {"input_ids": tokens[:, :-1], "labels": tokens[:, 1:]}


def once() -> dict[str, Tensor]:
    tokens, _ = rows(12, 12, 12)
    return {"input_ids": tokens, "labels": tokens}


def sides() -> dict[str, Tensor]:
    return {"source": rows(9, 9)[0], "target": rows(8, 8)[0], "source_mask": rows(9, 9)[1]}


LABELS_SHIFTED = {
    "in-data-and-model": lambda: Case(ShiftsItself(), twice()),
    "in-a-loss": lambda: Case(Decoder(), rows(12, 12)[0], {"loss": shifted}),
    "of-a-decoder": lambda: Case(Translator(), sides(), {"loss": shifted_again}),
    "backwards": lambda: Case(GivesLoss(), backwards()),
}
HEALTHY = {"shifts-itself": lambda: Case(ShiftsItself(), once())}
