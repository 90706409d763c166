"""attentio: attention from A to Z."""
