"""relative-positions: queries and keys are turned wrongly."""

from collections.abc import Callable

import pytest
import torch
import transformers as hf
from examined import assert_only_found, diagnosed, errors, found
from position_mistakes import RELATIVE_POSITIONS, OtherPairs, Rotary, turned
from sequence_models import HEADS, Decoder, Translator, causal_mask, rows, translation
from torch import Tensor, nn
from torch.nn import functional as F

import attentio as at


@pytest.mark.parametrize("mistake", RELATIVE_POSITIONS.values(), ids=RELATIVE_POSITIONS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "relative-positions")


@pytest.mark.parametrize(
    ("mistake", "severity", "said"),
    [
        ("queries-only", "error", "positions act on queries alone"),
        ("wrong-sign", "error", "turned in opposite directions"),
        ("other-pairs", "warning", "turned, but not alike"),
    ],
)
def test_what_is_wrong_is_said(mistake: str, severity: str, said: str, seed: int) -> None:
    (finding,) = found(diagnosed(RELATIVE_POSITIONS[mistake]()), "relative-positions")
    assert finding.severity == severity
    assert said in finding.title


@pytest.mark.parametrize("model", [Rotary, OtherPairs])
@pytest.mark.parametrize("product", ["matmul", "einsum"])
def test_rotations_are_looked_at_in_attention_written_by_hand_too(model: type, product: str, seed: int) -> None:
    class ByHand(model):
        def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            scores = query @ key.mT if product == "matmul" else torch.einsum("bhqd,bhkd->bhqk", query, key)
            scores = scores / query.shape[-1] ** 0.5
            return scores.masked_fill(~causal_mask(query.shape[2]), -torch.inf).softmax(-1) @ value

    findings = found(at.diagnose(ByHand(), rows(11, 11)[0]), "relative-positions")
    assert [one.severity for one in findings] == ["warning"] * (model is OtherPairs)


class EqualLengths(Translator):
    """Source and target have as many positions, and no name says that `second` attends to the source."""

    def __init__(self) -> None:
        super().__init__()
        self.second = self.cross
        del self.cross

    def decode(self, memory: Tensor, target: Tensor, keys: Tensor) -> Tensor:
        hidden = self.decoder(self.target_reader(target), causal_mask(target.shape[1]))
        return self.read_out(self.second(hidden, keys, memory))


class SlopesOfKeys(Decoder):
    """ALiBi as BLOOM and MPT write it: what is added counts the keys' places, and the softmax makes distances of it."""

    def forward(self, tokens: Tensor) -> Tensor:
        slopes, places = torch.tensor([0.5, 0.25, 0.125])[:, None, None], torch.arange(tokens.shape[1])
        bias = (slopes * places).masked_fill(~causal_mask(len(places)), -torch.inf)
        hidden = self.reader.tokens(tokens)
        query, key, value = (self.blocks[0].split(one(hidden)) for one in self.projections())
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query))
        return self.read_out(hidden + context.transpose(1, 2).flatten(2))

    def projections(self) -> tuple[nn.Module, ...]:
        return self.blocks[0].query, self.blocks[0].key, self.blocks[0].value


def test_attention_to_another_sequence_of_the_same_length_is_left_alone(seed: int) -> None:
    inputs = translation() | {"target": rows(9, 9, 9)[0]}
    diagnosis = at.diagnose(EqualLengths(), inputs)
    assert "relative-positions" in diagnosis.checked
    assert not errors(diagnosis), str(diagnosis)


@pytest.mark.parametrize("length", [11, 10])
def test_cross_attention_of_transformers_is_left_alone(length: int, seed: int) -> None:
    sizes = {"d_model": 12, "d_kv": 6, "d_ff": 17, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    model = hf.T5ForConditionalGeneration(hf.T5Config(vocab_size=31, **sizes))
    inputs = {"input_ids": rows(11, 11, 11)[0], "labels": rows(11, 11, 11)[0][:, :length]}
    diagnosis = at.diagnose(model, inputs)
    assert "relative-positions" in diagnosis.checked
    assert not errors(diagnosis), str(diagnosis)


def test_slopes_over_the_keys_places_are_distances_behind_the_softmax(seed: int) -> None:
    diagnosis = at.diagnose(SlopesOfKeys(), rows(11, 11)[0])
    assert "relative-positions" in diagnosis.checked
    assert not found(diagnosis, "relative-positions"), str(diagnosis)


@pytest.mark.parametrize("place", ["queries", "scores"])
def test_a_temperature_that_falls_with_the_keys_is_no_position(place: str, seed: int) -> None:
    """As layers without positions have beside others with rotations, so that long texts stay as sharp."""

    class Tempered(Decoder):
        def forward(self, tokens: Tensor) -> Tensor:
            hidden, block = self.reader.tokens(tokens), self.blocks[0]
            query, key, value = (block.split(one(hidden)) for one in (block.query, block.key, block.value))
            factor = torch.log(torch.arange(tokens.shape[1]) + 3.0).unsqueeze(1).to(query)
            scores = (query * factor) @ key.mT if place == "queries" else (query @ key.mT) * factor
            weights = scores.masked_fill(~causal_mask(tokens.shape[1]), -torch.inf).softmax(-1)
            return self.read_out(hidden + (weights @ value).transpose(1, 2).flatten(2))

    diagnosis = at.diagnose(Tempered(), rows(11, 11)[0])
    assert "relative-positions" in diagnosis.checked
    assert not errors(diagnosis), str(diagnosis)


class OnAGrid(Rotary):
    """Twelve cells, three rows of four: half of the features are turned by the row, half by the column."""

    sign_of_keys = 1.0

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value)

    def placed(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return self.by_cells(query, 1.0), self.by_cells(key, self.sign_of_keys)

    def by_cells(self, vectors: Tensor, sign: float) -> Tensor:
        by_row, by_column = vectors.unflatten(2, (3, 4)).chunk(2, dim=-1)
        by_row = turned(by_row.transpose(2, 3).flatten(1, 2), sign).unflatten(1, (HEADS, 4)).transpose(2, 3)
        by_column = turned(by_column.flatten(1, 2), sign).unflatten(1, (HEADS, 3))
        return torch.cat([by_row, by_column], dim=-1).flatten(2, 3)


def test_rotations_by_rows_and_columns_of_a_grid_are_left_alone(seed: int) -> None:
    diagnosis = at.diagnose(OnAGrid(), rows(12, 12)[0])
    assert "relative-positions" in diagnosis.checked
    assert not found(diagnosis, "relative-positions"), str(diagnosis)


def test_keys_turned_the_other_way_on_a_grid_are_found(seed: int) -> None:
    model = OnAGrid()
    model.sign_of_keys = -1.0
    (finding,) = found(at.diagnose(model, rows(12, 12)[0]), "relative-positions")
    assert finding.severity == "error"
    assert "turned in opposite directions" in finding.title
