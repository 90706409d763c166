"""The doctor finds nothing wrong with healthy models: ours, torch's, transformers', and the twins of the zoo."""

from collections.abc import Callable

import decoding_mistakes as decoding
import healthy_attention
import healthy_styles
import huggingface_zoo as huggingface
import pytest
import torch
from examined import diagnosed
from sequence_models import Decoder, Encoder, Translator, rows, translation
from torch import Tensor, nn

import attentio as at
from attentio.config.schema import ModelConfig, TransformerConfig
from attentio.doctor.diagnosis import Diagnosis
from attentio.models import presets, transformer_presets
from attentio.models.encoder_decoder import EncoderDecoder

SOURCE_VOCABULARY, TARGET_VOCABULARY, WIDTH = 23, 19, 12
MUST_BE_CHECKED = {"dropout-in-eval", "batch-dependence"}


def assert_nothing_wrong(diagnosis: Diagnosis, *checked: str) -> None:
    """No error, no warning; and what should have been looked at was."""
    wrong = [finding for finding in diagnosis.findings if finding.severity != "note"]
    assert not wrong, str(diagnosis)
    assert set(diagnosis.checked) >= MUST_BE_CHECKED | set(checked), str(diagnosis)


def drawn(model: nn.Module) -> nn.Module:
    """With weights so wide that nothing is nearly linear."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def pairs() -> dict[str, Tensor]:
    return {
        "source": torch.randint(SOURCE_VOCABULARY, (3, 11)),
        "lengths": torch.tensor([11, 4, 7]),
        "target": torch.randint(TARGET_VOCABULARY, (3, 8)),
    }


@pytest.mark.parametrize("paper", ["bahdanau", "luong", "plain", "delayed"])
def test_recurrent_models_of_ours(paper: str, seed: int) -> None:
    config = ModelConfig(embedding=5, hidden=8, encoder_hidden=4, dropout=0.1)
    encoder = presets.recurrent_encoder(config, vocabulary=SOURCE_VOCABULARY)
    model = getattr(presets, paper)(config, encoder, vocabulary=TARGET_VOCABULARY)
    diagnosis = at.diagnose(drawn(model), pairs())
    assert_nothing_wrong(diagnosis, "teacher-forcing-leak", "padding-leak", "encoder-reads-padding", "cached-differs")


def configured(**options: object) -> ModelConfig:
    sizes = {"width": WIDTH, "heads": 3, "feed_forward": 17, "max_length": 31}
    transformer = TransformerConfig(**sizes | options)
    return ModelConfig(encoder_layers=2, decoder_layers=2, dropout=0.1, transformer=transformer)


def test_the_transformer_of_ours(seed: int) -> None:
    encoder = transformer_presets.transformer_encoder(configured(), vocabulary=SOURCE_VOCABULARY)
    decoder = transformer_presets.transformer_decoder(
        configured(), vocabulary=TARGET_VOCABULARY, memory_features=encoder.features
    )
    diagnosis = at.diagnose(drawn(EncoderDecoder(encoder, decoder)), pairs())
    assert_nothing_wrong(diagnosis, "teacher-forcing-leak", "padding-leak", "encoder-reads-padding", "cached-differs")


def test_the_masked_language_model_of_ours(seed: int) -> None:
    model = transformer_presets.masked_lm(configured(positions="learned"), vocabulary=SOURCE_VOCABULARY)
    inputs = pairs()
    diagnosis = at.diagnose(drawn(model), (inputs["source"], inputs["lengths"]))
    assert_nothing_wrong(diagnosis, "future-leak", "padding-leak")


@pytest.mark.parametrize("positions", ["rotary", "alibi"])
def test_the_causal_language_model_of_ours(positions: str, seed: int) -> None:
    windowed = configured(positions=positions, heads=3, width=12, window=3)
    model = transformer_presets.causal_lm(windowed, vocabulary=SOURCE_VOCABULARY)
    diagnosis = at.diagnose(drawn(model), pairs()["source"], window=(3, 0))
    assert_nothing_wrong(diagnosis, "future-leak", "cached-differs", "window-off-by-one")
    assert diagnosis.concluded["causal"].startswith("yes")


@pytest.mark.parametrize("batch_first", [True, False])
def test_the_encoder_of_torch(batch_first: bool, seed: int) -> None:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 17, batch_first=batch_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    padding = torch.arange(11) >= torch.tensor([11, 6, 8])[:, None]
    source = torch.randn(3, 11, WIDTH)
    inputs = {"src": source if batch_first else source.transpose(0, 1), "src_key_padding_mask": padding}
    diagnosis = at.diagnose(drawn(model), inputs)
    assert_nothing_wrong(diagnosis, "future-leak", "padding-leak", "positions-ignore-padding")
    assert ("[batch, positions]" if batch_first else "[positions, batch]") in diagnosis.concluded["src"]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
@pytest.mark.parametrize("batch_first", [True, False])
def test_the_transformer_of_torch(batch_first: bool, seed: int) -> None:
    model = nn.Transformer(WIDTH, 2, 2, 2, 17, batch_first=batch_first)
    padding = torch.arange(11) >= torch.tensor([11, 6, 8])[:, None]
    source, target = torch.randn(3, 11, WIDTH), torch.randn(3, 7, WIDTH)
    inputs = {
        "src": source if batch_first else source.transpose(0, 1),
        "tgt": target if batch_first else target.transpose(0, 1),
        "tgt_mask": nn.Transformer.generate_square_subsequent_mask(7),
        "src_key_padding_mask": padding,
        "memory_key_padding_mask": padding,
    }
    assert_nothing_wrong(at.diagnose(drawn(model), inputs), "teacher-forcing-leak", "padding-leak")


CHECKED = {
    **dict.fromkeys(("gpt2", "opt", "llama", "qwen2"), ("future-leak", "padding-leak", "cached-differs")),
    "mistral": ("future-leak", "padding-leak", "cached-differs", "window-off-by-one"),
    "longformer": ("future-leak", "padding-leak", "window-off-by-one"),
    **dict.fromkeys(("t5", "bart", "marian"), ("teacher-forcing-leak", "padding-leak", "cached-differs")),
    "vit": (),
    "bert-classifier": ("padding-leak",),
}


@pytest.mark.parametrize("architecture", huggingface.ARCHITECTURES)
def test_architectures_of_transformers(architecture: str, seed: int) -> None:
    model, inputs = huggingface.ARCHITECTURES[architecture]()
    assert_nothing_wrong(at.diagnose(model, inputs), *CHECKED.get(architecture, ("future-leak", "padding-leak")))


@pytest.mark.parametrize("name", decoding.HEALTHY)
def test_the_healthy_twins_of_the_mistakes(name: str, seed: int) -> None:
    case = decoding.HEALTHY[name]()
    looked_at = {"cached": "cached-differs", "start-and-step": "cached-differs", "step": "cached-differs"}
    looked_at |= {"window": "window-off-by-one", "labels": "loss-counts-padding", "loss": "loss-counts-padding"}
    assert_nothing_wrong(diagnosed(case), looked_at[name])


def test_the_models_that_the_mistakes_were_put_in(seed: int) -> None:
    tokens, real = rows(11, 7, 9)
    assert_nothing_wrong(at.diagnose(Decoder(), rows(9, 9)[0], causal=True), "future-leak")
    assert_nothing_wrong(at.diagnose(Encoder(), {"tokens": tokens, "attention_mask": real.long()}), "padding-leak")
    assert_nothing_wrong(at.diagnose(Translator(), translation()), "teacher-forcing-leak", "padding-leak")


@pytest.mark.parametrize(("architecture", "padding"), [("opt", 1), ("llama", 0)])
def test_decoders_that_may_be_padded_at_the_start(architecture: str, padding: int, seed: int) -> None:
    model, _ = huggingface.ARCHITECTURES[architecture]()
    diagnosis = at.diagnose(model, huggingface.sentences(padding=padding, left=True))
    assert_nothing_wrong(diagnosis, "padding-leak", "positions-ignore-padding", "cached-differs")


@pytest.mark.parametrize("case", healthy_attention.HEALTHY.values(), ids=healthy_attention.HEALTHY)
def test_healthy_attention_has_no_findings_but_notes(case: Callable[[], tuple], seed: int) -> None:
    assert_nothing_wrong(diagnosed(case()))


@pytest.mark.parametrize("case", healthy_styles.HEALTHY.values(), ids=healthy_styles.HEALTHY)
def test_what_looks_like_a_mistake_and_is_none_has_no_findings_but_notes(case: Callable[[], tuple], seed: int) -> None:
    assert_nothing_wrong(diagnosed(case()))
