"""The verbs of drn for people who write Python: one function a command, typed results, paths as str or Path."""
