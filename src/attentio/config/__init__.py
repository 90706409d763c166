"""What a run is told: one schema, how it is read, what each key is for."""
