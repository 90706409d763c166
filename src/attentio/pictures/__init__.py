"""Pictures and terminal drawings."""
