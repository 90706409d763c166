"""Started as `sitecustomize`: takes from a fresh interpreter what Windows does not have.

The modules are missing to attentio alone: the standard library and the packages have halves of their own for each
system, and here only those for Linux can run; for these os.getuid and os.geteuid stay too.
"""

import builtins
import ctypes
import os
import signal
import sys
from typing import Any

MISSING = {"fcntl", "resource", "pwd", "grp", "termios"}
_import, _open, _load = builtins.__import__, os.open, ctypes.CDLL.__init__


def import_module(name: str, globals: Any = None, *rest: Any, **named: Any) -> Any:
    if name in MISSING and (globals or {}).get("__name__", "").startswith("attentio"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _import(name, globals, *rest, **named)


def open_file(path: Any, flags: int, *rest: Any, **named: Any) -> int:
    if not named and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return _open(path, flags, *rest, **named)


def load_library(self: Any, name: Any, *rest: Any, **named: Any) -> None:
    if name is None:
        raise TypeError("argument of type 'NoneType' is not iterable")
    _load(self, name, *rest, **named)


def symlink(*_: Any, **__: Any) -> None:
    raise OSError(1314, "A required privilege is not held by the client")


class Sys:
    """The module sys of another system."""

    platform = "win32"

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


builtins.__import__ = import_module
os.open, os.symlink, ctypes.CDLL.__init__ = open_file, symlink, load_library  # type: ignore[assignment]
for name in ("wait3", "wait4", "fork", "forkpty", "mkfifo", "mknod", "killpg", "chown"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "alarm", "setitimer", "pthread_kill"):
    delattr(signal, name)

import attentio.system  # noqa: E402

attentio.system.sys = Sys()  # type: ignore[assignment]
