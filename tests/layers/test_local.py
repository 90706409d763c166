"""Local attention: a few positions round a centre, whatever the length of the source."""

import math

import pytest
import torch

from attentio.attention.attend import attend
from attentio.layers import local
from attentio.layers.additive import AdditiveScore
from attentio.layers.global_attention import GlobalAttention
from attentio.layers.local import LocalAttention
from attentio.layers.luong import GeneralScore, LocationScore
from attentio.layers.sources import prepare

BATCH, TARGET, SOURCE, HIDDEN, MEMORY = 2, 3, 29, 5, 7
WINDOW = 3
SCORES = {
    "general": lambda: GeneralScore(query_features=HIDDEN, memory_features=MEMORY),
    "concat": lambda: AdditiveScore(query_features=HIDDEN, memory_features=MEMORY, features=11),
    "location": lambda: LocationScore(query_features=HIDDEN, reach=31),
}
EVERY_SCORE = pytest.mark.parametrize("score", SCORES)
M_AND_P = pytest.mark.parametrize("predictive", [False, True], ids=["local-m", "local-p"])


def make(score, *, predictive, window=WINDOW):
    layer = LocalAttention(SCORES[score](), window=window, predictive=predictive, hidden=HIDDEN).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def draw(lengths, source=SOURCE):
    """States, memory, lengths."""
    batch = len(lengths)
    state = torch.randn(batch, TARGET, HIDDEN, dtype=torch.float64)
    return state, torch.randn(batch, source, MEMORY, dtype=torch.float64), torch.tensor(lengths)


def weights_of(layer, state, memory, lengths, first=0):
    positions = torch.arange(first, first + state.shape[1])
    return layer(state, prepare(layer.score, memory, lengths), positions, need_weights=True).weights


def centres(layer, state, lengths):
    """Equation 9, with the length of each sentence."""
    first, last = layer.predict[0].weight, layer.predict[2].weight[0]
    return lengths[:, None] * torch.sigmoid(torch.tanh(state @ first.T) @ last)


@EVERY_SCORE
@M_AND_P
def test_weights_outside_the_window_are_exactly_zero(seed, score, predictive):
    layer, first = make(score, predictive=predictive), 10
    state, memory, lengths = draw([SOURCE, 23])
    weights = weights_of(layer, state, memory, lengths, first)
    for b, length in enumerate(lengths.tolist()):
        for t in range(TARGET):
            centre = round(centres(layer, state, lengths)[b, t].item()) if predictive else first + t
            inside = [j for j in range(SOURCE) if abs(j - centre) <= WINDOW and j < length]
            assert (weights[b, t, inside] > 0).all()
            assert weights[b, t].count_nonzero() == len(inside)


@EVERY_SCORE
def test_the_window_of_local_m_has_2d_plus_1_positions_round_the_targets_own(seed, score):
    state, memory, lengths = draw([SOURCE, SOURCE])
    weights = weights_of(make(score, predictive=False), state, memory, lengths, first=WINDOW)
    for t in range(TARGET):
        looked_at = weights[0, t].nonzero().flatten().tolist()
        assert looked_at == list(range(t, t + 2 * WINDOW + 1))
    torch.testing.assert_close(weights.sum(2), torch.ones(BATCH, TARGET, dtype=torch.float64))


def test_the_window_of_local_m_is_exact_in_bfloat16_where_whole_numbers_are_not(seed):
    layer = make("general", predictive=False).bfloat16()
    state, memory, lengths = draw([311, 307], source=311)
    weights = weights_of(layer, state.bfloat16(), memory.bfloat16(), lengths, first=300)
    for t in range(TARGET):
        looked_at = weights[0, t].nonzero().flatten().tolist()
        assert looked_at == list(range(300 + t - WINDOW, 300 + t + WINDOW + 1))


def test_local_p_looks_at_the_same_positions_under_autocast(seed):
    """Scores that are all 0, so that the weights are those of the Gaussian alone."""
    layer = make("general", predictive=True).float()
    torch.nn.init.zeros_(layer.score.key.weight)
    state, memory, lengths = draw([601, 503], source=601)
    expected = weights_of(layer, state.float(), memory.float(), lengths)
    with torch.autocast("cpu", torch.bfloat16):
        got = weights_of(layer, state.float(), memory.float(), lengths)
    torch.testing.assert_close(got.float(), expected, rtol=0.02, atol=1e-3)


