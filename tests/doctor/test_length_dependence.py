"""length-dependence: outputs of a causal model change with the number of tokens that follow."""

from collections.abc import Callable

import pytest
from examined import assert_only_error, diagnosed, found
from future_mistakes import LENGTH_DEPENDENCE
from sequence_models import Decoder, Encoder, rows

import attentio as at


@pytest.mark.parametrize("mistake", LENGTH_DEPENDENCE.values(), ids=LENGTH_DEPENDENCE)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "length-dependence")


def test_where_it_was_cut_is_told(seed: int) -> None:
    (finding,) = found(diagnosed(LENGTH_DEPENDENCE["from-the-end"]()), "length-dependence")
    assert finding.evidence["cut"] == "tokens from position 6 on"
    assert finding.evidence["by (relative)"] > 0.01


def test_models_that_look_both_ways_are_not_asked(seed: int) -> None:
    tokens, real = rows(11, 7, 9)
    diagnosis = at.diagnose(Encoder(), {"tokens": tokens, "attention_mask": real.long()})
    assert diagnosis.skipped["length-dependence"] == "outputs depend on what follows, not on its length alone"
    assert "length-dependence" in at.diagnose(Decoder(), tokens, causal=False).skipped


def test_padding_that_is_cut_off_is_no_difference(seed: int) -> None:
    diagnosis = at.diagnose(Decoder(), rows(11, 3, 2)[0], causal=True)
    assert "length-dependence" in diagnosis.checked
    assert not found(diagnosis, "length-dependence")
