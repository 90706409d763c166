"""Loops compiled for the CPU by numba. Imported only when an engine first runs one: numba takes a while to load."""
