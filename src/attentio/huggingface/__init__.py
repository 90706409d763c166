"""BERT, GPT-2 and Marian models as Hugging Face keeps them, read and written without transformers."""

from pathlib import Path

CONFIG = "config.json"


def is_directory(folder: Path) -> bool:
    """Whether a folder looks like one of these, and not like a run of ours."""
    return (folder / CONFIG).is_file()
