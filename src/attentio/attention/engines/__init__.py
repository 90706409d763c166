"""Ways to compute the same function. Each module has

refuses(call)   why it cannot do a call; None: it can
yields(call)    why another engine is faster for a call that it can do, as measured; None: it is worth it
run(call)
"""
