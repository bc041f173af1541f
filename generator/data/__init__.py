"""Event logs to sessions, windows and split files; the simulated shop."""