@EVERY_SCORE
@M_AND_P
def test_a_window_wider_than_the_source_is_global_attention(seed, score, predictive):
    layer = make(score, predictive=predictive, window=31)
    state, memory, lengths = draw([23, 17], source=23)
    everywhere = GlobalAttention(layer.score)
    positions = torch.arange(TARGET)
    expected = everywhere(state, prepare(everywhere.score, memory, lengths), positions, need_weights=True).weights
    if predictive:
        distance = torch.arange(23) - centres(layer, state, lengths).unsqueeze(2)
        expected = expected * torch.exp(-(distance**2) / (2 * (31 / 2) ** 2))
    got = layer(state, prepare(layer.score, memory, lengths), positions, need_weights=True)
    torch.testing.assert_close(got.weights, expected)
    torch.testing.assert_close(got.context, expected @ memory)


def test_local_p_weights_are_a_softmax_times_a_gaussian_of_half_the_window(seed):
    """Equation 10, position by position; sigma = D / 2."""
    layer = make("location", predictive=True)
    state, memory, lengths = draw([SOURCE, 23])
    weights = weights_of(layer, state, memory, lengths)
    scores = (state @ layer.score.query.weight.T).detach()
    for b in range(BATCH):
        for t in range(TARGET):
            centre = centres(layer, state, lengths)[b, t].item()
            looked_at = [j for j in range(int(lengths[b])) if abs(j - round(centre)) <= WINDOW]
            total = sum(math.exp(scores[b, t, j]) for j in looked_at)
            for j in looked_at:
                aligned = math.exp(scores[b, t, j]) / total
                expected = aligned * math.exp(-((j - centre) ** 2) / (2 * (WINDOW / 2) ** 2))
                assert weights[b, t, j].item() == pytest.approx(expected)


def test_local_p_centres_by_the_real_length_of_each_sentence(seed):
    layer = make("general", predictive=True)
    state, memory, lengths = draw([13, 17])
    alone = [
        weights_of(layer, state[b : b + 1], memory[b : b + 1, :length], lengths[b : b + 1])[0]
        for b, length in enumerate(lengths.tolist())
    ]
    together = weights_of(layer, state, memory, lengths)
    for b, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(together[b, :, :length], alone[b])
        assert (together[b, :, length:] == 0).all()


def test_the_centre_of_local_p_is_learnt_through_the_gaussian(seed):
    layer = make("general", predictive=True)
    state, memory, lengths = draw([SOURCE, 23])
    layer(state, prepare(layer.score, memory, lengths), torch.arange(TARGET)).context.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.predict.parameters())


@EVERY_SCORE
@M_AND_P
@pytest.mark.parametrize("source", [2, 29, 503])
def test_attend_is_given_2d_plus_1_keys_whatever_the_length_of_the_source(seed, monkeypatch, score, predictive, source):
    seen = []

    def spy(query, key, value, **arguments):
        seen.append((query.shape[1], key.shape[1], value.shape[1]))
        return attend(query, key, value, **arguments)

    monkeypatch.setattr(local, "attend", spy)
    layer = make(score, predictive=predictive)
    state, memory, lengths = draw([source, 1], source=source)
    layer(state, prepare(layer.score, memory, lengths), torch.arange(TARGET))
    assert seen == [(1, 2 * WINDOW + 1, 2 * WINDOW + 1)]


@EVERY_SCORE
def test_a_target_beyond_the_source_and_its_window_gets_no_context_and_finite_gradients(seed, score):
    layer = make(score, predictive=False)
    state, memory, lengths = draw([2, SOURCE])
    memory.requires_grad_()
    found = layer(state, prepare(layer.score, memory, lengths), torch.arange(5, 5 + TARGET), need_weights=True)
    assert (found.weights[0] == 0).all()
    assert (found.context[0] == 0).all()
    found.context.sum().backward()
    assert memory.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@EVERY_SCORE
@M_AND_P
def test_asking_for_weights_does_not_change_the_context(seed, score, predictive):
    layer = make(score, predictive=predictive)
    state, memory, lengths = draw([SOURCE, 23])
    source, positions = prepare(layer.score, memory, lengths), torch.arange(TARGET)
    silent, asked = layer(state, source, positions), layer(state, source, positions, need_weights=True)
    assert silent.weights is None
    torch.testing.assert_close(silent.context, asked.context)
    torch.testing.assert_close(asked.weights @ memory, asked.context)


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_of_nothing_is_refused(window):
    with pytest.raises(ValueError, match=f"window must be at least 1 position on each side, got {window}"):
        make("general", predictive=False, window=window)
