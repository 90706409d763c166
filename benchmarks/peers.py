"""The peers' virtual environments: one each, with every package pinned in `peer_pins/PEER.txt`."""

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

PINS = Path(__file__).parent / "peer_pins"


def environment(peer: str, envs: Path) -> Path:
    """The Python interpreter of the peer's environment `envs/peer`, with every package as it is pinned.

    An environment that is there already is checked: pip leaves what is as pinned, and replaces or adds the rest.

    Raises:
        RuntimeError: pip could not install something; the message ends with what it said.
    """
    directory, pins = envs / peer, PINS / f"{peer}.txt"
    python, log = directory / "bin" / "python", envs / f"{peer}.txt"
    if not python.with_name("pip").exists():
        venv.create(directory, with_pip=True)
    install: list[str | Path] = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    # torch with what its build needs, which for one with CUDA is more than the pins hold. All else exactly as pinned:
    # without a look at requirements, because some ask for packages that nothing imports.
    launch([*install, "--constraint", pins, "torch"], threads=1, log=log)
    launch([*install, "--no-deps", "--requirement", pins], threads=1, log=log)
    return python


def versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """The installed version of each package in the environment of this interpreter."""
    script = "import sys, importlib.metadata as m; print(*(m.version(package) for package in sys.argv[1:]))"
    printed = subprocess.run([python, "-c", script, *packages], check=True, capture_output=True, text=True)
    return dict(zip(packages, printed.stdout.split(), strict=True))


def launch(command: Sequence[str | Path], *, threads: int, log: Path, python_path: Path | None = None) -> None:
    """Run a command to its end on so many CPU threads, its output in `log`.

    Raises:
        RuntimeError: the command failed; the message ends with the last lines of the log.
    """
    count = str(threads)
    settings = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "CUDA_VISIBLE_DEVICES": ""}
    if python_path is not None:
        settings["PYTHONPATH"] = str(python_path)
    with log.open("w", encoding="utf-8") as sink:
        done = subprocess.run(command, env=os.environ | settings, stdout=sink, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise RuntimeError(f"{command[0]} ended with code {done.returncode}; {log} ends with:\n{tail}")
