"""Lines of text files that are no rows, against Python's csv module."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.data.log import lines
from generator.data.log.importers import read_events
from generator.data.log.lines import survey
from generator.errors import DataError


def log(tmp_path, content: bytes, name: str = "log.csv"):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def test_more_fields_than_columns_is_no_row(tmp_path):
    rows = b"u,1,Hat,view\nu,2,Shoes, red,view\nu,3,Belt,view,\nu,4,Belt\n"
    path = log(tmp_path, b"user,time,page,event\n" + rows)
    events = read_events([path], "events", max_bad=1)
    assert events.frame["page"].to_list() == ["Hat", "Belt"]
    assert events.skipped == {"more fields than columns": 2, "unknown event": 0} or events.skipped == {
        "more fields than columns": 2
    }
    assert events.notes == (
        "log.csv: row 3: more fields than columns: u,2,Shoes, red,view",
        "log.csv: row 4: more fields than columns: u,3,Belt,view,",
    )
    with pytest.raises(DataError, match="2 of 4 rows are malformed"):
        read_events([path], "events")


@pytest.mark.parametrize(
    ("page", "reason"),
    [(b'"Great" show', "misplaced quote"), (b'"Great show', "misplaced quote"), (b"Fu\xdf", "not UTF-8")],
)
@pytest.mark.parametrize("line", [1, 1234, 4999])
def test_a_bad_line_costs_itself_alone(tmp_path, page: bytes, reason: str, line: int):
    several = [b"%d\t%d\tp%d" % (i // 5, 1700000000 + i, i % 9) for i in range(5000)]
    several[line] = b"7\t1700000000\t" + page
    path = log(tmp_path, b"user\ttime\tpage\n" + b"\n".join(several) + b"\n", "log.tsv")
    events = read_events([path], "events")
    assert events.rows == 5000
    assert events.skipped == {reason: 1}
    assert events.notes[0].startswith(f"log.tsv: row {line + 2}: {reason}: 7\t1700000000\t")
    assert events.frame["page"].to_list() == [f"p{i % 9}" for i in range(5000) if i != line]


def test_a_quote_within_a_field_is_a_quote(tmp_path):
    path = log(tmp_path, b'user,time,page\nu,1,5" pipe\nu,2,a "b", c\nu,3,"d, ""e"""\n')
    events = read_events([path], "events", max_bad=1)
    assert events.frame["page"].to_list() == ['5" pipe', 'd, "e"']
    assert events.skipped == {"more fields than columns": 1}


def test_a_quoted_field_may_hold_line_ends(tmp_path, monkeypatch):
    content = b"".join(b'u,%d,p%d,"a\n""b"",\n\nc"\n' % (i, i % 7) for i in range(500))
    path = log(tmp_path, b"user,time,page,title\n" + content)
    for size in (lines.CHUNK, 64):
        monkeypatch.setattr(lines, "CHUNK", size)
        events = read_events([path], "events")
        assert events.frame["page"].to_list() == [f"p{i % 7}" for i in range(500)]
        assert events.skipped == {}


def test_broken_text_where_nobody_reads_it_costs_nothing_but_its_row(tmp_path):
    path = log(tmp_path, b"user,time,page,title\nu,1,a,Fu\xdf\nu,2,b,ok\n")
    assert read_events([path], "events", max_bad=1).frame["page"].to_list() == ["b"]


FIELD = st.text(st.sampled_from('ab,"\n'), max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read_as_it_was(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("x", "y", "z"), *rows])
    path.write_text(text.getvalue())
    assert survey(path, ",", 3, '"') == lines.Survey((), {}, quoted=True)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('ab,"\n'), max_size=60))
def test_no_text_shifts_a_row(tmp_path_factory, text):
    """Whatever stands in a file: a line without quotes, after the last one with any, is read as it stands or is bad."""
    folder = tmp_path_factory.mktemp("any")
    path = log(folder, b"user,page,session\n" + text.encode() + b"\n" * 200 + b"u,a,s\nu,b,s,t\nu,c,s\n")
    events = read_events([path], "events", max_bad=1)
    assert events.frame["page"].to_list()[-2:] == ["a", "c"]


def test_many_quoted_lines_are_read_by_polars_as_they_are(tmp_path):
    frame = pl.DataFrame({"user": ["u"] * 50, "time": range(50), "page": [f'p,{i} "x"' for i in range(50)]})
    frame.write_csv(tmp_path / "log.csv", quote_style="always")
    assert read_events([tmp_path / "log.csv"], "events").frame["page"].to_list() == frame["page"].to_list()
