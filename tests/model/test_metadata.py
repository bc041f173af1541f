"""What a shop says of its items: read from any table, and refused with the row that does not hold."""

import gzip
import json

import polars as pl
import pytest

from generator.errors import DataError
from generator.model.metadata import ItemMetadata

ROWS = [
    {"item": "a", "title": "Lamp", "category": "Light", "price": 12.5, "image": "https://img.example/a.png"},
    {"item": "b", "title": None, "category": "Seats", "price": None, "image": "/img/b.png"},
    {"item": "3", "title": "Chair", "category": None, "price": 1000.0, "image": "img/c d.png"},
]
WANTED = {
    row["item"]: {name: value for name, value in row.items() if name != "item" and value is not None} for row in ROWS
}


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "jsonl", "parquet"])
def test_every_kind_of_file_says_the_same(tmp_path, suffix):
    file, frame = tmp_path / f"items.{suffix}", pl.DataFrame(ROWS)
    if suffix == "parquet":
        frame.write_parquet(file)
    elif suffix == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif suffix == "csv.gz":
        file.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        frame.write_csv(file, separator="\t" if suffix == "tsv" else ",")
    found = ItemMetadata(file)
    assert {label: found.of(label) for label in found.labels} == WANTED
    assert (len(found), found.columns, found.images_refused) == (3, ("title", "category", "price", "image"), 0)
    assert found.of("nobody") is None


def test_types_of_parquet_stay_and_dates_become_text(tmp_path):
    frame = pl.DataFrame({"item": [1, 2], "stock": [3, None], "new": [True, False], "rate": [float("nan"), 0.5]})
    frame.with_columns(since=pl.date(2026, 11, 27), price=pl.Series(["1.5", "none"])).write_parquet(
        tmp_path / "i.parquet"
    )
    found = ItemMetadata(tmp_path / "i.parquet")
    assert found.of("1") == {"stock": 3, "new": True, "since": "2026-11-27", "price": "1.5"}
    assert found.of("2") == {"new": False, "rate": 0.5, "since": "2026-11-27", "price": "none"}


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", " JAVA-SCRIPT:x", "data:image/png;base64,AAAA", "file:///etc/passwd", "ftp://host/a.png"],
)
def test_an_image_that_is_not_of_the_web_is_left_out(tmp_path, url):
    pl.DataFrame({"item": ["a", "b"], "image": [url, "//img.example/b.png"]}).write_csv(tmp_path / "items.csv")
    found = ItemMetadata(tmp_path / "items.csv")
    assert (found.of("a"), found.of("b"), found.images_refused) == ({}, {"image": "//img.example/b.png"}, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,title\na,Lamp\n", "has the columns id, title, but needs item"),
        ("item\na\n", "has 0 columns beside item, but 1 to 16 are taken"),
        ("item," + ",".join(f"c{i}" for i in range(17)) + "\na" + ",x" * 17 + "\n", "has 17 columns beside item"),
        ("item,title\na,Lamp\n,Chair\n", "row 3: no item"),
        ("item,title\na,Lamp\nb,Chair\na,Sofa\n", "row 4: the item 'a' is given twice"),
        ("item,title\na\x01,Lamp\n", "row 2: a control character in item"),
        (f"item,title\n{'a' * 2049},Lamp\n", "row 2: more than 2,048 characters in item"),
        (f"item,title\na,Lamp\nb,{'x' * 2049}\n", "row 3: more than 2,048 characters in title"),
        ("item,title\na,Lamp,more\n", "row 2: more fields than columns"),
    ],
)
def test_what_does_not_hold_is_named(tmp_path, text, said):
    file = tmp_path / "items.csv"
    file.write_text(text)
    with pytest.raises(DataError) as error:
        ItemMetadata(file)
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_nested_values_and_broken_ids_are_refused(tmp_path):
    pl.DataFrame({"item": ["a"], "tags": [["x"]]}).write_parquet(tmp_path / "nested.parquet")
    with pytest.raises(DataError, match=r"column tags is of type List\(String\)"):
        ItemMetadata(tmp_path / "nested.parquet")
    pl.DataFrame({"item": [1.0, 1.5], "title": ["x", "y"]}).write_parquet(tmp_path / "half.parquet")
    with pytest.raises(DataError, match="row 2: a fraction in item"):
        ItemMetadata(tmp_path / "half.parquet")
