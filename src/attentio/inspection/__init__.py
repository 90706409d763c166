"""Looking into a trained model: its attention in the terminal and as pictures."""
