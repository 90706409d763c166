"""The model under examination: what runs it (subject), what is known of it (facts), what changes its inputs (edits)."""
