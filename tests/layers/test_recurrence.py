"""Recurrent layers: at once, step by step, and from both ends."""

import pytest
import torch

from attentio.layers.recurrence import GRU, LSTM, Bidirectional

BATCH, STEPS, KNOWN, FED, HIDDEN = 2, 5, 3, 11, 7
CELLS = pytest.mark.parametrize("cell", [LSTM, GRU])


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def first_state(layer):
    return tuple(draw(BATCH, HIDDEN) for _ in range(layer.states))


def run_alone(layer, inputs):
    """One sentence, from a state of zeros: h after every step."""
    zeros = torch.zeros(1, layer.hidden_size, dtype=torch.float64)
    return layer.run(inputs.unsqueeze(0), (zeros,) * layer.states)[0]


@CELLS
@pytest.mark.parametrize("fed", [0, FED])
def test_running_at_once_equals_stepping_with_part_of_the_input_fed_at_each_step(seed, cell, fed):
    layer = cell(KNOWN + fed, HIDDEN).double()
    inputs, state = draw(BATCH, STEPS, KNOWN + fed), first_state(layer)
    at_once = layer.run(inputs, state)
    projected, step = layer.project(inputs[..., :KNOWN]), layer.stepper(fed)
    for t in range(STEPS):
        state = step(projected[:, t], inputs[:, t, KNOWN:] if fed else None, state)
        torch.testing.assert_close(at_once[:, t], state[0])


def test_lstm_steps_equal_torchs_cell(seed):
    layer, reference = LSTM(KNOWN, HIDDEN).double(), torch.nn.LSTMCell(KNOWN, HIDDEN).double()
    reference.load_state_dict({name.removesuffix("_l0"): weight for name, weight in layer.state_dict().items()})
    inputs, state, step = draw(BATCH, KNOWN), first_state(layer), layer.stepper(fed=0)
    for mine, theirs in zip(step(layer.project(inputs), None, state), reference(inputs, state), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_gru_resets_the_state_before_the_product(seed):
    """Bahdanau et al. 2014, appendix A.1.1; torch's own GRU resets after it."""
    layer = GRU(KNOWN, HIDDEN).double()
    x, h = draw(KNOWN), draw(HIDDEN)
    (w_z, w_r, w), (u_z, u_r, u), (b_z, b_r, b) = (
        part.chunk(3) for part in (layer.weight_input, layer.weight_state, layer.bias)
    )
    z, r = torch.sigmoid(w_z @ x + u_z @ h + b_z), torch.sigmoid(w_r @ x + u_r @ h + b_r)
    expected = (1 - z) * h + z * torch.tanh(w @ x + u @ (r * h) + b)
    (got,) = layer.stepper(fed=0)(layer.project(x), None, (h,))
    torch.testing.assert_close(got, expected)


@CELLS
def test_the_backward_direction_starts_at_each_sentences_own_end(seed, cell):
    both = Bidirectional(cell(KNOWN, HIDDEN), cell(KNOWN, HIDDEN)).double()
    inputs, lengths = draw(3, STEPS, KNOWN), torch.tensor([2, STEPS, 1])
    outputs, ends = both(inputs, lengths)
    for row, length in enumerate(lengths.tolist()):
        sentence = inputs[row, :length]
        ahead = run_alone(both.forwards, sentence)
        back = run_alone(both.backwards, sentence.flip(0)).flip(0)
        torch.testing.assert_close(outputs[row, :length], torch.cat([ahead, back], dim=1))
        torch.testing.assert_close(ends[row], torch.cat([ahead[-1], back[0]]))


@CELLS
def test_outputs_at_padding_are_zero_whatever_stands_there(seed, cell):
    both = Bidirectional(cell(KNOWN, HIDDEN), cell(KNOWN, HIDDEN)).double()
    inputs, lengths = draw(2, STEPS, KNOWN), torch.tensor([3, STEPS])
    inputs[0, 3:] = 1e6
    outputs, _ = both(inputs, lengths)
    assert (outputs[0, 3:] == 0).all()
    assert (outputs[1] != 0).all()


@CELLS
def test_padding_gets_no_gradient(seed, cell):
    both = Bidirectional(cell(KNOWN, HIDDEN), cell(KNOWN, HIDDEN)).double()
    inputs, lengths = draw(2, STEPS, KNOWN).requires_grad_(), torch.tensor([3, STEPS])
    outputs, ends = both(inputs, lengths)
    (outputs.square().sum() + ends.square().sum()).backward()
    assert (inputs.grad[0, 3:] == 0).all()
    assert (inputs.grad[0, :3] != 0).all()
