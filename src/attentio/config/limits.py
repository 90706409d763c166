"""The limits of what a configuration may say: fields of dataclasses that keep to them. Light to import."""

import re
from collections.abc import Callable
from dataclasses import field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin

from attentio.errors import AttentioError, did_you_mean


def limited(allows: Callable[[Any], bool], said: str) -> Callable[[Any], Any]:
    """Makes fields, given their default, whose numbers keep to a limit; `check` holds them to it."""
    return lambda default: field(default=default, metadata={"allows": allows, "said": said})


def named_or_own(*names: str) -> Callable[[Any], Any]:
    """One of these names, or code of the user's own, FILE.py:NAME."""
    metadata = {
        "allows": lambda value: value in names or re.fullmatch(r".+\.py:[^\W\d]\w*", value) is not None,
        "said": ", ".join((*names, "FILE.py:NAME")),
        "names": names,
    }
    return lambda default: field(default=default, metadata=metadata)


def check(section: Any, key: str) -> None:
    """Hold the values of a section, and of the sections in it, to their choices and limits."""
    for each in fields(section):
        name, value = f"{key}.{each.name}", getattr(section, each.name)
        if is_dataclass(value):
            check(value, name)
        elif get_origin(each.type) is Literal and value not in get_args(each.type):
            raise AttentioError(f"{name} must be one of {', '.join(map(str, get_args(each.type)))}; got {value!r}")
        elif value is None:
            if type(None) not in get_args(each.type):
                raise AttentioError(f"{name} must be {each.metadata.get('said', 'given')}; got null")
        elif each.metadata and not each.metadata["allows"](value):
            hint = did_you_mean(str(value), each.metadata.get("names", ()))
            raise AttentioError(f"{name} must be {each.metadata['said']}; got {str(value)[:60]}{hint}")


def whole(least: int, most: int) -> Callable[[Any], Any]:
    """Whole numbers. `most` is far above what anybody trains with; a slip of the hand must not take all memory."""
    return limited(lambda number: least <= number <= most, f"from {least} to {most:,}")


size = whole(1, 2**16)
layers = whole(1, 1000)
tokens = whole(1, 2**24)
updates = whole(1, 10**12)
updates_or_none = whole(0, 10**12)
any_seed = whole(0, 2**63 - 1)
up_to_a_million = limited(lambda number: 0 <= number <= 1e6, "from 0 to 1,000,000")
above_0 = limited(lambda number: 1e-12 <= number <= 1e6, "from 1e-12 to 1,000,000")
probability = limited(lambda number: 0 <= number <= 1, "from 0 to 1")
below_1 = limited(lambda number: 0 <= number < 1, "0 or more, and below 1")
dropped = limited(lambda number: 0 <= number <= 0.999, "0 or more, and below 1 (at most 0.999)")
