"""What is told to who asks of a run what only another kind of model does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio.config.schema import Config
from attentio.errors import AttentioError

OF_SOME_KIND = frozenset(
    ("translate", "candidates", "align", "fill", "fill_all", "generate", "stream", "score", "label")
)
"""Methods that not every run has."""


class OtherKindError(AttentioError, AttributeError):
    """The method belongs to another kind of model."""


class OneKind:
    """Base of the runs. path, config: of the run. main_use: the method that its kind of model is for."""

    path: Path
    config: Config
    main_use: str

    if not TYPE_CHECKING:  # a type checker sees which methods there are

        def __getattr__(self, name: str) -> Any:
            """Called for what is not there."""
            if name in OF_SOME_KIND:
                raise OtherKindError(
                    f"{self.path} holds a model of type {self.config.model.type}, which has no {name}(); "
                    f"use {self.main_use}()"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
