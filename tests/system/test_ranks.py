"""The processes of one training as a launcher starts them; torchrun itself is left out, which takes long to load."""

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_faults import train, wait_for_a_row

from attentio.commands.main import main
from attentio.training.checkpoint import Checkpoints


def test_a_killed_process_ends_the_other_in_one_line(
    tmp_path: Path,
    started: Callable[..., "subprocess.Popen[str]"],
    environment: dict[str, str],
    drawn: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command: list[Any] = [*train(tmp_path, drawn, 100_000), "--run", "run"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    environment |= {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    processes = []
    for rank in "01":
        environment |= {"RANK": rank, "LOCAL_RANK": rank}
        processes.append(started(*command))
    for _ in range(3):
        wait_for_a_row(processes[0])
    processes[1].send_signal(signal.SIGKILL)
    last = [line for line in processes[0].stderr or () if not line.startswith(("step ", "dev", " "))]
    assert processes[0].wait(timeout=60) == 2
    assert last == [
        "attentio: rank 0 of 2 has lost another rank, which has ended or cannot be reached; see what that one said, "
        "and give the same command again: it goes on after the last checkpoint\n"
    ]
    assert processes[1].stderr is not None
    assert processes[1].stderr.read() == ""
    assert Checkpoints(tmp_path / "run").load("last", "training.safetensors").facts["ranks"] == 2
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(command) == 2
    assert (
        "was saved by 2 processes, and now there are 1: an update would take other batches" in capsys.readouterr().err
    )
