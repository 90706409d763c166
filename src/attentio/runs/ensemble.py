"""Several runs as one: their models together, where they read and write the same tokens."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from attentio.config.schema import DataConfig
from attentio.errors import AttentioError
from attentio.models.ensemble import Ensemble
from attentio.runs.build import ENCODER_DECODER
from attentio.runs.directory import Contents
from attentio.runs.vocabulary import identity


def ensemble_of(runs: Sequence[Contents]) -> Contents:
    """One run of several, whose model is an `Ensemble`. All options but the data are those of the first.

    Raises AttentioError for models that translate nothing, and for runs that read or write other tokens.
    """
    first = runs[0]
    for one in runs:
        if one.config.model.type != ENCODER_DECODER.type:
            type = one.config.model.type
            raise AttentioError(f"{one.path} holds a model of type {type}; only encoder-decoders answer together")
        for side in ("source", "target"):
            if _vocabulary(one, side) != _vocabulary(first, side):
                raise AttentioError(
                    f"{first.path} and {one.path} have different {side} vocabularies, so they cannot answer together; "
                    f"train them on the same data with the same text options"
                )
        if one.config.model.copy != first.config.model.copy:
            raise AttentioError(f"only one of {first.path} and {one.path} copies, so they cannot answer together")
        if one.config.text.normalize != first.config.text.normalize:
            raise AttentioError(
                f"{first.path} and {one.path} have different text.normalize, so they cannot answer together"
            )
    path = Path(",".join(str(one.path) for one in runs))
    config = replace(first.config, data=_shared([one.config.data for one in runs]))
    return Contents(path, config, first.tokenizers, Ensemble([one.model for one in runs]))


def _vocabulary(one: Contents, side: str) -> tuple[Any, ...]:
    """What must be the same in all."""
    rows = one.model.output.out_features if side == "target" else None
    return rows, *identity(getattr(one.tokenizers, side))


def _shared(data: Sequence[DataConfig]) -> DataConfig:
    """The data that no member was trained on: those held out that all name alike."""
    first = data[0]
    test, dev = ({getattr(one, part) for one in data} == {getattr(first, part)} for part in ("test", "dev"))
    return replace(first, train="", test=first.test if test else None, dev=first.dev if dev else None)
