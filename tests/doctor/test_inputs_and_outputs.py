"""What the doctor takes inputs and outputs to be, by what the model does: layout, padding, labels, last states."""

import pytest
import torch
from examined import errors
from sequence_models import Decoder, Encoder, rows
from torch import nn

import attentio as at
from attentio.doctor.patient.facts import Told
from attentio.doctor.patient.learn import learn
from attentio.doctor.patient.padding_edits import lengthened
from attentio.doctor.patient.subject import Subject


def test_positions_first_is_found_by_what_the_model_does(seed: int) -> None:
    class PositionsFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = Decoder()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.decoder(tokens.T).transpose(0, 1)

    diagnosis = at.diagnose(PositionsFirst(), rows(9, 9, 9)[0].T)
    assert diagnosis.healthy, str(diagnosis)
    assert "[positions, batch]" in diagnosis.concluded["tokens"]
    assert diagnosis.concluded["causal"].startswith("yes")


def test_padding_is_said_by_place_and_unknown_names_are_refused(seed: int) -> None:
    class Odd(Encoder):
        def forward(self, tokens: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens, visible)

    tokens, real = rows(11, 7, 9)
    diagnosis = at.diagnose(Odd(), (tokens, real.long()), padding=1)
    assert diagnosis.healthy, str(diagnosis)
    assert "said by visible" in diagnosis.concluded["tokens"]
    with pytest.raises(
        ValueError, match=r"padding must be one of the example inputs \['tokens', 'visible'\], got 'mask'"
    ):
        at.diagnose(Odd(), (tokens, real.long()), padding="mask")


class Plain(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return x.cumsum(1)


@pytest.mark.parametrize(
    ("example", "padding", "told"),
    [
        ((torch.ones(2, 8, 4),), 5, r"padding must be one of the example inputs \['x'\], got '5'"),
        ({"x": torch.ones(2, 8, 4), "mask": torch.tensor(1)}, "mask", r"or lengths \[batch\], got a tensor \[\]"),
        ({"x": torch.ones(2, 8, 4), "mask": [8, 5]}, "mask", r"or lengths \[batch\], got list"),
        ({"x": torch.ones(2, 8, 4), "mask": torch.ones(2, 1, 1, 8)}, "mask", r"got a tensor \[2, 1, 1, 8\]"),
        ({"x": torch.ones(2, 8, 4), "mask": torch.ones(2, 7)}, "mask", "has the batch and positions of no sequence"),
        (torch.ones(0, 3, 4), None, r"x \[0, 3, 4\] of the example inputs is empty"),
        (torch.ones(2, 0, 4), None, r"x \[2, 0, 4\] of the example inputs is empty"),
    ],
)
def test_an_example_that_says_nothing_of_padding_or_is_empty_is_refused(
    example: object, padding: str | int | None, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        at.diagnose(Plain(), example, padding=padding)


def test_one_number_a_row_is_no_length_unless_its_name_says_so(seed: int) -> None:
    """A language, a time step or a class may be any number; padding is not read from it."""

    class Conditioned(Encoder):
        def __init__(self) -> None:
            super().__init__()
            self.languages = nn.Embedding(9, 12)

        def forward(self, tokens: torch.Tensor, language: torch.Tensor) -> torch.Tensor:
            hidden = super().forward(tokens, torch.ones_like(tokens, dtype=torch.bool))
            return hidden * self.languages(language)[:, None, :1]

    diagnosis = at.diagnose(Conditioned(), {"tokens": rows(9, 9, 9)[0], "language": torch.tensor([2, 5, 3])})
    assert errors(diagnosis) == [], str(diagnosis)
    assert "nothing says what its padding is" in diagnosis.concluded["tokens"]


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [True, False])
def test_last_states_are_not_rows_though_there_are_as_many(layer: type, batch_first: bool, seed: int) -> None:
    model = layer(5, 7, bidirectional=True, batch_first=batch_first)
    values = torch.randn(2, 11, 5)
    diagnosis = at.diagnose(model, values if batch_first else values.transpose(0, 1))
    assert errors(diagnosis) == [], str(diagnosis)
    assert {"batch-dependence", "future-leak"} <= set(diagnosis.checked)


def test_a_packed_sequence_is_one_input(seed: int) -> None:
    lengths = torch.tensor([9, 7, 4])
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.randn(3, 9, 6), lengths, batch_first=True)
    diagnosis = at.diagnose(torch.nn.LSTM(6, 8, batch_first=True), packed)
    assert diagnosis.healthy
    assert diagnosis.skipped == at.diagnose(torch.nn.LSTM(6, 8, batch_first=True), (packed,)).skipped


def test_a_class_in_place_of_a_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got the class LSTM; make one of it, LSTM\(\.\.\)"):
        at.diagnose(torch.nn.LSTM, torch.randn(3, 9, 6))


def test_added_padding_is_told_as_the_mask_tells_what_there_is(seed: int) -> None:
    """A mask that is added has -inf at padding, not 1."""

    class Added(Encoder):
        def forward(self, tokens: torch.Tensor, padding_mask: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens, padding_mask == 0)

    tokens, real = rows(11, 7, 9)
    inputs = {"tokens": tokens, "padding_mask": torch.zeros(real.shape).masked_fill(~real, -torch.inf)}
    facts = learn(Subject(Added(), inputs), Told())
    assert (lengthened(facts, facts.sequences[0], 3, "end")["padding_mask"][:, 11:] == -torch.inf).all()
    diagnosis = at.diagnose(Added(), inputs)
    assert diagnosis.healthy, str(diagnosis)


def test_positions_that_are_given_once_for_all_rows_belong_to_the_sequence(seed: int) -> None:
    class Placed(Encoder):
        def forward(self, tokens: torch.Tensor, position_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            assert position_ids.shape == (1, tokens.shape[1])
            return super().forward(tokens, mask)

    tokens, real = rows(11, 7, 9)
    inputs = {"tokens": tokens, "position_ids": torch.arange(11)[None], "mask": real}
    diagnosis = at.diagnose(Placed(), inputs, causal=False)
    assert diagnosis.healthy, str(diagnosis)
    assert {"padding-leak", "positions-ignore-padding"} <= set(diagnosis.checked), str(diagnosis)


@pytest.mark.parametrize("labels", [torch.tensor([0, 1, 0]), torch.tensor(1), torch.zeros(3, 2)])
def test_labels_of_whole_rows_or_of_the_batch_are_no_hindrance(labels: torch.Tensor, seed: int) -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder, self.head = Decoder(), nn.Linear(31, 2)

        def forward(self, tokens: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.head(self.decoder(tokens)[:, -1])
            return {
                "loss": (logits - labels.reshape(len(labels) if labels.ndim else 1, -1)).square().mean(),
                "logits": logits,
            }

    diagnosis = at.diagnose(Classifier(), {"tokens": rows(9, 9, 9)[0], "labels": labels})
    assert not errors(diagnosis), str(diagnosis)
    assert not [why for why in diagnosis.skipped.values() if "itself failed" in why]


def test_a_model_that_returns_whole_numbers_alone_is_told_so(seed: int) -> None:
    class Chosen(Decoder):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens).argmax(-1)

    (finding,) = at.diagnose(Chosen(), rows(9, 9, 9)[0]).findings
    assert finding.title == "the model returns no floating-point numbers"
    assert "logits" in finding.cure
