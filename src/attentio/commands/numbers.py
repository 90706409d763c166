"""The numbers that verbs take: what is outside them is told, with its limits, before anything is loaded."""

import argparse
import math
from dataclasses import dataclass

from attentio.config.schema import MOST_HYPOTHESES


@dataclass(frozen=True)
class Whole:
    """A whole number within limits, as the type of an argument."""

    least: int
    most: int

    def __call__(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = self.least - 1
        if not self.least <= number <= self.most:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {self.least:,} to {self.most:,}, got {text[:40]!r}"
            )
        return number


@dataclass(frozen=True)
class Real:
    """A number within limits, as the type of an argument. above: the least itself is too little."""

    least: float
    most: float
    above: bool = False

    def __call__(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not self.least <= number <= self.most or (self.above and number == self.least):
            least, most = f"{self.least:g}", f"{self.most:g}"
            limits = f"above {least} and at most {most}" if self.above else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be a number {limits}, got {text[:40]!r}")
        return number


Beam = Whole(1, MOST_HYPOTHESES)
"""Hypotheses, or as many results of one text."""

Count = Whole(1, 10**6)
"""Of tokens or candidates; and the number of a layer or head."""
CountFromZero = Whole(0, 10**6)
Processes = Whole(1, 1024)
Documents = Whole(1, 10**9)
Seed = Whole(0, 2**63 - 1)
Seeds = Whole(1, 1000)
Trials = Whole(1, 100_000)
Port = Whole(0, 65535)

LengthPenalty = Real(0.0, 100.0)
MaxLengthRatio = Real(0.0, 1000.0, above=True)
Temperature = Real(0.0, 1000.0)
Share = Real(0.0, 1.0, above=True)
"""Of a probability."""
Weight = Real(0.0, 1.0)
RepetitionPenalty = Real(1e-6, 1e6)
Seconds = Real(0.0, 86_400.0, above=True)
Minutes = Real(0.0, 1e6, above=True)
