"""What Linux, macOS and Windows do each in a way of their own. The rest of attentio asks here."""

import codecs
import contextlib
import ctypes
import hashlib
import io
import locale
import mmap
import multiprocessing
import multiprocessing.context
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

_ROUTINES = 128  # see docs/results.md; 1,024 by default
_SPINS = 30_000  # about as long as the gap between two products: some tens of microseconds
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
_NEVER = 2**31 - 1

ASKED_TO_END = signal.SIGTERM
"""The signal with which systems and launchers end a process that may still save."""


def settle() -> None:
    """Make torch quick on a CPU; to be called before torch is loaded, which is when OpenMP reads its settings.

    Threads that wait for each other spin for a moment and then sleep, which leaves the cores to others that want
    them. Freed memory is kept: by default glibc hands big blocks back to the kernel and gets
    them again a page at a time, at every step of a training.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc; musl has none
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def give_back_memory() -> None:
    """Hand back to the kernel what is free of the memory that `settle` keeps.

    Batches of many shapes leave holes between what is in use, which take gigabytes after some thousand updates.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


def keep_few_routines() -> None:
    """Have torch's libraries of products keep fewer of the routines that they make for each shape; to be called before
    the first product of a training of Transformers.

    Its batches have ever other shapes. What belongs to a routine are small blocks of memory that lie among the big ones
    of tensors: of a thousand of them the heap grows, until after some thousand updates each takes twice as long.
    """
    for library in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(library, str(_ROUTINES))


def begin_in_utf8() -> None:
    """Begin this command again in Python's UTF-8 mode where the locale has another encoding.

    Texts and file names that come as arguments would be other letters, or none: it is decided before they are read.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def keep_standard_numbers() -> None:
    """Let standard streams that are closed lead nowhere: the next file that is opened would get their numbers.

    What a library in C says on standard error would then be written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def write_in_utf8() -> None:
    """Let standard output and error be UTF-8, as every file is; Windows has another encoding for pipes and files."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=stream.errors)


def silence(stream: int) -> None:
    """Write what is still to come on a stream, called by its number, to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def language() -> Literal["en", "ko"]:
    """The first of ours that the user of this system asks for, in the variables that gettext reads; else English."""
    names = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
    asked = next((os.environ[name] for name in names if os.environ.get(name)), None) or locale.getlocale()[0] or ""
    spoken = (re.split(r"[_.@-]", one)[0].lower() for one in asked.split(":"))
    found = next((one for one in spoken if one in ("en", "english", "c", "posix", "ko", "korean")), "en")
    return "ko" if found.startswith("ko") else "en"  # Windows says Korean_Korea


def process_context() -> multiprocessing.context.BaseContext:
    """How to begin other processes of Python: from a clean one that is forked, or, on Windows, each anew."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


def forward_slashes(path: str) -> str:
    """A path as every system reads it: Windows takes both slashes, the others only this one."""
    return path.replace(os.sep, "/")


def sync(path: Path) -> None:
    """Have a file or directory on the disk before going on, as far as the system can."""
    if path.is_dir():
        with contextlib.suppress(OSError):  # Windows opens no directory, some file systems sync none
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    else:
        with path.open("rb+") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """Write a file of UTF-8, as `replace_bytes` does."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a file that at no moment is half written: beside, synced, renamed. OSError names `path`.

    A pipe or a device, such as /dev/stdout, is written to and not replaced. Of a link to a file, the file is replaced;
    a link to a directory or to itself is replaced itself.
    """
    with naming(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(content)
            return
        place = path if path.is_dir() else Path(os.path.realpath(path))  # `resolve` raises at a link to itself
        new = beside(place)
        try:
            new.write_bytes(content)
            sync(new)
            os.replace(new, place)
        finally:
            new.unlink(missing_ok=True)
        sync(place.parent)


def beside(place: Path) -> Path:
    """Where this process writes what is to come to `place`: hidden, in the same folder, by a name that is not longer
    than names can be."""
    told = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:8]
    return place.with_name(f".{place.name[:40]}.{told}.{os.getpid()}.new")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError names this path: that of a full disk names none.

    Libraries in Rust (safetensors, tokenizers) raise exceptions of their own, with the number of the OSError in words.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def comes_within(seconds: float, descriptor: int) -> bool:
    """Whether there is something to read, or the end, by then. On Windows nobody can tell of a pipe: there only a
    terminal is taken to pause."""
    if sys.platform == "win32":
        return not os.isatty(descriptor)
    return bool(select.select([descriptor], [], [], seconds)[0])


def scratch_folder() -> Path:
    """Where there is room for more than the memory holds: TMPDIR, or else not a /tmp that may be memory itself."""
    roomy = Path("/var/tmp")
    return roomy if "TMPDIR" not in os.environ and roomy.is_dir() else Path(tempfile.gettempdir())


def let_go(mapped: mmap.mmap) -> None:
    """Give back what of a mapped file is in memory, where the system can; what is asked for again is read again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def held_megabytes() -> float | None:
    """The memory that this process holds, which only Linux tells; on other systems the most that it has held."""
    held = _status("VmRSS")
    return peak_megabytes() if held is None else held


