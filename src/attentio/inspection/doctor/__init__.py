"""The doctor: finds the silent mistakes of attention code in any PyTorch model, by what the model does."""
