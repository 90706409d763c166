"""What the messages about unknown names have in common."""

import pytest

from attentio.errors import did_you_mean


@pytest.mark.parametrize(
    ("name", "hint"), [("loung", "; did you mean 'luong'?"), ("bahdanua", "; did you mean 'bahdanau'?"), ("xyz", "")]
)
def test_the_nearest_known_name_is_told_if_there_is_one(name: str, hint: str) -> None:
    assert did_you_mean(name, iter(["bahdanau", "luong", "none"])) == hint
