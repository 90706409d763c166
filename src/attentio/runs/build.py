"""The one place where the configuration becomes objects."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import nn

from attentio import system
from attentio.config.schema import Config, ModelConfig, SideConfig
from attentio.errors import AttentioError
from attentio.files import parse_json, read_json
from attentio.memory import check_memory, fits
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.features import read_features
from attentio.models.labeller import Labeller
from attentio.models.masked_lm import MaskedLM
from attentio.models.own import NO_CODE, OwnCode, OwnCodeError
from attentio.models.pointer import with_pointer
from attentio.models.presets import (
    Encoder,
    bahdanau,
    delayed,
    hard,
    luong,
    plain,
    recurrent_encoder,
    transducer,
    with_own_attention,
)
from attentio.models.transformer import TransformerEncoder
from attentio.models.transformer_presets import causal_lm, labeller, masked_lm, transformer_decoder, transformer_encoder
from attentio.runs.archive import TOKENIZERS
from attentio.runs.user_code import told
from attentio.text.copying import Copying, ids_of_the_same
from attentio.text.featured import FeaturedTokenizer
from attentio.text.pretrained import tokenizer_of
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import Tokenizer

FLOAT = 4  # bytes

AnyT = TypeVar("AnyT", bound=AnyTokenizer, covariant=True)


@dataclass(frozen=True)
class Tokenizers(Generic[AnyT]):
    """Of the two sides; the same one twice where the vocabulary is shared, and for a language model.

    Where sources have features, those are known to the source's alone: `source.plain` is then what is shared.

    shared: whether ids mean the same on both sides, as of one tokenizer, or of two of Marian's, so that the sides can
    share their embedding.
    """

    source: AnyT
    target: AnyT
    shared: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", self.shared or self.target is self.source.plain)

    def save(self, folder: Path) -> None:
        """Write one file for each different tokenizer; that of a training that came to nothing here goes."""
        folder.mkdir(exist_ok=True)
        system.replace_text(folder / "source.json", self.source.to_json())
        if self.target is self.source.plain:
            (folder / "target.json").unlink(missing_ok=True)
        else:
            system.replace_text(folder / "target.json", self.target.to_json())


def learn_tokenizer(side: SideConfig, texts: Iterable[str], *, mask: bool = False) -> Tokenizer:
    """Learn the vocabulary of the training text of one side.

    Raises AttentioError where it is said to be there already, and is not.
    """
    if side.tokenizer == "pretrained":
        raise AttentioError(
            "text.source.tokenizer pretrained is the one that comes with --init; give it, or another kind"
        )
    return Tokenizer.train(texts, kind=side.tokenizer, vocab_size=side.vocab_size, jamo=side.jamo, mask=mask)


class Blueprint(NamedTuple):
    """How the models of one type are made.

    type: their `model.type`. pairs: whether they are trained on pairs, and may have a tokenizer for each side.
    build: from the configuration to a fresh model for these vocabularies, with the user's own code.
    """

    type: str
    pairs: bool
    build: Callable[[ModelConfig, Tokenizers, OwnCode], Any]

    def load_tokenizers(self, folder: Path, config: Config) -> Tokenizers[AnyTokenizer]:
        """Read what `Tokenizers.save` wrote for this configuration; AttentioError for a file missing or damaged."""
        names = (
            ["source.json", "target.json"]
            if self._has_two(config, (folder / "target.json").is_file())
            else ["source.json"]
        )
        try:
            loaded = [tokenizer_of(read_json(folder / name), folder / name) for name in names]
        except AttentioError as error:
            raise AttentioError(f"{error}; if there is no copy of the run, train again") from None
        return Tokenizers(loaded[0], loaded[-1].plain, shared=config.text.shared)

    def tokenizers_in(self, entries: Mapping[str, bytes], config: Config, path: Path) -> Tokenizers[AnyTokenizer]:
        """Those of a bundle, whose entries these are; AttentioError for one missing or damaged."""
        names = TOKENIZERS if self._has_two(config, TOKENIZERS[1] in entries) else TOKENIZERS[:1]
        if missing := [name for name in names if name not in entries]:
            raise AttentioError(f"{path}: {missing[0]} is missing, which its config.yaml asks for; copy it again")
        loaded = [tokenizer_of(parse_json(entries[name], path / name), path / name) for name in names]
        return Tokenizers(loaded[0], loaded[-1].plain, shared=config.text.shared)

    def _has_two(self, config: Config, second_is_there: bool) -> bool:
        """Whether a run has two tokenizers; with one vocabulary only where the sides' text is split in two ways."""
        return self.pairs and (second_is_there or not config.text.shared)

    def build_model(self, config: ModelConfig, tokenizers: Tokenizers, *, seed: int, own: OwnCode = NO_CODE) -> Any:
        """A fresh model, its first weights a function of the seed.

        Raises AttentioError for sizes that do not go together, or that the memory does not hold.
        """
        try:
            if not fits(FLOAT * more_than(config, tokenizers)):
                with torch.device("meta"):  # sizes without memory; torch loads for a second before it can
                    numbers = parameters_of(self.build(config, tokenizers, own))
                remedy = "give smaller sizes or fewer layers in model"
                check_memory(FLOAT * numbers, f"a model of {numbers:,} parameters", remedy)
            torch.manual_seed(seed)
            return self.build(config, tokenizers, own)
        except ValueError as error:
            raise AttentioError(f"model: {error}") from None
        except OwnCodeError as failed:
            raise AttentioError(f"{failed} cannot be made: {told(failed.__cause__ or failed)}") from None


