"""Attention as one HTML file that opens anywhere: numbers and tokens in, a page out."""
