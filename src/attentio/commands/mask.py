"""attentio mask FILE: the holes that training draws in a text, row by row, and how many of each kind there are."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from attentio.commands.numbers import CountFromZero
from attentio.commands.words import said

if TYPE_CHECKING:
    import numpy as np

TAKES_OVERRIDES = True


class Drawn(NamedTuple):
    """Rows side by side, [tokens], without special tokens. true: ids. read: what the model reads. asked: for which."""

    true: "np.ndarray"
    read: "np.ndarray"
    asked: "np.ndarray"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "x→[MASK] and x→y: the model must say x, and reads [MASK] or a random token there; x→x: it reads x itself.\n"
        "The rows are tokenised and the holes drawn as `attentio train masked-lm --data.train FILE --data.dev OTHER`\n"
        "does in an epoch; without a dev set it trains on a part of FILE alone.\n"
        "--key.sub value as in training, for instance --masking.unit word --text.source.tokenizer whitespace."
    )
    parser.add_argument("text", metavar="FILE", help="plain text, or an embedded set such as dates:dev")
    parser.add_argument("--rows", type=CountFromZero, default=10, metavar="N", help="rows to show (default: 10)")
    parser.add_argument("--epoch", type=CountFromZero, default=0, metavar="N", help="from 0 (default: 0)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    import numpy as np
    from rich.console import Console

    from attentio.config.read import load_config
    from attentio.data.batches import IGNORE_INDEX
    from attentio.data.part import read_part
    from attentio.errors import AttentioError
    from attentio.runs.tasks import task_of

    config = load_config("masked-lm", [f"--data.train={arguments.text}", *overrides])
    if config.model.type != "masked-lm":
        raise AttentioError("holes are drawn for model.type masked-lm; leave --model.type out")
    task, console = task_of(config), Console(emoji=False, highlight=False)
    part = read_part(config, config.data.train)
    tokenizers = task.learn(config, part)
    tokenizer = tokenizers.source
    rows: Any = task.corpus(config, part, tokenizers, seed=config.training.seed)
    drawn = []
    for number in range(len(rows)):
        batch = rows.load(np.array([number]), arguments.epoch)
        read, asked = batch.inputs[0][0, 1:-1].numpy(), batch.labels[0, 1:-1].numpy()
        chosen = asked != IGNORE_INDEX
        row = Drawn(np.where(chosen, asked, read), read, chosen)
        drawn.append(row)
        if number < arguments.rows:
            console.print(_shown(row, tokenizer), soft_wrap=True)
    if arguments.rows:
        console.print()
    console.print(_counts(Drawn(*map(np.concatenate, zip(*drawn, strict=True))), tokenizer))
    return 0


def _shown(row: Drawn, tokenizer: Any) -> Any:
    """The row's tokens, with a space between two, and with their replacements where they are asked for."""
    from rich.text import Text

    from attentio.pictures.labels import label

    def name(token: int) -> str:
        return "[MASK]" if token == tokenizer.mask else label(tokenizer.tokens([token])[0])

    pieces = [
        Text(f"{name(true)}→{name(read)}", "bold red") if asked else Text(name(true))
        for true, read, asked in zip(*(part.tolist() for part in row), strict=True)
    ]
    return Text(" ").join(pieces)


def _counts(all_rows: Drawn, tokenizer: Any) -> Any:
    import numpy as np
    from rich.table import Table

    true, read, asked = all_rows
    ordinary = int((~np.isin(true, list(tokenizer.special_ids))).sum())
    masked, same = int((asked & (read == tokenizer.mask)).sum()), int((asked & (read == true)).sum())
    chosen = int(asked.sum())
    table = Table(box=None, pad_edge=False)
    for heading in ("", "tokens", "of all", "of the chosen"):
        table.add_column(said(heading), justify="right" if heading else "left")
    table.add_row(said("ordinary tokens"), f"{ordinary:,}")
    table.add_row(said("chosen"), f"{chosen:,}", f"{chosen / max(ordinary, 1):.1%}")
    for name, count in (("→ [MASK]", masked), ("→ another token", chosen - masked - same), ("→ itself", same)):
        table.add_row(f"  {said(name)}", f"{count:,}", "", f"{count / max(chosen, 1):.1%}")
    return table
