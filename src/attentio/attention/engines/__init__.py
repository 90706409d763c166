"""Ways to compute the same function. Each module has `refuses(call)`, why it cannot do a call (None: it can),
and `run(call)`."""
