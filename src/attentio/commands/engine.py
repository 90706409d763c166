"""--engine: what searches for the outputs of a translator: attentio, in float32 or bfloat16, or CTranslate2."""

import argparse
import sys
from typing import TYPE_CHECKING, cast

from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.runs.load import OneRun

OWN = ("attentio", "bfloat16")
"""Those in which attentio searches itself, with all that it can."""


def add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=(*OWN, "ctranslate2", "ctranslate2-int8"),
        default=OWN[0],
        help="what searches for outputs: CTranslate2 is faster where it can hold the model; bfloat16 and int8 round "
        "weights and are faster still where the processor has them",
    )


def with_engine(run: "OneRun", engine: str) -> "OneRun":
    """The run with the engine that was asked for; where that cannot hold the model, as it is, with a word about it."""
    from attentio.errors import AttentioError, MissingExtraError
    from attentio.runs.translator import Run

    if engine == OWN[0]:
        return run
    try:
        if not isinstance(run, Run):
            raise AttentioError(f"the engine {engine} is for encoder-decoders only")
        if engine == "bfloat16":
            return cast("OneRun", run.in_bfloat16())
        return cast("OneRun", run.in_ctranslate2(type="int8" if engine.endswith("int8") else "float32"))
    except MissingExtraError:
        raise
    except AttentioError as error:
        print(f"{said('attentio searches by itself, in float32')}: {said(str(error))}", file=sys.stderr)
        return run
