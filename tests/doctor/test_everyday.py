"""The doctor on models as people bring them: nothing wrong is said of healthy ones, and what is wrong is found."""

from collections.abc import Callable

import everyday_models as everyday
import huggingface_zoo as huggingface
import pytest
import torch
import transformers as hf
from packaging.version import Version
from sequence_models import rows
from torch import nn

import attentio as at
from attentio.doctor.diagnosis import Diagnosis

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")


def drawn(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def found(diagnosis: Diagnosis, *severities: str) -> list[str]:
    return [finding.check for finding in diagnosis.findings if finding.severity in severities]


def assert_healthy_and_checked(diagnosis: Diagnosis, *checked: str) -> None:
    assert found(diagnosis, "error", "warning") == [], str(diagnosis)
    assert set(diagnosis.checked) >= set(checked), str(diagnosis)
    assert not [why for why in diagnosis.skipped.values() if "itself failed" in why], str(diagnosis)


def attended() -> dict[str, torch.Tensor]:
    return {"context": torch.randn(3, 11, 12), "context_mask": torch.arange(11) < torch.tensor([11, 7, 10])[:, None]}


def translation() -> dict[str, torch.Tensor]:
    return {"src": rows(9, 6, 7)[0].T, "tgt": rows(8, 8, 8)[0].T}


HEALTHY: dict[str, tuple[Callable[[], tuple[nn.Module, object]], tuple[str, ...]]] = {
    "small-gpt": (lambda: (everyday.SmallGPT(), everyday.next_tokens()[0]), ("future-leak", "batch-dependence")),
    "small-gpt-with-targets": (
        lambda: (everyday.SmallGPT(), everyday.next_tokens()),
        ("future-leak", "teacher-forcing-leak"),
    ),
    "mean": (lambda: (everyday.Classifier("clamped mean"), everyday.sentences()), ("padding-leak",)),
    "last": (lambda: (everyday.Classifier("last"), everyday.sentences()), ("padding-leak",)),
    "across": (
        lambda: (everyday.Across(), {"x": torch.randn(3, 7, 12), **attended()}),
        ("padding-leak", "batch-dependence"),
    ),
    "across-to-equal-length": (
        lambda: (everyday.Across(), {"x": torch.randn(3, 11, 12), **attended()}),
        ("padding-leak", "batch-dependence"),
    ),
    "vision": (lambda: (everyday.Vision(), torch.randn(3, 3, 12, 12)), ("batch-dependence",)),
    "regression": (
        lambda: (everyday.Regression(), (torch.randn(3, 11, 5), ~attended()["context_mask"])),
        ("padding-leak", "positions-ignore-padding"),
    ),
    "tagger": (lambda: (everyday.Tagger(), (rows(9, 6)[0], torch.tensor([9, 6]))), ("padding-leak",)),
    "translator": (
        lambda: (everyday.Translator(), translation()),
        ("teacher-forcing-leak", "padding-leak"),
    ),
    "last-state": (lambda: (everyday.LastState(batch_first=True), rows(9, 9, 9)[0]), ("batch-dependence",)),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_models_of_every_day(name: str, seed: int) -> None:
    build, checked = HEALTHY[name]
    model, inputs = build()
    assert_healthy_and_checked(at.diagnose(drawn(model), inputs), *checked)


MISTAKES: dict[str, tuple[Callable[[], tuple[nn.Module, object]], str]] = {
    "one-token-ahead": (lambda: (everyday.SmallGPT(1), everyday.next_tokens()), "future-leak"),
    "no-mask": (lambda: (everyday.SmallGPT(everyday.ROOM), everyday.next_tokens()), "future-leak"),
    "targets-not-shifted": (lambda: (everyday.SmallGPT(), everyday.next_tokens()[:1] * 2), "teacher-forcing-leak"),
    "mean-over-padding": (lambda: (everyday.Classifier("all"), everyday.sentences()), "padding-leak"),
    "tgt-mask-forgotten": (lambda: (everyday.Translator("tgt_mask"), translation()), "teacher-forcing-leak"),
    "memory-mask-forgotten": (
        lambda: (everyday.Translator("memory_key_padding_mask"), translation()),
        "padding-leak",
    ),
    "batch-first-forgotten": (
        lambda: (everyday.LastState(batch_first=False), rows(9, 9, 9)[0]),
        "batch-dependence",
    ),
    "last-column": (lambda: (everyday.Classifier("end"), everyday.sentences()), "padding-leak"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_of_every_day(name: str, seed: int) -> None:
    build, check = MISTAKES[name]
    model, inputs = build()
    diagnosis = at.diagnose(drawn(model), inputs)
    assert found(diagnosis, "error") == [check], str(diagnosis)


def test_where_padding_leaks_is_not_said_wrongly_if_only_a_token_tells_padding(seed: int) -> None:
    """Other contents than the token are no padding, so where they come through is another place."""
    model = drawn(everyday.Translator("memory_key_padding_mask"))
    findings = at.diagnose(model, translation()).findings
    assert [one.where for one in findings if one.check == "padding-leak"] == [""]


def test_targets_that_only_the_loss_reads_are_labels(seed: int) -> None:
    diagnosis = at.diagnose(everyday.SmallGPT(), everyday.next_tokens())
    assert diagnosis.concluded["targets"] == "labels: they change the loss alone"
    assert diagnosis.concluded["causal"] == "yes: no output depends on later inputs"


def test_a_mean_over_no_position_is_noted_as_what_it_is(seed: int) -> None:
    diagnosis = at.diagnose(drawn(everyday.Classifier("mean")), everyday.sentences())
    assert_healthy_and_checked(diagnosis, "fully-masked-rows")
    (note,) = [finding for finding in diagnosis.findings if finding.check == "fully-masked-rows"]
    assert note.title == "a row of input_ids that is all padding becomes NaN, after attention"


def test_multihead_attention_alone_has_its_mask_for_the_keys(seed: int) -> None:
    """Its one warning is true: asked for weights, torch gives NaN to a row without a key."""
    hidden = torch.randn(3, 11, 12)
    inputs = {"query": hidden, "key": hidden, "value": hidden, "key_padding_mask": ~attended()["context_mask"]}
    diagnosis = at.diagnose(nn.MultiheadAttention(12, 2, batch_first=True), inputs)
    assert found(diagnosis, "error") == [], str(diagnosis)
    assert found(diagnosis, "warning") == ["fully-masked-rows"]
    assert "padding is said by key_padding_mask" in diagnosis.concluded["key"]
    assert "nothing says" in diagnosis.concluded["query"]


D, E = huggingface.DECODER, huggingface.ENCODER
SMALL = {"vocab_size": huggingface.VOCABULARY, "hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2}
ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "falcon": lambda: hf.FalconForCausalLM(hf.FalconConfig(**SMALL)),
    "phi": lambda: hf.PhiForCausalLM(hf.PhiConfig(**E, partial_rotary_factor=1.0)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**D, head_dim=6)),
    "gemma": lambda: hf.GemmaForCausalLM(hf.GemmaConfig(**D, head_dim=6)),
    "gemma2": lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**D, head_dim=6, sliding_window=4)),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_more_decoders_of_transformers(name: str, seed: int) -> None:
    if name == "gemma2" and Version(hf.__version__) < Version("5.21"):
        pytest.skip(
            "this transformers leaves gemma2's soft cap out of scaled_dot_product_attention: the doctor is right"
        )
    model, inputs = huggingface.one_sequence(ARCHITECTURES[name]())
    assert_healthy_and_checked(at.diagnose(model, inputs), "future-leak", "padding-leak", "cached-differs")


def test_a_classifier_that_finds_its_last_token_by_the_token_of_padding(seed: int) -> None:
    """Other tokens than padding never stand there, though changing them would move the result."""
    config = hf.GPT2Config(
        vocab_size=huggingface.VOCABULARY, n_embd=12, n_head=2, n_layer=2, n_positions=40, pad_token_id=0
    )
    model, inputs = huggingface.one_sequence(hf.GPT2ForSequenceClassification(config))
    assert_healthy_and_checked(at.diagnose(model, inputs), "padding-leak")
