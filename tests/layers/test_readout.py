"""What comes between the decoder's states and the output layer."""

import torch

from attentio.layers.readout import (
    AttentionalReadout,
    ConcatenatedReadout,
    DecoderView,
    MaxoutReadout,
    StateReadout,
)

EMBEDDING, HIDDEN, MEMORY, FEATURES = 3, 5, 7, 11


def draw():
    return DecoderView(*(torch.randn(2, size, dtype=torch.float64) for size in (EMBEDDING, HIDDEN, HIDDEN, MEMORY)))


def test_maxout_takes_the_larger_of_each_neighbouring_pair(seed):
    readout = MaxoutReadout(embedding=EMBEDDING, hidden=HIDDEN, memory_features=MEMORY, features=FEATURES).double()
    view = draw()
    u, v, c = readout.linear.weight.split([HIDDEN, EMBEDDING, MEMORY], dim=1)
    t = view.previous @ u.T + view.embedded @ v.T + view.context @ c.T + readout.linear.bias
    torch.testing.assert_close(readout(view), torch.maximum(t[:, 0::2], t[:, 1::2]))


def test_maxout_reads_the_state_before_the_recurrence(seed):
    readout = MaxoutReadout(embedding=EMBEDDING, hidden=HIDDEN, memory_features=MEMORY, features=FEATURES).double()
    view = draw()
    torch.testing.assert_close(readout(view), readout(view._replace(current=view.current + 1)), rtol=0, atol=0)


def test_the_attentional_vector_is_luongs_equation_5_in_a_loop_and_outside(seed):
    readout, view = AttentionalReadout(hidden=HIDDEN, memory_features=MEMORY).double(), draw()
    w_context, w_state = readout.weight.split([MEMORY, HIDDEN], dim=1)
    expected = torch.tanh(view.context @ w_context.T + view.current @ w_state.T)
    torch.testing.assert_close(readout(view), expected)
    torch.testing.assert_close(readout(view, weight=readout.looped()), expected)


def test_the_other_readouts_are_the_current_state_and_the_state_beside_the_context(seed):
    view = draw()
    torch.testing.assert_close(StateReadout(hidden=HIDDEN)(view), view.current)
    joined = ConcatenatedReadout(hidden=HIDDEN, memory_features=MEMORY)(view)
    torch.testing.assert_close(joined, torch.cat([view.current, view.context], dim=1))


def test_features_is_the_width_of_what_comes_out(seed):
    view = draw()
    for readout in (
        StateReadout(hidden=HIDDEN),
        ConcatenatedReadout(hidden=HIDDEN, memory_features=MEMORY),
        AttentionalReadout(hidden=HIDDEN, memory_features=MEMORY),
        MaxoutReadout(embedding=EMBEDDING, hidden=HIDDEN, memory_features=MEMORY, features=FEATURES),
    ):
        assert readout.double()(view).shape == (2, readout.features)
