"""BERT, GPT-2 and Marian models as Hugging Face keeps them, read and written without transformers."""

from attentio.export.huggingface.directory import ARCHITECTURES, Facts, Pretrained, is_directory, read, write

__all__ = ["ARCHITECTURES", "Facts", "Pretrained", "is_directory", "read", "write"]
