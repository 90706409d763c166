"""A directory of Hugging Face: `config.json`, `model.safetensors`, `tokenizer.json` and what goes with them.

Only JSON and safetensors are read; a pickle (`pytorch_model.bin`) could run code and is refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from attentio.config.schema import ModelConfig, ModelType
from attentio.errors import AttentioError
from attentio.files import check_regular, read_json
from attentio.huggingface import CONFIG, bert, gpt2, marian
from attentio.huggingface.names import Tensors
from attentio.huggingface.options import Theirs
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.masked_lm import MaskedLM
from attentio.text import pretrained, sentencepiece
from attentio.text.pretrained import PretrainedTokenizer
from attentio.text.tokenizer import Tokenizer

_WEIGHTS, _GENERATION = "model.safetensors", "generation_config.json"
_TARGET = "target"
OF_TARGET = (f"{_TARGET}/tokenizer.json", f"{_TARGET}/tokenizer_config.json")
"""What is written where the two sides have tokenizers of their own."""


class Architecture(NamedTuple):
    """theirs: the class of transformers that opens it. module: the names and options. ours: our class."""

    theirs: str
    module: ModuleType
    ours: type[nn.Module]


ARCHITECTURES: dict[ModelType, Architecture] = {
    "masked-lm": Architecture("AutoModelForMaskedLM", bert, MaskedLM),
    "causal-lm": Architecture("AutoModelForCausalLM", gpt2, CausalLM),
    "encoder-decoder": Architecture("AutoModelForSeq2SeqLM", marian, EncoderDecoder),
}
_BY_MODEL_TYPE: dict[str, ModelType] = {"bert": "masked-lm", "gpt2": "causal-lm", "marian": "encoder-decoder"}


class Facts(NamedTuple):
    """What a directory says about using its model.

    max_length: most tokens of a sequence, the special ones included. beam: hypotheses; 1 for greedy search.
    """

    max_length: int
    beam: int


class Settings(NamedTuple):
    """What the JSON files of a directory say.

    config, of_decoder: of the model, as our configuration has it; that of a decoder may have other sizes.
    shared: whether both sides of a translator have one embedding.
    """

    config: ModelConfig
    of_decoder: ModelConfig
    shared: bool
    facts: Facts


class Pretrained(NamedTuple):
    """A model that was read, ready for use (evaluation mode, float32).

    tokenizers: one, or that of the source and that of the target.
    """

    settings: Settings
    model: MaskedLM | CausalLM | EncoderDecoder
    tokenizers: tuple[PretrainedTokenizer, ...]


def read_settings(folder: Path) -> Settings:
    """What `config.json` and `generation_config.json` say; raises as `read`."""
    theirs, generation = _theirs(folder), _generation(folder)
    kind = _kind(theirs)
    architecture = ARCHITECTURES[kind].module
    try:
        config = of_decoder = architecture.model_config(theirs)
        shared = kind == "encoder-decoder" and marian.shares(theirs)
        if kind == "encoder-decoder":
            of_decoder = marian.model_config(theirs, "decoder")
    except ValueError as error:  # a value that is out of all bounds
        raise _damaged(folder, error) from None
    facts = Facts(
        max_length=theirs.count("n_positions" if kind == "causal-lm" else "max_position_embeddings"),
        beam=Theirs(generation, str(folder / _GENERATION)).count("num_beams", 1),
    )
    return Settings(config, of_decoder, shared, facts)


def read(folder: Path) -> Pretrained:
    """Read BERT, GPT-2 or Marian, as `save_pretrained` and `write` leave them.

    Raises:
        AttentioError: another architecture, an option that ours does not have, a missing or damaged file, or tensors
            that do not fit `config.json`.
    """
    settings, theirs, generation = read_settings(folder), _theirs(folder), _generation(folder)
    kind = settings.config.type
    architecture = ARCHITECTURES[kind].module
    tensors = _read_weights(folder, ARCHITECTURES[kind].theirs)
    with torch.random.fork_rng(devices=[]):  # the first weights are not kept, so no random number is used up
        try:
            with torch.device("meta"):  # sizes without memory
                _check_size(architecture.build(theirs), tensors, folder)
            model = architecture.build(theirs)
        except ValueError as error:  # sizes that do not go together
            raise _damaged(folder, error) from None
    architecture.fill(model, tensors, str(folder / _WEIGHTS))
    tokenizers = _read_tokenizers(folder, kind, generation)
    for tokenizer, vocabulary in zip(tokenizers, architecture.vocabularies(model), strict=True):
        if tokenizer.size > vocabulary:
            raise AttentioError(
                f"{folder}: the tokenizer has {tokenizer.size} entries, the model {vocabulary}; "
                f"copy both from the same model"
            )
        if not all(0 <= i < vocabulary for i in (tokenizer.begin, tokenizer.end) if i is not None):
            raise AttentioError(
                f"{folder}: sequences begin with {tokenizer.begin} and end with {tokenizer.end}, which are not among "
                f"the {vocabulary} entries of the model; copy generation_config.json again"
            )
        tokenizer.rows = vocabulary
    return Pretrained(settings, model.eval(), tokenizers)


def _theirs(folder: Path) -> Theirs:
    return Theirs(read_json(folder / CONFIG), str(folder / CONFIG))


def _generation(folder: Path) -> dict[str, Any]:
    """How outputs are searched for: what `generation_config.json` says, and older versions in `config.json`."""
    path = folder / _GENERATION
    return read_json(folder / CONFIG) | (read_json(path) if path.is_file() else {})


def _kind(theirs: Theirs) -> ModelType:
    kind = _BY_MODEL_TYPE.get(str(theirs.content.get("model_type")))
    if kind is None:
        raise AttentioError(
            f"{theirs.source}: model_type {theirs.content.get('model_type')!r} cannot be read; "
            f"what can be read is {', '.join(_BY_MODEL_TYPE)}"
        )
    return kind


def _damaged(folder: Path, error: ValueError) -> AttentioError:
    said = str(error)
    return AttentioError(said if said.startswith(str(folder)) else f"{folder / CONFIG}: {said}")


def write(
    model: MaskedLM | CausalLM | EncoderDecoder,
    tokenizers: Sequence[Tokenizer | PretrainedTokenizer],
    folder: Path,
    *,
    beam: int = 1,
    length_penalty: float = 0.0,
) -> None:
    """Write our model and its tokenizers (one, or source and target) so that `from_pretrained` opens them.

    A target's tokenizer of its own goes to the folder `target`. beam, length_penalty: how translations are searched
    for by default; transformers divides by length^length_penalty, not by GNMT's penalty.

    Raises:
        AttentioError: an option, of the model or of a tokenizer, that theirs does not have; nothing is written then.
    """
    kind = next(kind for kind, each in ARCHITECTURES.items() if isinstance(model, each.ours))
    architecture = ARCHITECTURES[kind].module
    config, tensors = architecture.config(model), architecture.tensors(model)
    target = tokenizers[-1]
    begin, end = target.end if target.begin is None else target.begin, target.end
    roles = {"pad_token_id": target.pad, "bos_token_id": begin, "eos_token_id": end}
    special: dict[str, Any] = {role: token for role, token in roles.items() if token is not None}
    generation: dict[str, Any] = {**special, "suppress_tokens": sorted({*target.special_ids} - {end})}
    if kind == "encoder-decoder":
        special |= {"decoder_start_token_id": begin, "forced_eos_token_id": end}
        length = {"max_length": marian.POSITIONS // 2, "num_beams": beam, "length_penalty": length_penalty}
        generation |= special | length
    max_length = config.get("n_positions") or config["max_position_embeddings"]
    for tokenizer in tokenizers:
        pretrained.check(tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    for place, tokenizer in zip((folder, folder / _TARGET), dict.fromkeys(tokenizers), strict=False):
        place.mkdir(exist_ok=True)
        pretrained.write(
            tokenizer,
            place,
            begin=kind != "encoder-decoder",
            end=kind != "causal-lm",
            max_length=max_length,
        )
    _write_json(folder / CONFIG, config | special | {"dtype": "float32"})
    if kind != "masked-lm":
        _write_json(folder / _GENERATION, generation)
    # Not `save_file`, whose files only their owner may read.
    (folder / _WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_weights(folder: Path, opener: str) -> Tensors:
    """`model.safetensors`, or the parts that its index names, in float32. opener: the class of transformers for it."""
    names = [_WEIGHTS]
    index = folder / f"{_WEIGHTS}.index.json"
    if index.is_file():
        parts = read_json(index).get("weight_map")
        if not isinstance(parts, dict):
            raise AttentioError(f"{index} has no weight_map; copy it again")
        names = sorted({Path(str(name)).name for name in parts.values()})
    found: Tensors = {}
    for name in names:
        path = folder / name
        if not path.is_file():
            pickled = " (pytorch_model.bin is a pickle, which can run code)" if any(folder.glob("*.bin")) else ""
            raise AttentioError(
                f"{folder} has no {name}{pickled}; write one with transformers: "
                f"{opener}.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            )
        check_regular(path)
        try:
            found |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise AttentioError(f"{path} cannot be read ({error}); copy it again") from None
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}


def _check_size(model: nn.Module, tensors: Tensors, folder: Path) -> None:
    """AttentioError where config.json asks for far more than the weights hold. What else does not fit, `fill` tells."""
    asked, held = (sum(each.numel() for each in found) for found in (model.parameters(), tensors.values()))
    if asked > 10 * held + 10**7:
        raise AttentioError(
            f"{folder / CONFIG} asks for {asked:,} numbers, but the weights hold {held:,}; "
            f"copy both from the same model"
        )


def _read_tokenizers(folder: Path, kind: ModelType, generation: dict[str, Any]) -> tuple[PretrainedTokenizer, ...]:
    if kind != "encoder-decoder":
        return (PretrainedTokenizer.read(folder),)
    own = folder / _TARGET
    if not (folder / "tokenizer.json").is_file() and (folder / "source.spm").is_file():
        source, target = sentencepiece.read_sides(folder)
    else:
        source = PretrainedTokenizer.read(folder)
        target = PretrainedTokenizer.read(own if (own / "tokenizer.json").is_file() else folder)
    # A target begins with what the decoder is started with, which stands in no text.
    begin, end = generation.get("decoder_start_token_id"), generation.get("eos_token_id", target.end)
    if not isinstance(begin, int) or not isinstance(end, int):
        raise AttentioError(
            f"{folder / CONFIG}: decoder_start_token_id and eos_token_id must be whole numbers, "
            f"got {begin!r} and {end!r}"
        )
    target.begin, target.end = begin, end
    return source, target
