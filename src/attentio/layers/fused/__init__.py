"""What is fast and not simple."""
