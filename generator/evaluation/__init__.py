"""Exported models and baselines on held-out rows: full ranking, intervals, and recommendations for a session."""
