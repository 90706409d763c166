"""Ways to compute the same function: `engine.py` says what each must have."""
