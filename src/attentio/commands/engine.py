"""--engine: what searches for the outputs of a translator, attentio itself or CTranslate2."""

import argparse
import sys
from typing import TYPE_CHECKING, cast

from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.runs.load import OneRun

OWN = "attentio"


def add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=(OWN, "ctranslate2", "ctranslate2-int8"),
        default=OWN,
        help="what searches for outputs: CTranslate2 is faster where it can hold the model; int8 rounds its weights",
    )


def with_engine(run: "OneRun", engine: str) -> "OneRun":
    """The run with the engine that was asked for; where that cannot hold the model, as it is, with a word about it."""
    from attentio.errors import AttentioError, MissingExtraError
    from attentio.runs.translator import Run

    if engine == OWN:
        return run
    try:
        if not isinstance(run, Run):
            raise AttentioError("CTranslate2 is used for encoder-decoders only")
        return cast("OneRun", run.in_ctranslate2(type="int8" if engine.endswith("int8") else "float32"))
    except MissingExtraError:
        raise
    except AttentioError as error:
        print(f"{said('attentio searches by itself')}: {said(str(error))}", file=sys.stderr)
        return run