def more_than(config: ModelConfig, tokenizers: Tokenizers) -> int:
    """More parameters than any model of these sizes has: 32 squares a layer are never used up."""
    transformer = config.transformer
    size = max(
        *(config.embedding, config.hidden, 2 * (config.encoder_hidden or 0)),
        *(transformer.width, transformer.feed_forward),
    )
    layers = config.encoder_layers + config.decoder_layers + 1
    rows = tokenizers.source.size + tokenizers.target.size + transformer.max_length + config.reach
    return 32 * layers * size**2 + 4 * rows * size


def parameters_of(model: nn.Module) -> int:
    """How many numbers the model has learnt, or will."""
    return sum(parameter.numel() for parameter in model.parameters())


def _encoder_decoder(config: ModelConfig, tokenizers: Tokenizers, own: OwnCode) -> EncoderDecoder:
    source = tokenizers.source
    features = len(source.features) if isinstance(source, FeaturedTokenizer) else 0
    size = source.size - features
    encoder: Encoder
    if config.encoder == "recurrent":
        encoder = recurrent_encoder(config, vocabulary=size)
    else:
        encoder = transformer_encoder(config, vocabulary=size, own=own)
    model = _with_decoder(config, tokenizers, encoder, own)
    if features:
        read_features(encoder, features, unknown=source.unknown)
    return model


def _masked_lm(config: ModelConfig, tokenizers: Tokenizers, own: OwnCode) -> MaskedLM:
    return masked_lm(config, vocabulary=tokenizers.source.size, own=own)


def _causal_lm(config: ModelConfig, tokenizers: Tokenizers, own: OwnCode) -> CausalLM:
    return causal_lm(config, vocabulary=tokenizers.source.size, own=own)


def _labeller(config: ModelConfig, tokenizers: Tokenizers, own: OwnCode) -> Labeller:
    return labeller(config, vocabulary=tokenizers.source.size, labels=tokenizers.target.size, own=own)


RECURRENT_DECODERS: dict[str, Callable[..., EncoderDecoder]] = {
    "none": plain,
    "bahdanau": bahdanau,
    "luong": luong,
    "delayed": delayed,
    "hard": hard,
    "hard-monotonic": hard,
}
"""By `model.attention`; any other is the user's own."""


ENCODER_DECODER = Blueprint("encoder-decoder", True, _encoder_decoder)
MASKED_LM = Blueprint("masked-lm", False, _masked_lm)
CAUSAL_LM = Blueprint("causal-lm", False, _causal_lm)
LABELLER = Blueprint("labeller", True, _labeller)


def _with_decoder(config: ModelConfig, tokenizers: Tokenizers, encoder: Encoder, own: OwnCode) -> EncoderDecoder:
    if config.decoder == "transformer":
        shared = None
        one_vocabulary = tokenizers.shared and config.transformer.tied
        if one_vocabulary and isinstance(encoder, TransformerEncoder):
            shared = encoder.embedding.tokens
        decoder = transformer_decoder(
            config, vocabulary=tokenizers.target.size, memory_features=encoder.features, tokens=shared, own=own
        )
        return EncoderDecoder(encoder, decoder)
    if config.attention == "transducer":
        end, copies = tokenizers.target.end, ids_of_the_same(tokenizers.source, tokenizers.target)
        assert end is not None
        return transducer(config, encoder, vocabulary=tokenizers.target.size, end=end, copies=torch.tensor(copies))
    make = RECURRENT_DECODERS.get(config.attention, with_own_attention)
    model = make(config, encoder, vocabulary=tokenizers.target.size, own=own)
    if not config.copy:
        return model
    copying = Copying(tokenizers.source, tokenizers.target)
    unknown = tokenizers.source.unknown, tokenizers.target.unknown
    return with_pointer(model, target_ids=copying.target_ids, unknown=unknown)
