"""What a way to compute attention must have; each of the other files here is one."""

from typing import NamedTuple, Protocol

from attentio.attention.call import Attended, Call, Compute

NOTHING_TO_DO = "there are no sequences, no queries, no keys or no features"
"""Why engines leave an empty call to the equation in plain torch."""


class Plan(NamedTuple):
    """How an engine would do a call: `run`, or the same with what it has found out already.

    slower_because: why another engine is faster, as measured; None: it is worth it.
    """

    run: Compute
    slower_because: str | None = None


class Engine(Protocol):
    """A module with these names. `SUMMARY`: what it is, in a line."""

    SUMMARY: str

    def refuses(self, call: Call) -> str | None:
        """Why it cannot do a call; None: it can."""

    def plan(self, call: Call) -> Plan:
        """For a call that it can do."""

    def run(self, call: Call) -> Attended:
        """Do it."""
