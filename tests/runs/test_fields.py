"""The fields of a request, checked one by one."""

from typing import Any

import pytest

from attentio.errors import AttentioError
from attentio.runs.changed import LONGEST_TOKEN, asked_change
from attentio.runs.fields import LONGEST_TEXT, Fields

FIELDS = {"text": "a", "beam": 3, "top_p": 0.5, "attention": True}


def test_fields_are_taken_by_name_and_type() -> None:
    fields = Fields(FIELDS)
    assert fields.text("text") == "a"
    assert fields.whole("beam", None, least=1, most=3) == 3
    assert fields.number("top_p", None) == 0.5
    assert fields.flag("attention") is True
    fields.end()
    empty = Fields({})
    assert (empty.text("text", "b"), empty.whole("beam", None, least=1, most=3), empty.number("top_p", 1.0)) == (
        "b",
        None,
        1.0,
    )
    assert empty.flag("attention") is False


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "text must be a text, got nothing"),
        ({"text": 1}, "text must be a text, got 1"),
        ({"text": "a" * (LONGEST_TEXT + 1)}, f"text has {LONGEST_TEXT + 1} characters, more than the limit"),
        ({"text": "a", "beam": "3"}, "beam must be a whole number from 1 to 5, got '3'"),
        ({"text": "a", "beam": True}, "beam must be a whole number"),
        ({"text": "a", "beam": 6}, "beam must be a whole number from 1 to 5, got 6"),
        ({"text": "a", "top_p": float("nan")}, "top_p must be a number, got nan"),
        ({"text": "a", "top_p": 10**400}, "top_p must be a number, got 1000"),
        ({"text": "a", "flag": 1}, "flag must be true or false, got 1"),
        ({"text": "a", "baem": 3}, "unknown field 'baem'; known are text, beam, top_p, flag; did you mean 'beam'?"),
    ],
    ids=range(10),
)
def test_fields_that_are_wrong_are_told_by_name(given: dict[str, Any], told: str) -> None:
    def take(fields: Fields) -> None:
        fields.text("text")
        fields.whole("beam", None, least=1, most=5)
        fields.number("top_p", None)
        fields.flag("flag")
        fields.end()

    with pytest.raises(AttentioError) as caught:
        take(Fields(given))
    assert str(caught.value).startswith(told)


def test_what_is_put_in_a_tokens_place_is_not_a_text() -> None:
    asked = {"text": "a", "place": 0, "how": "replace", "token": "b" * LONGEST_TOKEN}
    assert asked_change(Fields(asked))[1].token == "b" * LONGEST_TOKEN
    with pytest.raises(AttentioError, match=f"token has {LONGEST_TOKEN + 1} characters, more than the limit of"):
        asked_change(Fields({**asked, "token": "b" * (LONGEST_TOKEN + 1)}))
