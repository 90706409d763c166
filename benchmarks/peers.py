"""The peers' virtual environments: one each, with pinned requirements.

    python benchmarks/peers.py --envs DIR [--peer joeynmt yoyodyne transformers]

An environment that is already in DIR is taken as it is, whatever its versions: every result names the
versions it was measured with.
"""

import argparse
import os
import subprocess
import venv
from pathlib import Path

REQUIREMENTS = {
    "joeynmt": (
        "joeynmt==2.3.0",
        "torch==2.13.0",
        "numpy==2.4.6",
        "importlib_metadata==10.2.0",  # imported by JoeyNMT, not among its requirements
        "sentencepiece==0.2.0",
        "setuptools==79.0.1",  # its tensorboard imports pkg_resources, which later releases lack
    ),
    "transformers": (
        "transformers==5.23.0",
        "torch==2.13.0",
        "accelerate==1.15.0",
        "ctranslate2==4.8.5",
        "sentencepiece==0.2.3",
        "datasets==5.2.0",
        "numpy==2.4.6",
    ),
    "yoyodyne": (
        "yoyodyne==0.5.27",
        "torch==2.15.0",
        "torchvision==0.29.2",
        "torchaudio==2.11.0",
        "lightning==2.6.6",
        "jsonargparse[signatures]==4.53.0",
        "numpy==2.4.6",
        "setuptools==84.2.1",
    ),
}


def environment(peer: str, envs: Path) -> Path:
    """The Python interpreter of the peer's environment `envs/peer`, which is made if it is not there yet."""
    directory = envs / peer
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
        try:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS[peer]], check=True)
        except subprocess.CalledProcessError:
            python.unlink()  # so that half an environment is not taken for a whole one next time
            raise
    return python


def versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """The installed version of each package in the environment of this interpreter."""
    script = "import sys, importlib.metadata as m; print(*(m.version(package) for package in sys.argv[1:]))"
    printed = subprocess.run([python, "-c", script, *packages], check=True, capture_output=True, text=True)
    return dict(zip(packages, printed.stdout.split(), strict=True))


def launch(command: list[str | Path], *, threads: int, log: Path, python_path: Path | None = None) -> None:
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the peers' environments.")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the environments")
    parser.add_argument("--peer", nargs="+", choices=REQUIREMENTS, default=list(REQUIREMENTS))
    arguments = parser.parse_args()
    for peer in arguments.peer:
        print(peer, environment(peer, arguments.envs))


if __name__ == "__main__":
    main()
