"""The reference names every key once, with its bounds and its default."""

from generator.spec.reference import reference
from generator.spec.schema import Solver, Spec


def test_every_key_of_the_spec_has_a_row():
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    for key in (*Spec.model_fields, *Solver.model_fields):
        assert any(row.startswith(f"| `{key}` |") for row in rows)
    assert all(row.count("|") == 5 for row in rows)


def test_rows_say_type_bounds_default_and_meaning():
    lines = reference().splitlines()
    assert (
        "| `window` | a whole number from 1 to 256 | needed | States kept, n: the last page visits of the session. |"
        in lines
    )
    assert any(line.startswith("| `momentum` | a number of at least 0 and below 1 | `0.9` |") for line in lines)
    assert any(line.startswith("| `table` | a section, below | `{type: gaussian, std: 0.1}` |") for line in lines)


def test_sections_that_share_their_keys_share_a_table():
    assert "### `init.table`, `init.weight`, `init.bias`\n" in reference()
