"""A trained model on a port: JSON for programs, a page for people."""
