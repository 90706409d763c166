"""The error a user sees: one line that names the file, line or argument, and what to do."""


class AttentioError(ValueError):
    """A mistake that the person at the keyboard can mend.

    The commands print its message on one line, without a traceback, and exit with code 2.
    """
