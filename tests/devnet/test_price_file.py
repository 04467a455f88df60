"""Price files: what is read, and what is refused in one line that names line and field."""

from pathlib import Path

import pytest

from node.devnet.price_file import Bar, read_price_file
from node.errors import PriceFileError
from node.units import TimeMs

HEADER = "timestamp,open,high,low,close,volume\n"
GOOD = "2021-12-31 23:01:00.000000,46319.0,46385.0,46319.0,46377.0,2300413.7295\n"
REAL = Path(__file__).parents[3] / "shared" / "data" / "btc-perp-1m-2022-01.csv"


def write(directory: Path, text: str) -> Path:
    path = directory / "prices.csv"
    path.write_text(text)
    return path


def test_bar_is_exact_and_utc(tmp_path: Path) -> None:
    bars = read_price_file(write(tmp_path, HEADER + GOOD))

    # 2021-12-31 23:01:00 UTC = 1640991660 s; prices in 1e-8 USD
    assert bars == [
        Bar(TimeMs(1640991660000), 4631900000000, 4638500000000, 4631900000000, 4637700000000)
    ]


@pytest.mark.parametrize(
    "timestamp", ["2021-12-31T23:01:00Z", "2022-01-01 00:01:00+01:00", "2021-12-31 23:01"]
)
def test_other_iso_forms_of_one_moment_are_read(tmp_path: Path, timestamp: str) -> None:
    path = write(tmp_path, f"{HEADER}{timestamp},1,1,1,1,0\n")

    assert read_price_file(path)[0].time_ms == 1640991660000


def test_digits_beyond_the_eighth_are_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "2022-01-01 00:00,1.999999999,2,1,1.999999999,1e-05\n")

    assert read_price_file(path)[0].close_e8 == 199999999


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "line 1: the header was nothing: must be timestamp,open"),
        ("a,b\n" + GOOD, "line 1: the header was a,b: must be timestamp,open"),
        (HEADER, "has no bar below its header"),
        (HEADER + "2022-01-01 00:00,1,1,1,1\n", "line 2: has 5 fields: must have 6"),
        (HEADER + GOOD + "\n", "line 3: has 0 fields: must have 6"),
        (HEADER + "yesterday,1,1,1,1,0\n", "line 2: timestamp was 'yesterday'"),
        (HEADER + GOOD + GOOD, "line 3: timestamp was 2021-12-31 23:01:00.000000: must be after"),
        (HEADER + "2022-01-01 00:00,x,1,1,1,0\n", "line 2: open was 'x'"),
        (HEADER + "2022-01-01 00:00,1,1,1,-1,0\n", "line 2: close was '-1'"),
        (HEADER + "2022-01-01 00:00,1,1,1,1e3,0\n", "line 2: close was '1e3'"),
        (HEADER + "2022-01-01 00:00,1,1,1,nan,0\n", "line 2: close was 'nan'"),
        (HEADER + "2022-01-01 00:00,1,1,1,,0\n", "line 2: close was ''"),
        (HEADER + "2022-01-01 00:00,0,0,0,0,0\n", "line 2: open was 0: must be above 0"),
        (HEADER + "2022-01-01 00:00,1,2,1,3,0\n", "line 2: close was 3: must be from low 1"),
        (HEADER + "2022-01-01 00:00,1,1,2,2,0\n", "line 2: open was 1: must be from low 2"),
        (HEADER + "2022-01-01 00:00,1,1,1,1,-2\n", "line 2: volume was '-2'"),
        (HEADER + '"2022-01-01 00:00,1,1,1,1,0\n', "is no CSV"),
    ],
)
def test_bad_line_is_refused_by_number_and_field(tmp_path: Path, lines: str, words: str) -> None:
    path = write(tmp_path, lines)

    with pytest.raises(PriceFileError) as refusal:
        read_price_file(path)

    assert str(refusal.value).startswith(f"{path}")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_byte_order_mark_is_not_a_part_of_the_header(tmp_path: Path) -> None:
    assert len(read_price_file(write(tmp_path, "\ufeff" + HEADER + GOOD))) == 1


def test_missing_file_directory_and_binary_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")

    for path, words in [
        (tmp_path / "none.csv", "can't be read (No such file or directory)"),
        (tmp_path, "can't be read (Is a directory)"),
        (binary, "is no UTF-8 at byte 0"),
    ]:
        with pytest.raises(PriceFileError) as refusal:
            read_price_file(path)
        assert words in str(refusal.value)


@pytest.mark.skipif(not REAL.exists(), reason="the file of real minutes is not beside the checkout")
def test_real_month_is_read_whole() -> None:
    bars = read_price_file(REAL)

    assert len(bars) == 45_031
    assert max(bar.high_e8 for bar in bars) == 48_080 * 10**8
    assert min(bar.low_e8 for bar in bars) == 32_837 * 10**8