def peak_megabytes() -> float | None:
    """The most memory that this process has held; None on Windows, which does not tell it to Python."""
    if (peak := _status("VmHWM")) is not None:  # in `ru_maxrss` is what the process held that began this one
        return peak
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, else KB


def _status(name: str) -> float | None:
    """Megabytes that Linux tells of this process by this name; None on other systems."""
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 2**10
    return None


def started_by_mpi() -> bool:
    """Whether mpirun has started this process and others with it."""
    return any(int(os.environ.get(name, 1)) > 1 for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"))


def may_have_peers() -> bool:
    """Whether a launcher may have started other processes for the same job: which, the training itself finds out."""
    return started_by_mpi() or any(name in os.environ for name in ("WORLD_SIZE", "SLURM_NTASKS", "JSM_NAMESPACE_SIZE"))


def most_open_files() -> int:
    """How many files, connections among them, this process may have open; Windows has no such limit."""
    try:
        import resource
    except ImportError:
        return _NEVER
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _NEVER if limit == resource.RLIM_INFINITY else limit


def memory() -> int | None:
    """Bytes that this process can have at most: the machine's, or less in a container or under a limit.

    None where the system does not tell.
    """
    found = []
    with contextlib.suppress(AttributeError, OSError, ValueError):  # Windows has no sysconf
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # of containers; "max" where there is no limit
        with contextlib.suppress(OSError, ValueError):
            found.append(int((Path("/sys/fs/cgroup") / name).read_text(encoding="utf-8")))
    with contextlib.suppress(ImportError):
        import resource

        addresses, data = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
        if addresses != resource.RLIM_INFINITY:
            found.append(max(1, addresses - _only_reserved()))
        if data != resource.RLIM_INFINITY:
            found.append(data)
    return min((number for number in found if number > 0), default=None)


def _only_reserved() -> int:
    """Bytes of addresses that are no memory, such as unread parts of libraries; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError):
        size, resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[:2]
        return (int(size) - int(resident)) * mmap.PAGESIZE
    return 0


def stop_signals() -> list[signal.Signals]:
    """What asks this process to end: Ctrl-C, the system, a closed terminal unless nohup ignores it, Ctrl-Break."""
    found = [signal.SIGINT, signal.SIGTERM]
    others = [getattr(signal, name) for name in ("SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    return found + [number for number in others if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Inside, signals to stop are only noted, so that what is in hand can be finished and saved."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in stop_signals()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pass_on(number: int, child: "subprocess.Popen[bytes]") -> None:
    """Send a child a signal that this process got. On Windows the console has told both, and sending would kill."""
    if sys.platform != "win32":
        child.send_signal(number)
