"""A day's top-ups held against a channel's bill lines, and orders against what is booked of them, by pandas in memory.

What `cargo xtask bench reconcile` is measured against. Reads credits.csv, lines.csv, orders.csv and moves.csv of a folder, and prints how many
rows differ and how many seconds finding them took, reading not counted.
"""

import sys
import time
from pathlib import Path

import pandas

FEE_PPM = 6_000


def read(folder, name):
    texts = {"id": str, "site": str, "order": str}
    return pandas.read_csv(folder / name, dtype=texts)


def of_channel(credits, lines):
    both = credits.merge(lines, on="id", how="outer", suffixes=("_ours", "_theirs"), indicator=True)
    due = (both["amount_theirs"] * FEE_PPM + 500_000) // 1_000_000
    both["class"] = ""
    both.loc[both["fee"] != due, "class"] = "FEE"
    both.loc[both["amount_ours"] != both["amount_theirs"], "class"] = "AMOUNT"
    both.loc[both["_merge"] == "left_only", "class"] = "SHORT"
    both.loc[both["_merge"] == "right_only", "class"] = "LONG"
    both.loc[both.duplicated("id"), "class"] = "DUPLICATE"
    return both[both["class"] != ""]


def of_orders(orders, moves):
    booked = moves.groupby(["site", "order"], sort=False, as_index=False)["amount"].sum()
    both = orders.merge(booked, on=["site", "order"], how="left")
    return both[both["fee"] != both["amount"].fillna(0)]


def main():
    folder = Path(sys.argv[1])
    credits, lines, orders, moves = (read(folder, name) for name in ("credits.csv", "lines.csv", "orders.csv", "moves.csv"))
    begun = time.perf_counter()
    found = len(of_channel(credits, lines)) + len(of_orders(orders, moves))
    print(found, f"{time.perf_counter() - begun:.3f}")


main()
