"""Parquet and the table with OpenFace's columns by Polars, and the same written by it. Runs in Polars' environment."""

import json
import sys
from pathlib import Path

import polars as pl

folder = Path(sys.argv[1])
parquet, table = pl.read_parquet(folder / "parquet.parquet"), pl.read_csv(folder / "openface.csv")
parquet.write_parquet(folder / "parquet-by-polars.parquet")
table.write_csv(folder / "openface-by-polars.csv")
count = sum(name.startswith("x_") for name in table.columns)
print(
    json.dumps(
        {
            "parquet": [
                {"points": list(zip(row["x"], row["y"], strict=True)), "visibility": row["visibility"]}
                for row in parquet.iter_rows(named=True)
            ],
            "openface": [
                {
                    "points": [(row[f"x_{n}"], row[f"y_{n}"]) for n in range(count)],
                    "visibility": [row[f"v_{n}"] for n in range(count)],
                }
                for row in table.iter_rows(named=True)
            ],
        }
    )
)
