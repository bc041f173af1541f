"""A plan of a tiny search, for tests of `drn tune` and of what trains its individuals."""

from pathlib import Path

__all__ = ["PLAN", "write_plan"]

PLAN = """
spec:
  name: tiny
  net: combined
  pages: 12
  items: 10
  top_k: 3
  rnn: {window: 2, widths: [8]}
  fnn: {bought: 2, widths: [8]}
  init: {table: {type: gaussian, std: 0.3}}
  solver: {base_lr: 0.2, batch_size: 16, clip_gradients: 5}
search:
  net: {choice: [rnn, combined]}
  rnn.window: {int: [1, 3]}
  rnn.widths: {list: {choice: [4, 8]}, length: [1, 2]}
  solver.base_lr: {float: [0.01, 1], log: true}
training: {epochs: 2}
budget: {trainings: 10}
sampler: genetic
confirm: null
genetic: {population: 4}
"""


def write_plan(path: Path, *replaced: tuple[str, str]) -> Path:
    """Write PLAN with pieces of its text replaced; return ``path``."""
    text = PLAN
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path
