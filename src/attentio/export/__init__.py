"""Trained encoder-decoders in the formats of other programs, written only."""
