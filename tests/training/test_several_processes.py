"""Training by several processes is that of one which takes the batches of all."""

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from tiny_training import RECIPE, TinyRun
from torch import Tensor

from attentio import system
from attentio.data.batches import PairBatch
from attentio.errors import AttentioError
from attentio.training import ranks as launched
from attentio.training.checkpoint import Checkpoints
from attentio.training.ranks import ranks, together

SEVEN_UPDATES = replace(RECIPE, accumulate=1, max_steps=7, checkpoint_every=3, validate_every=3, log_every=1)
ORDER = [np.arange(start, 41, 5) for start in range(5)]  # two a time: at the end of each epoch one has none


def work(fabric: Fabric, folder: Path, seed: int) -> None:
    """What both processes do; what they came to is left in the folder."""
    torch.set_num_threads(1)
    rank = fabric.global_rank
    run = TinyRun(folder / "whole", SEVEN_UPDATES, seed=seed, order=ORDER, dropout=0.0, fabric=fabric)
    rows: list[Any] = []
    run.trainer.run(rows.append, should_stop=lambda: False)
    save_file({name: each.detach().clone() for name, each in run.model.named_parameters()}, folder / f"weights{rank}")
    (folder / f"rows{rank}").write_text(json.dumps(rows))

    def dropping(name: str) -> TinyRun:
        return TinyRun(folder / name, SEVEN_UPDATES, seed=seed, order=ORDER, fabric=fabric)

    dropping("undisturbed").trainer.run(lambda row: None, should_stop=lambda: False)
    stopped = dropping("stopped")
    with system.noted_signals() as received:

        def asked() -> bool:
            if rank == 1 and stopped.trainer.progress.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return bool(received)

        stopped.trainer.run(lambda row: None, should_stop=asked)
    (folder / f"stopped{rank}").write_text(f"{stopped.trainer.progress.step} {len(received)}")
    resumed = dropping("stopped")
    resumed.trainer.resume()
    resumed.trainer.run(lambda row: None, should_stop=lambda: False)
    timed = replace(SEVEN_UPDATES, max_steps=10**6, max_minutes=1 / 60, decay="linear", validate_every=10**6)
    hurried = TinyRun(folder / "timed", timed, seed=seed, fabric=fabric)
    load = hurried.load

    def later(indices: np.ndarray, epoch: int) -> PairBatch:
        time.sleep(0.02 * rank)
        return load(indices, epoch)

    hurried.load = later  # type: ignore[method-assign]
    rates: list[float] = []
    hurried.trainer.run(lambda row: rates.append(row["learning_rate"]), should_stop=lambda: False)
    (folder / f"timed{rank}").write_text(json.dumps(rates))
    told = "nothing"
    try:
        with together(fabric):
            if rank == 1:
                raise AttentioError("bad data on rank 1")
    except (AttentioError, SystemExit) as error:
        told = f"{type(error).__name__}: {error}"
    (folder / f"told{rank}").write_text(told)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have worked."""
    folder = tmp_path_factory.mktemp("two")
    Fabric(accelerator="cpu", devices=2, strategy="ddp_spawn", precision="64-true").launch(work, folder, 3)
    return folder


def test_two_processes_train_as_one_with_twice_the_batches(worked: Path, tmp_path: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    recipe = replace(SEVEN_UPDATES, accumulate=2)
    alone = TinyRun(tmp_path / "alone", recipe, seed=3, order=ORDER, dropout=0.0, fabric=fabric)
    alone.train()
    first, second = (load_file(worked / f"weights{rank}") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    expected = dict(alone.model.named_parameters())
    assert close(first, expected, 1e-12)
    rows = [json.loads((worked / f"rows{rank}").read_text()) for rank in (0, 1)]
    for name in ("step", "epoch", "loss", "learning_rate", "gradient_norm"):
        for row in rows:
            assert [each[name] for each in row] == pytest.approx([each[name] for each in alone.rows], rel=1e-10)
    one, two = (Checkpoints(folder).load("best") for folder in (tmp_path / "alone", worked / "whole"))
    assert one.path.name == two.path.name
    assert [path.name for path in sorted(one.path.parent.iterdir())] == ["step-000003", "step-000006", "step-000007"]
    assert [path.name for path in sorted(two.path.parent.iterdir())] == ["step-000003", "step-000006", "step-000007"]


def close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float) -> bool:
    return all(torch.allclose(found[name], expected[name], rtol=tolerance, atol=tolerance) for name in expected)


def test_a_signal_to_one_process_stops_all_of_them_at_the_same_step(worked: Path) -> None:
    assert [(worked / f"stopped{rank}").read_text() for rank in (0, 1)] == ["2 0", "2 1"]


def test_minutes_end_for_all_processes_at_the_same_step_and_on_one_rate(worked: Path) -> None:
    rates = [json.loads((worked / f"timed{rank}").read_text()) for rank in (0, 1)]
    assert rates[0] == rates[1]
    assert len(rates[0]) > 3
    assert rates[0][-1] < rates[0][3]


def test_two_processes_that_go_on_end_as_if_never_stopped(worked: Path) -> None:
    found = [
        Checkpoints(worked / name).load("last", "model.safetensors", "training.safetensors").tensors
        for name in ("stopped", "undisturbed")
    ]
    for file, tensors in found[0].items():
        assert tensors.keys() == found[1][file].keys()
        assert all(torch.equal(tensor, found[1][file][name]) for name, tensor in tensors.items())
    states = found[0]["training.safetensors"]
    assert not torch.equal(states["random_state"], states["random_state.rank1"])


def test_what_one_process_cannot_do_it_alone_tells(worked: Path) -> None:
    assert (worked / "told1").read_text() == "AttentioError: bad data on rank 1"
    assert (worked / "told0").read_text() == "SystemExit: 2"


def test_another_number_of_processes_does_not_go_on(worked: Path) -> None:
    with pytest.raises(AttentioError, match=r"was saved by 2 processes, and now there are 1: .* start 2, or choose"):
        TinyRun(worked / "stopped", SEVEN_UPDATES, seed=3, order=ORDER).trainer.resume()


def test_a_process_whose_peer_never_comes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "TORCHELASTIC_RUN_ID": "none"}
    for name, value in {**where, "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launched, "PATIENCE", timedelta(seconds=1))
    with (
        pytest.raises(AttentioError, match=r"rank 0 of 2 has not met the others at 127.0.0.1:0 .*; start all of them"),
        ranks("cpu", precision="32-true"),
    ):
        pass
