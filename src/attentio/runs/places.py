"""Where a run is, be it a path or the name of a model that comes along, and where its outputs go. Light to import."""

from importlib import resources
from pathlib import Path

from attentio.config.read import preset_names
from attentio.errors import AttentioError, did_you_mean
from attentio.files import is_missing

SUFFIX = ".zip"


def along() -> dict[str, Path]:
    """The bundles that come along with attentio, by name."""
    folder = Path(str(resources.files("attentio"))) / "models_along"
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def run_at(run: str) -> Path | None:
    """The directory, the bundle, or the model that comes along, if there is one of this path or name."""
    path = Path(run)
    if path.is_dir() or (path.suffix == SUFFIX and path.is_file()):
        return path
    return along().get(run)


def resolve(run: str | Path) -> Path:
    """The path that is meant: the one given if anything is there, else that of the model of this name.

    Raises AttentioError where there is neither.
    """
    path, known = Path(run), along()
    if not is_missing(path):
        return path
    if str(path) in known:
        return known[str(path)]
    if str(run) in preset_names():
        raise AttentioError(f"{run}: a preset, and no run; `attentio train {run}` makes one, runs/{run}")
    hint = did_you_mean(path.name, known) if path.name else ""
    raise AttentioError(
        f"{path}: no such run; `attentio train` makes one, and `attentio models` lists those that come along{hint}"
    )


def outputs_folder(run: str | Path, what: str) -> Path:
    """Where pictures and the like go unless it is said: into the run directory, or, for a bundle, to `what`/NAME."""
    path = resolve(run)
    return path / what if path.is_dir() else Path(what) / path.stem
