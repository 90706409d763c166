"""The processes that train one model together, each called by its rank: begun by torchrun, SLURM, LSF or MPI.

Every rank has the whole model and takes every so many-th batch of one plan; Lightning Fabric finds the launcher and
adds up the gradients. Rank 0 alone validates, writes and tells. A process by itself is rank 0 of one.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

import torch

from attentio import system
from attentio.devices import device_called
from attentio.errors import AttentioError, extra
from attentio.layers.bfloat16 import multiplies_bfloat16

with extra("train"):
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import (
        ClusterEnvironment,
        LSFEnvironment,
        MPIEnvironment,
        SLURMEnvironment,
        TorchElasticEnvironment,
    )
    from lightning_fabric.strategies import DDPStrategy, SingleDeviceStrategy

Precision = Literal["32-true", "bf16-mixed"]

PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others, at the start and whenever numbers are exchanged."""

_LAUNCHERS: tuple[type[ClusterEnvironment], ...] = (
    TorchElasticEnvironment,  # first, since torchrun may run within the others
    SLURMEnvironment,
    LSFEnvironment,
    MPIEnvironment,
)
_BROKEN = ("gloo", "NCCL", "onnection closed", "onnection reset", "ProcessGroup", "Broken pipe")
"""Of torch's messages about a rank that does not answer, which come as RuntimeError."""


def precision_on(device: torch.device, wanted: Precision) -> Precision:
    """What is wanted, but 32 bits on a CPU that has no instructions for bfloat16 and would take longer with it."""
    return "32-true" if device.type == "cpu" and not multiplies_bfloat16() else wanted


@contextmanager
def ranks(device_name: str, *, precision: Precision) -> Iterator[Fabric]:
    """A Fabric that is connected with the other ranks, if there are any, until the end.

    Raises:
        AttentioError: a rank does not come, or is lost later; or a device on which models are trained alone only.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would tell what the user has asked for
    launcher = next((found() for found in _LAUNCHERS if found.detect()), None)
    world = launcher.world_size() if launcher else 1
    if world == 1 and system.started_by_mpi():
        raise AttentioError("mpirun has begun processes that need mpi4py to meet; install it, or use torchrun")
    if launcher is None or world == 1:
        device = device_called(device_name)
        precision = precision_on(device, precision)
        yield Fabric(accelerator=device.type, strategy=SingleDeviceStrategy(device), devices=1, precision=precision)
        return
    rank, device = launcher.global_rank(), _device_of_rank(device_name, launcher.local_rank())
    on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", 0)) or world // int(os.environ.get("SLURM_NNODES", 1))
    machines = max(1, world // on_this_machine)
    fabric = Fabric(
        accelerator=device.type,
        strategy=DDPStrategy(
            parallel_devices=[device] * (world // machines),  # of which Fabric takes the one of this rank
            cluster_environment=launcher,
            timeout=PATIENCE,
        ),
        num_nodes=machines,
        devices=1,
        precision=precision_on(device, precision),
    )
    try:
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise AttentioError(
            f"rank {rank} of {world} has not met the others at {launcher.main_address}:{launcher.main_port} "
            f"({str(error).partition(chr(10))[0][:200]}); start all of them, with one address and one size"
        ) from None
    try:
        yield fabric
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and not any(words in str(error) for words in _BROKEN):
            raise
        raise AttentioError(
            f"rank {rank} of {world} has lost another rank, which has ended or cannot be reached; see what that one "
            f"said, and give the same command again: it goes on after the last checkpoint"
        ) from None
    torch.distributed.destroy_process_group()


@contextmanager
def together(fabric: Fabric) -> Iterator[None]:
    """What one rank cannot do, none does: all end, and the first of those that failed tells why.

    Inside, nothing may be exchanged.
    """
    failed: Exception | None = None
    try:
        yield
    except Exception as error:
        if fabric.world_size == 1:
            raise
        failed = error
    if fabric.world_size == 1:
        return
    own = torch.tensor(fabric.world_size if failed is None else fabric.global_rank)
    first = int(fabric.all_reduce(own.to(fabric.device), reduce_op="min"))
    if failed is not None and first == fabric.global_rank:
        raise failed
    if first < fabric.world_size:
        raise SystemExit(2)


def _device_of_rank(name: str, local_rank: int) -> torch.device:
    """The device of a rank, by its number on its machine."""
    device = device_called(name)
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise AttentioError(f"several processes train on cpu or cuda, not on {device.type}; give --device cpu")
    alone = torch.cuda.device_count() == 1  # as SLURM shows each of its tasks the one that it may use
    return device_called(f"cuda:{0 if alone else local_rank}")
