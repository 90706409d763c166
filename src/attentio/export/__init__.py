"""Trained models in other programs' formats, and theirs here."""
