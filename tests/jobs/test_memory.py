"""What would not fit is refused before it starts."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from generator.commands.generate import command
from generator.errors import DrnError
from generator.jobs.memory import available, require


def test_what_is_free_is_less_than_there_is():
    total = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    assert 0 < available() <= total * 1024


def test_more_than_there_is_is_refused():
    require(1, "a byte", "")
    with pytest.raises(DrnError, match=r"^the weights take [0-9,.]+ GiB of memory, and [0-9.,]+ are free: fewer$"):
        require(2**60, "the weights", "fewer")


def test_gen_model_says_what_initial_weights_take_and_writes_nothing(tmp_path):
    """18 layers of 65,536, each with two square matrices but the lowest: 560 GiB and more."""
    widths = ", ".join(["65536"] * 18)
    spec = tmp_path / "wide.yaml"
    spec.write_text(f"name: wide\nnet: rnn\npages: 9\nitems: 9\nrnn: {{window: 1, history: 1, widths: [{widths}]}}\n")
    found = CliRunner().invoke(command, [str(spec), "-o", str(tmp_path / "out"), "--init", "1"])
    assert isinstance(found.exception, DrnError)
    assert str(found.exception).startswith("wide: the net's weights take 560.")
    assert not (tmp_path / "out").exists()
