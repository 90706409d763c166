"""What a model does not know, told while lines go through it."""

import sys
from collections.abc import Sequence

from attentio.commands.words import said
from attentio.text.unknown import Unknown, told

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

    def end(self) -> None:
        """Tell how many there were, if not each was told."""
        if self.count > MOST_TOLD:
            print(said(f"{self.count:,} texts hold something that the model does not know"), file=sys.stderr)
