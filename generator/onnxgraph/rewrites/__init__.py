"""Rewrites of graphs, a file each: the pattern it looks for, and what it keeps as it was."""
