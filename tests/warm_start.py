"""Commands without the seconds in which Python imports torch: each runs in a fork of a process that has imported it.

    python tests/warm_start.py FOLDER

puts the programs `attentio` and `python` into a folder and waits. Each of them hands its words, folder, environment and
standard streams over to a fresh fork, passes signals on to it, and ends as it does. What a start takes, and what it
imports, a fork cannot show: tests of that start real processes.
"""

import gc
import json
import multiprocessing
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

HELD_ELSEWHERE = (
    *("matplotlib.pyplot", "sacrebleu", "tensorboardX", "rich.progress", "rich.table", "rapidfuzz"),
    "torch._dynamo",
)
"""What attentio imports within its functions, and torch with its first optimizer."""

PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys

with socket.socket(socket.AF_UNIX) as door:
    door.connect({address!r})
    socket.send_fds(door, [b"."], [0, 1, 2])
    door.sendall(json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode() + b"\\n")
    told = door.makefile()
    process = int(told.readline())
    passed_on = signal.SIGHUP, signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, lambda number, frame: os.kill(process, number)) for number in passed_on]
    code = int(told.readline())
if code < 0:
    list(map(signal.signal, passed_on, before))
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `attentio` and a `python` that takes `-c CODE` and `-m attentio`; real ones where nothing forks."""
    if sys.platform != "linux":
        yield Path(sys.executable).parent
        return
    folder = tmp_path_factory.mktemp("programs")
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield folder
        os.killpg(process.pid, signal.SIGKILL)


def load_everything() -> None:
    """Once, so that no fork waits for it."""
    import attentio

    for name in HELD_ELSEWHERE:
        import_module(name)
    for module in pkgutil.walk_packages(attentio.__path__, "attentio."):
        if module.name not in ("attentio.__main__", "attentio.pytest_plugin"):
            import_module(module.name)


def wait(folder: Path) -> None:
    """Put the programs there, and fork for each that is started."""
    address = f"\0attentio-{os.getpid()}"  # of Linux: no file, and so no limit to the length of its path
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks that wait
    gc.freeze()  # what is here does not go, and a fork that looked through it would copy it
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        for name in ("attentio", "python"):
            (folder / name).write_text(PROGRAM.format(python=sys.executable, address=address), encoding="utf-8")
            (folder / name).chmod(0o700)
        print("ready", flush=True)
        while True:
            connection, _ = door.accept()
            with connection:
                if not os.fork():
                    door.close()
                    answer(connection)
                    os._exit(0)


def answer(connection: socket.socket) -> None:
    """Be the command in a fork of its own, and tell the program of its process and of its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile() as request:
        words, folder, environment = json.loads(request.readline())
    process = multiprocessing.get_context("fork").Process(target=be, args=(words, folder, environment, streams))
    process.start()
    connection.sendall(f"{process.pid}\n".encode())
    process.join()
    connection.sendall(f"{process.exitcode}\n".encode())


def be(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """`attentio VERB ..`, `python -m attentio VERB ..`, `python -c CODE ..` or `python FILE.py ..`."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.modules["__main__"] = ModuleType("__main__")
    program, *rest = words
    sys.executable = str(Path(program).with_name("python"))
    if Path(program).name == "attentio" or rest[:2] == ["-m", "attentio"]:
        from attentio.commands.main import main

        sys.argv, sys.path[0] = words, str(Path(program).parent)
        sys.exit(main(rest[2:] if rest[0] == "-m" else rest))
    if rest[0] != "-c":
        sys.argv, sys.path[0] = rest, str(Path(rest[0]).parent)
        runpy.run_path(rest[0], run_name="__main__")
        return
    _, code, *rest = rest
    sys.argv, sys.path[0] = ["-c", *rest], ""
    exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))


if __name__ == "__main__":
    from attentio import system

    system.settle()
    load_everything()
    wait(Path(sys.argv[1]))
