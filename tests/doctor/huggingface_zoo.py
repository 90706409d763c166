"""Architectures of transformers, tiny and with random weights, each with the inputs that people give it."""

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn

VOCABULARY, LENGTHS, TARGET = 31, (11, 7, 10), 8
ENCODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 12,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 17,
    "max_position_embeddings": 40,
}
DECODER = {**ENCODER, "num_key_value_heads": 1}
SEQ2SEQ = {
    "vocab_size": VOCABULARY,
    "d_model": 12,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 17,
    "decoder_ffn_dim": 17,
    "max_position_embeddings": 40,
}
Example = tuple[nn.Module, dict[str, Any]]


def sentences(*, padding: int, left: bool = False) -> dict[str, Tensor]:
    """Token ids and the mask of what is real, padded at the end, or at the start if `left`."""
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    mask = mask.flip(1) if left else mask
    ids = torch.randint(4, VOCABULARY, mask.shape).masked_fill(~mask, padding)
    return {"input_ids": ids, "attention_mask": mask.long()}


def one_sequence(model: nn.Module, *, padding: int = 0) -> Example:
    return _wide(model), sentences(padding=padding)


def two_sequences(model: nn.Module, *, padding: int) -> Example:
    """With labels, so that the loss is looked at too; -100 where the target ends."""
    target = torch.randint(4, VOCABULARY, (len(LENGTHS), TARGET))
    labels = torch.cat([target[:, 1:], torch.full((len(LENGTHS), 1), 3)], dim=1)
    return _wide(model), {**sentences(padding=padding), "decoder_input_ids": target, "labels": labels}


def _wide(model: Any) -> nn.Module:
    """Weights drawn so wide that nothing is nearly linear, and every bias counts."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def vit() -> Example:
    sizes = {name: ENCODER[name] for name in ("hidden_size", "num_attention_heads", "num_hidden_layers")}
    config = hf.ViTConfig(**sizes, intermediate_size=17, image_size=8, patch_size=4)
    return _wide(hf.ViTForImageClassification(config)), {"pixel_values": torch.randn(3, 3, 8, 8)}


def longformer() -> Example:
    config = hf.LongformerConfig(**ENCODER, attention_window=4, pad_token_id=1)
    return one_sequence(hf.LongformerForMaskedLM(config), padding=1)


ARCHITECTURES: dict[str, Callable[[], Example]] = {
    "bert": lambda: one_sequence(hf.BertForMaskedLM(hf.BertConfig(**ENCODER))),
    "bert-classifier": lambda: one_sequence(hf.BertForSequenceClassification(hf.BertConfig(**ENCODER))),
    "roberta": lambda: one_sequence(hf.RobertaForMaskedLM(hf.RobertaConfig(**ENCODER, pad_token_id=1)), padding=1),
    "albert": lambda: one_sequence(hf.AlbertForMaskedLM(hf.AlbertConfig(**ENCODER, embedding_size=8))),
    "distilbert": lambda: one_sequence(
        hf.DistilBertForMaskedLM(
            hf.DistilBertConfig(
                vocab_size=VOCABULARY, dim=12, n_heads=2, n_layers=2, hidden_dim=17, max_position_embeddings=40
            )
        )
    ),
    "gpt2": lambda: one_sequence(
        hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=VOCABULARY, n_embd=12, n_head=2, n_layer=2, n_positions=40))
    ),
    "opt": lambda: one_sequence(
        hf.OPTForCausalLM(
            hf.OPTConfig(
                vocab_size=VOCABULARY,
                hidden_size=12,
                num_attention_heads=2,
                num_hidden_layers=2,
                ffn_dim=17,
                max_position_embeddings=40,
                word_embed_proj_dim=12,
                pad_token_id=1,
            )
        ),
        padding=1,
    ),
    "llama": lambda: one_sequence(hf.LlamaForCausalLM(hf.LlamaConfig(**DECODER))),
    "mistral": lambda: one_sequence(hf.MistralForCausalLM(hf.MistralConfig(**DECODER, sliding_window=4))),
    "qwen2": lambda: one_sequence(hf.Qwen2ForCausalLM(hf.Qwen2Config(**DECODER))),
    "t5": lambda: two_sequences(
        hf.T5ForConditionalGeneration(
            hf.T5Config(
                vocab_size=VOCABULARY, d_model=12, d_kv=6, d_ff=17, num_layers=2, num_heads=2, decoder_start_token_id=0
            )
        ),
        padding=0,
    ),
    "bart": lambda: two_sequences(hf.BartForConditionalGeneration(hf.BartConfig(**SEQ2SEQ, pad_token_id=1)), padding=1),
    "marian": lambda: two_sequences(
        hf.MarianMTModel(hf.MarianConfig(**SEQ2SEQ, pad_token_id=1, decoder_start_token_id=1)), padding=1
    ),
    "vit": vit,
    "longformer": longformer,
}
