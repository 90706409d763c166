"""Small models of transformers with random weights, and ours of every shape that theirs can hold."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as Library
from tokenizers import decoders, pre_tokenizers, processors
from tokenizers import models as library_models
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from attentio.config.schema import ModelConfig, TransformerConfig
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.masked_lm import MaskedLM
from attentio.models.transformer_presets import causal_lm, masked_lm, transformer_decoder, transformer_encoder
from attentio.text.tokenizer import Tokenizer

VOCABULARY, TARGET_VOCABULARY = 31, 23
WIDTH, HEADS, POSITIONS = 12, 3, 19
SAVED = 17  # entries of the tokenizer that `save` writes
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def widely(model: Any) -> Any:
    """The model with weights drawn so wide that nothing is nearly linear, and every bias and norm counts."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5)
    return model.eval()


def bert(**options: Any) -> PreTrainedModel:
    config = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": 2,
        "intermediate_size": 17,
        "max_position_embeddings": POSITIONS,
    }
    return widely(BertForMaskedLM(BertConfig(**config | options)))


def gpt2(**options: Any) -> PreTrainedModel:
    special = {"bos_token_id": 2, "eos_token_id": 3}
    sizes = {"vocab_size": VOCABULARY, "n_embd": WIDTH, "n_head": HEADS, "n_layer": 2, "n_positions": POSITIONS}
    return widely(GPT2LMHeadModel(GPT2Config(**special | sizes | options)))


def marian(**options: Any) -> PreTrainedModel:
    """The start of the decoder is the padding, as in all the published ones."""
    config = {
        "vocab_size": VOCABULARY,
        "d_model": WIDTH,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 17,
        "decoder_ffn_dim": 13,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 5,
        "decoder_start_token_id": 5,
        "eos_token_id": 3,
        "forced_eos_token_id": 3,
    }
    model = widely(MarianMTModel(MarianConfig(**config | options)))
    nn.init.normal_(model.final_logits_bias)
    return model


def save(model: PreTrainedModel, folder: Path) -> Path:
    """`save_pretrained`, and a tokenizer that need not do more than be there."""
    model.save_pretrained(folder)
    vocabulary = {letter: i for i, letter in enumerate(LETTERS[:SAVED])}
    Library(library_models.WordLevel(vocabulary, unk_token="b")).save(str(folder / "tokenizer.json"))
    return folder


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[START]"]
WORDS = [f"w{i}" for i in range(31 - len(SPECIAL))]
ROLES = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}


def saved(model: PreTrainedModel, folder: Path, *, before: str = "", after: str = "") -> PreTrainedTokenizerFast:
    """The model with a tokenizer of 31 words; `before` and `after` are put around a text."""
    model.save_pretrained(folder)
    core = Library(library_models.WordLevel({word: i for i, word in enumerate([*SPECIAL, *WORDS])}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.Sequence([])
    core.post_processor = processors.TemplateProcessing(
        single=f"{before} $A {after}".strip(), special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    roles = ROLES | {"sep_token": "[SEP]", "cls_token": "[CLS]", "eos_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **roles)
    tokenizer.save_pretrained(folder)
    return tokenizer


def our_bert(**options: Any) -> MaskedLM:
    sizes = {"positions": "learned", "activation": "gelu"}
    return widely(masked_lm(_config(**sizes | options), vocabulary=VOCABULARY))


def our_gpt2(**options: Any) -> CausalLM:
    sizes = {"positions": "learned", "activation": "gelu-tanh", "pre_norm": True}
    return widely(causal_lm(_config(**sizes | options), vocabulary=VOCABULARY))


def our_marian(*, shared: bool = True, target_vocabulary: int = VOCABULARY, **options: Any) -> EncoderDecoder:
    encoder = transformer_encoder(_config(encoder_layers=1, **options), vocabulary=VOCABULARY)
    decoder = transformer_decoder(
        _config(encoder_layers=1, **options),
        vocabulary=target_vocabulary,
        memory_features=WIDTH,
        tokens=encoder.embedding.tokens if shared else None,
    )
    return widely(EncoderDecoder(encoder, decoder))


def _config(*, encoder_layers: int = 2, **options: Any) -> ModelConfig:
    defaults = {"width": WIDTH, "heads": HEADS, "feed_forward": 17, "max_length": POSITIONS}
    return ModelConfig(
        encoder_layers=encoder_layers,
        decoder_layers=2,
        dropout=0.0,
        transformer=TransformerConfig(**defaults | options),
    )


def letters(*, mask: bool = False) -> Tokenizer:
    """One of as many entries as the models have: the reserved ones, the letters and a space."""
    return Tokenizer.train([LETTERS if mask else LETTERS + " "], kind="char", mask=mask)


def rows() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of three rows, the last one full, their lengths, and the mask that transformers wants."""
    tokens = torch.randint(VOCABULARY, (3, 11))
    lengths = torch.tensor([1, 7, 11])
    return tokens, lengths, (torch.arange(11) < lengths[:, None]).long()


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    """Equal within float32's rounding, and not for being trivial."""
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
