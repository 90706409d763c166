"""The parameters of the comparisons, under global attention."""

import pytest
import torch

from attentio.layers.additive import AdditiveScore
from attentio.layers.global_attention import GlobalAttention
from attentio.layers.local import LocalAttention
from attentio.layers.luong import DotScore, GeneralScore, LocationScore
from attentio.layers.sources import prepare

BATCH, TARGET, SOURCE, HIDDEN, MEMORY = 2, 3, 13, 5, 7
REACH = 11


def draw(hidden=HIDDEN):
    state = torch.randn(BATCH, TARGET, hidden, dtype=torch.float64)
    return state, torch.randn(BATCH, SOURCE, MEMORY, dtype=torch.float64), torch.tensor([SOURCE, 2])


def attention(layer, state, memory, lengths):
    return layer(state, prepare(layer.score, memory, lengths), torch.arange(TARGET), need_weights=True)


@pytest.mark.parametrize(
    "score",
    [
        DotScore(query_features=MEMORY, memory_features=MEMORY),
        GeneralScore(query_features=HIDDEN, memory_features=MEMORY),
        AdditiveScore(query_features=HIDDEN, memory_features=MEMORY, features=17),
        LocationScore(query_features=HIDDEN, reach=19),
    ],
    ids=lambda score: type(score).__name__,
)
def test_padding_keys_receive_zero_weight_and_change_nothing(seed, score):
    layer = GlobalAttention(score).double()
    state, memory, lengths = draw(MEMORY if type(score) is DotScore else HIDDEN)
    found = attention(layer, state, memory, lengths)
    torch.testing.assert_close(found.weights.sum(2), torch.ones(BATCH, TARGET, dtype=torch.float64))
    assert (found.weights[1, :, 2:] == 0).all()
    alone = attention(layer, state[1:], memory[1:, :2], lengths[1:])
    torch.testing.assert_close(found.context[1:], alone.context)
    torch.testing.assert_close(found.weights[1:, :, :2], alone.weights)


def test_dot_refuses_states_of_different_sizes_and_says_what_to_do():
    with pytest.raises(ValueError, match=r"score 'dot' .* got 5 and 7\. .*'general'"):
        DotScore(query_features=HIDDEN, memory_features=MEMORY)


def test_general_and_concat_take_states_of_different_sizes(seed):
    """W_a of general is [hidden, memory]; that of concat is [W U], the query's columns first."""
    state, memory, lengths = draw()
    general = GlobalAttention(GeneralScore(query_features=HIDDEN, memory_features=MEMORY)).double()
    scores = torch.einsum("bqi,ij,bkj->bqk", state, general.score.key.weight, memory)
    torch.testing.assert_close(attention(general, state, memory, lengths).weights[0], scores[0].softmax(1))
    concat = GlobalAttention(AdditiveScore(query_features=HIDDEN, memory_features=MEMORY, features=17)).double()
    joined = torch.cat(
        [
            state.unsqueeze(2).expand(-1, -1, SOURCE, -1),
            memory.unsqueeze(1).expand(-1, TARGET, -1, -1),
        ],
        dim=3,
    )
    w = torch.cat([concat.score.query.weight, concat.score.key.weight], dim=1)
    scores = torch.tanh(joined @ w.T + concat.score.query.bias) @ concat.score.vector
    torch.testing.assert_close(attention(concat, state, memory, lengths).weights[0], scores[0].softmax(1))


@pytest.mark.parametrize("kind", ["global", "local-m", "local-p"])
def test_location_reads_a_source_beyond_its_reach_as_if_it_ended_there(seed, kind):
    score = LocationScore(query_features=HIDDEN, reach=REACH)
    layer = GlobalAttention(score)
    if kind != "global":
        layer = LocalAttention(score, window=2, predictive=kind == "local-p", hidden=HIDDEN)
    layer.double()
    state, memory, lengths = draw()
    found = attention(layer, state, memory, lengths)
    cut = attention(layer, state, memory[:, :REACH], lengths.clamp(max=REACH))
    torch.testing.assert_close(found.context, cut.context)
    torch.testing.assert_close(found.weights[..., :REACH], cut.weights)
    assert (found.weights[..., REACH:] == 0).all()


def test_location_looks_at_the_state_only(seed):
    layer = GlobalAttention(LocationScore(query_features=HIDDEN, reach=19)).double()
    state, memory, lengths = draw()
    before, after = (attention(layer, state, m, lengths).weights for m in (memory, torch.randn_like(memory)))
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    scores = state[0] @ layer.score.query.weight[:SOURCE].T
    torch.testing.assert_close(before[0], scores.softmax(1))
