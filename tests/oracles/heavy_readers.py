"""Print what each installed reader of Caffe's files takes, the table of docs/readers.md; see heavy_readers.sh.

Usage: python tests/oracles/heavy_readers.py READER...
"""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent)]

if __name__ == "__main__":
    from caffe_probes import column, construct_probes, portable_probes, table, written_table
    from caffe_process import Caffe
    from peers import caffe_python

    root = HERE.parents[1]
    with tempfile.TemporaryDirectory() as scratch, Caffe(caffe_python(root)) as caffe:
        folder = Path(scratch)
        probes = [*portable_probes(root, caffe, folder / "nets"), *construct_probes(caffe, folder / "constructs")]
        columns = [column(root, reader, probes, folder / reader) for reader in sys.argv[1:]]
    sys.stdout.write(table(columns))
    written = written_table(root)
    others = [each["construct"] for each in columns if each not in written]
    if others:
        sys.exit(f"docs/readers.md has other columns of {', '.join(others)}")
