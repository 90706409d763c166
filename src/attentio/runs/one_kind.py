"""What the runs of all kinds of models share, and the error for a method that only another kind has."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from attentio.config.schema import Config
from attentio.errors import AttentioError
from attentio.runs.build import Blueprint
from attentio.runs.card import described, described_in_html
from attentio.runs.directory import Contents, load_directory
from attentio.runs.own_code import Files

Own = TypeVar("Own", bound="OneKind")

OF_SOME_KIND = frozenset(
    ("translate", "candidates", "align", "fill", "fill_all", "generate", "stream", "score", "label")
)
"""Methods that not every run has."""


class OtherKindError(AttentioError, AttributeError):
    """The method belongs to another kind of model."""


class OneKind(ABC):
    """Base of the runs.

    path, config: of the run. blueprint: of its kind of model. main_use: the method that this kind is for.
    """

    path: Path
    config: Config
    blueprint: Blueprint
    main_use: str

    @classmethod
    def load(
        cls: type[Own],
        path: str | Path,
        *,
        checkpoint: str = "best",
        device: str | torch.device = "auto",
        allow_code: Files = (),
    ) -> Own:
        """Read a run directory; `checkpoint`, `device` and `allow_code` as `attentio.load` has them.

        Raises AttentioError for one that holds another kind of model, or is damaged.
        """
        return cls.of(
            load_directory(path, [cls.blueprint], checkpoint=checkpoint, device=device, allow_code=allow_code)
        )

    @classmethod
    @abstractmethod
    def of(cls: type[Own], contents: Contents) -> Own:
        """The run of what a directory holds."""

    def __repr__(self) -> str:
        return described(self)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return described_in_html(self)

    if not TYPE_CHECKING:  # a type checker sees which methods there are

        def __getattr__(self, name: str) -> Any:
            """Called for what is not there."""
            if name in OF_SOME_KIND:
                raise OtherKindError(
                    f"{self.path} holds a model of type {self.config.model.type}, which has no {name}(); "
                    f"use {self.main_use}()"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
