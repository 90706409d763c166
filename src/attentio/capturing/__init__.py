"""Attention of any PyTorch model while it runs."""
