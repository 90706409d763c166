"""What a model does not know, told while lines go through it."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attentio.commands.words import said
from attentio.text.unknown import Unknown, told

if TYPE_CHECKING:
    from attentio.runs.translator import Run

MOST_TOLD = 10


class UnknownTexts:
    """Tells on standard error of the first texts that hold something unknown, and in the end how many there were."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, unknown: Sequence[Unknown], where: str) -> None:
        """Tell of one text, if it is among the first."""
        if not unknown:
            return
        self.count += 1
        if self.count <= MOST_TOLD:
            print(said(told(unknown, where)), file=sys.stderr)

    def note_pair(self, run: "Run", source: str, target: str, line: int) -> None:
        """Tell of the source and of the target of a line."""
        for side, unknown in zip(("source", "target"), run.unknown_in_pair(source, target), strict=True):
            self.note(unknown, f"line {line}, {side}")

    def end(self) -> None:
        """Tell how many there were, if not each was told."""
        if self.count > MOST_TOLD:
            print(said(f"{self.count:,} texts hold something that the model does not know"), file=sys.stderr)
