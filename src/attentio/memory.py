"""What would take more memory than there is, told before it is tried: some systems end the process without a word."""

from attentio import system
from attentio.errors import AttentioError


def fits(needed: int) -> bool:
    """Whether this process can have so many bytes, as far as the system tells."""
    there = system.memory()
    return there is None or needed <= there


def check_memory(needed: int, what: str, remedy: str) -> None:
    """AttentioError where `needed` bytes, the least that `what` takes, are more than this process can have."""
    if not fits(needed):
        there = system.memory() or 0
        raise AttentioError(
            f"{what} would take {needed / 2**30:,.0f} GB of memory, and there are {there / 2**30:,.0f} GB; {remedy}"
        )


def check_room(where: str) -> None:
    """AttentioError, beginning with `where` reading has come to, if this process holds half of the memory."""
    taken, there = system.held_megabytes(), system.memory()
    if taken is not None and there is not None and taken * 2**20 > there / 2:
        raise AttentioError(
            f"{where}: the data so far take {taken / 2**10:,.1f} GB, half of the memory; give fewer lines"
        )
