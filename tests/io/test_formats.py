"""The format and compression that a file's name tells."""

from pathlib import Path

import pytest

from arrowstream.errors import PlanError
from arrowstream.io.files.formats import SUFFIXES, TEXT_FORMATS, FileKind, detect, format_named, kind_of

pytestmark = pytest.mark.once


@pytest.mark.parametrize(("suffix", "format"), SUFFIXES.items())
def test_every_suffix_tells_its_format_in_any_case(suffix, format):
    for name in (f"data{suffix}", f"DATA{suffix.upper()}"):
        assert detect(name).format == format
        assert kind_of(Path("folder.csv") / name) == detect(name)


@pytest.mark.parametrize(
    ("suffix", "compression"), [(".gz", "gzip"), (".zst", "zstd"), (".GZ", "gzip"), (".zip", "zip")]
)
def test_text_may_be_compressed_as_a_whole_and_binary_formats_not(suffix, compression):
    for inner, format in SUFFIXES.items():
        name = f"a.b{inner}{suffix}"
        if format in TEXT_FORMATS:
            assert detect(name) == kind_of(name)
            assert detect(name).compression == compression
        else:
            assert kind_of(name) is None
            with pytest.raises(PlanError, match="not compressed as a whole"):
                detect(name)


def test_a_tab_separates_the_fields_of_a_tsv_file():
    assert detect("a.tsv").delimiter == "\t"
    assert detect("a.tsv.gz") == FileKind("csv", "gzip", "\t")
    assert detect("a.csv").delimiter == ","
    assert detect("a.tsv", "ndjson").delimiter == ","


def test_a_named_format_wins_over_the_suffix_but_compression_still_comes_from_it():
    assert detect("a.txt", "csv") == FileKind("csv")
    assert detect("a.csv", "json") == FileKind("json")
    assert detect("a.log.gz", "ndjson") == FileKind("ndjson", "gzip")


@pytest.mark.parametrize("name", ["data.txt", "data", "data.gz", ".csv.d", "data.csv.bz2"])
def test_an_unknown_suffix_names_the_known_ones(name):
    assert kind_of(name) is None
    with pytest.raises(
        PlanError, match=r"\.parquet, \.csv, .*\.xlsm \(text also with \.gz, \.zst, \.zip\)"
    ) as caught:
        detect(name)
    assert "format=" in str(caught.value)


def test_an_unknown_format_name_gets_the_nearest():
    assert format_named("ipc") == "ipc"
    with pytest.raises(PlanError, match="did you mean 'parquet'"):
        format_named("parkuet")
    with pytest.raises(PlanError, match="convert the file first"):
        detect("a.csv", "orc-like")
    for wrong, right in {"jsonl": "ndjson", "XLSX": "excel", "feather": "ipc", "txt": "lines"}.items():
        with pytest.raises(PlanError, match=f"did you mean '{right}'"):
            format_named(wrong)


def test_a_name_of_a_file_to_write_is_refused_with_what_is_written():
    with pytest.raises(PlanError) as caught:
        detect("out", written=True)
    assert ".xlsx" not in caught.value.expected and ".zip" not in caught.value.expected
    assert caught.value.hint.endswith("'json', 'ipc', 'avro'; a folder ends with '/'")
