"""The logit lens: what each layer of a Transformer would say if its output went to the final norm and output layer.

Reference: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.layers.token_embedding import TokenEmbedding
from attentio.layers.transformer_stack import TransformerStack
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.labeller import Labeller
from attentio.models.masked_lm import MaskedLM
from attentio.models.transformer import TransformerDecoder
from attentio.page.evidence import Lens
from attentio.runs.asked import Asked
from attentio.runs.walks import traced
from attentio.text.protocol import AnyTokenizer

LISTED = 3
"""Likeliest tokens of each layer at each place."""


def layers(model: nn.Module) -> int:
    """How many layers can be read off; 0 for a model whose output does not come from a Transformer's stack."""
    found = _parts(model)
    return 0 if found is None else len(found[0].blocks)


def lens(asked: Asked, tokenizer: AnyTokenizer, read: Sequence[str]) -> Lens:
    """Layer by layer, at the places at which something is said. read: the token at each of them."""
    found = _parts(asked.model)
    assert found is not None
    stack, embedding, output = found
    tokens, rows = asked.inputs[-1 if isinstance(asked.model, EncoderDecoder) else 0], list(asked.rows)
    said = torch.tensor(asked.said, device=tokens.device)[:, None]
    best, chances = [], []
    with torch.inference_mode():
        memory = asked.model.encode(*asked.inputs[:2]) if isinstance(asked.model, EncoderDecoder) else None
        for sublayers in traced(stack, embedding, tokens, memory)[1]:
            probabilities = output(stack.finish(sublayers[-1].outputs[0, rows])).float().softmax(-1)
            chances.append(probabilities.gather(1, said)[:, 0].cpu())
            probabilities[:, list(asked.suppressed)] = 0.0
            likely, ids = (each.tolist() for each in probabilities.topk(min(LISTED, probabilities.shape[1])))
            best.append([list(zip(tokenizer.tokens(i), p, strict=True)) for i, p in zip(ids, likely, strict=True)])
    return Lens(read, tokenizer.tokens(asked.said), best, torch.stack(chances))


def _parts(
    model: nn.Module,
) -> (
    tuple[TransformerStack, TokenEmbedding, Callable[[Float[Tensor, "places width"]], Float[Tensor, "places vocab"]]]
    | None
):
    """The stack from which the output comes, what it reads, and what makes logits of what it gives out."""
    if isinstance(model, EncoderDecoder):
        decoder = model.decoder
        return (decoder.stack, decoder.embedding, decoder.output) if isinstance(decoder, TransformerDecoder) else None
    if isinstance(model, MaskedLM):
        return model.stack, model.embedding, lambda hidden: model.output(model.head(hidden))
    return (model.stack, model.embedding, model.output) if isinstance(model, CausalLM | Labeller) else None
