"""One input in a process of its own, forked where torch is loaded already, under limits of time and memory; and what
came of it."""

import contextlib
import os
import re
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from attentio.commands.main import main

SECONDS = 20
MEMORY = 2 * 2**30
"""Bytes on top of what the process has when torch is loaded."""


@dataclass(frozen=True)
class Case:
    """An input, written down in a folder where the command runs.

    kind: of input. note: what was done, to find it again. words: the command. given: on standard input.
    intended: where the command may write, relative to the folder. expected: what standard output must be if the
    command succeeds, since a sum says that something is not as it was; None for anything.
    """

    kind: str
    note: str
    words: list[str]
    given: bytes = b""
    intended: tuple[str, ...] = ()
    expected: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """findings: their kinds; none is as it should be."""

    code: int
    out: bytes
    err: str
    seconds: float
    findings: list[str] = field(default_factory=list)


def run(case: Case, folder: Path, streams: Path) -> Outcome:
    """Run it to its end, or to its limits. streams: a folder for what it reads and writes."""
    (streams / "in").write_bytes(case.given)
    before = _state(folder)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(case, folder, streams)
    status, usage, late = _wait(child, began + 3 * SECONDS)  # a busy machine gives it less of the processor
    out, err = (streams / "out").read_bytes(), (streams / "err").read_text(encoding="utf-8", errors="replace")
    seconds = usage.ru_utime + usage.ru_stime
    findings = []
    code = os.waitstatus_to_exitcode(status)
    if late or code == -signal.SIGXCPU:
        findings.append("hang")
    elif code < 0:
        findings.append(f"died of {signal.Signals(-code).name}")
    elif "Traceback" in err:
        findings.append("traceback")
    elif code not in (0, 2):
        findings.append(f"exit code {code}")
    elif code == 2 and not re.match(r"attentio: .+|usage: |attentio \w+: error: ", _last(err)):
        findings.append("no line that says why")
    if "Warning: " in err:
        findings.append("a warning of Python")
    if "attentio: not enough memory" in err or usage.ru_maxrss * 1024 > MEMORY + _HERE:
        findings.append("memory")
    written = {name for name, what in _state(folder).items() if before.get(name) != what}
    written |= before.keys() - _state(folder).keys()
    if astray := sorted(name for name in written if not name.startswith(case.intended or ("\0",))):
        findings.append(f"wrote elsewhere: {astray[:3]}")
    if code == 0 and case.expected is not None and out != case.expected:
        findings.append("silent")
    return Outcome(code, out, err, seconds, findings)


_HERE = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _last(err: str) -> str:
    lines = [line for line in err.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        if not path.is_dir() or path.is_symlink():
            found[path.relative_to(folder).as_posix()] = (about.st_mtime_ns, about.st_size)
    return found


def _wait(child: int, until: float) -> tuple[int, resource.struct_rusage, bool]:
    late = False
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage, late
        if time.monotonic() > until and not late:
            late = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.002)


def _become(case: Case, folder: Path, streams: Path) -> None:
    """Be the command; never returns."""
    try:
        os.setsid()
        os.chdir(folder)
        os.environ |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "COLUMNS": "200"}
        for number, (name, flags) in enumerate(
            (
                ("in", os.O_RDONLY),
                ("out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
                ("err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            )
        ):
            os.dup2(os.open(streams / name, flags, 0o600), number)
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
            for number, mode, errors in ((0, "r", "strict"), (1, "w", "strict"), (2, "w", "backslashreplace"))
        )
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = _exit_code(case.words)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        os._exit(3)
    os._exit(code)


def _exit_code(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
