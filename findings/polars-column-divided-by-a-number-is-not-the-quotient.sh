#!/usr/bin/env bash
# polars 2.1.0: a column divided by a number is multiplied by the number's reciprocal.
#
# Expected: the quotient of IEEE 754, correctly rounded, as Python and numpy give it: 49.0 / 49.0 is 1.0.
# Seen:     0.9999999999999999; of microseconds divided by 1e6 a quarter differ from numpy in the last bit.
#           A column divided by a column of the same number is right, so the answer depends on the form of the divisor.
# Met in:   event times in seconds, read from microseconds; a comparison of == with times made elsewhere fails.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "polars==2.1.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy
import polars

print("polars", polars.__version__)
column = polars.Series([49.0, 98.0, 103.0])
by_number, by_column = (column / 49.0)[0], (column / polars.Series([49.0, 49.0, 49.0]))[0]
print("49.0 / 49.0, Python:               ", 49.0 / 49.0)
print("49.0 / 49.0, column by a number:   ", by_number)
print("49.0 / 49.0, column by a column:   ", by_column)

micros = numpy.arange(1_396_000_000_000_000, 1_396_000_000_100_000)
seconds = (polars.Series(micros) / 1e6).to_numpy()
share = float((seconds != micros / 1e6).mean())
print(f"microseconds / 1e6: {share:.0%} differ from numpy; all equal micros * (1 / 1e6):", bool((seconds == micros * (1 / 1e6)).all()))

assert by_number == 49.0 * (1 / 49.0) != 1.0
assert by_column == 1.0
assert share > 0.1
print("as described")
PYTHON
