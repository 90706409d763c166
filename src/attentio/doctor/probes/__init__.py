"""What several checks measure."""
