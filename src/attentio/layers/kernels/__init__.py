"""Loops compiled for the CPU by numba. Imported only when they are first run: numba takes a while to load."""
