"""The papers: each file an oracle in float64, with every mistake that is known as a switch in it."""
