"""The silent mistakes of attention in a model, found by its behaviour."""
