"""What the energy report of the day in energy.json must say, worked out from the design alone.

An independent second opinion: it shares no code with the Rust. Where the station adds up sessions and gaps as they come,
this takes each register's first and last reading of the day and subtracts. Python's standard library only; run it as

    python3 tests/figures/energy.py

It writes energy_expected.json, compared by tests/tests/energy_report.rs. With --check it writes nothing and fails if the
file would change.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent


def kwh(amount):
    return f"{amount:.4f}"


def differs(billed, register):
    """More than 1 % of the register, and more than 0.1 kWh."""
    off = abs(billed - register)
    return off > Decimal("0.1") and off > register / 100


def connector(pile):
    sessions = pile["sessions"]
    records = [[Decimal(reading) for reading in session["record"]] for session in sessions]
    moved = [[Decimal(reading) for reading in session["register"]] for session in sessions]
    billed = sum((stop - start for start, stop in records), Decimal(0))
    register = Decimal(pile["idle_to"]) - Decimal(pile["idle_from"])
    found = []
    if differs(billed, register):
        found.append(["ENERGY", kwh(billed), kwh(register)])
    for (start, stop), (before, after) in zip(records, moved):
        if differs(stop - start, after - before):
            found.append(["ENERGY", kwh(stop - start), kwh(after - before)])
    explained = records[-1][1] if records else Decimal(pile["idle_from"])
    if Decimal(pile["idle_to"]) > explained:
        found.append(["REGISTER_GAP", kwh(explained), kwh(Decimal(pile["idle_to"]))])
    return {
        "pile": pile["pile"],
        "orders": len(sessions),
        "billed_kwh": kwh(billed),
        "register_kwh": kwh(register),
        "difference_kwh": kwh(billed - register),
        "abnormal": any(name == "ENERGY" for name, *_ in found),
        "discrepancies": found,
    }


def main():
    plan = json.loads((HERE / "energy.json").read_text())
    connectors = [connector(pile) for pile in plan["piles"]]
    total = {
        key: kwh(sum(Decimal(one[key]) for one in connectors)) for key in ["billed_kwh", "register_kwh", "difference_kwh"]
    }
    total["orders"] = sum(one["orders"] for one in connectors)
    expected = {"day": plan["day"], "total": total, "connectors": connectors}
    text = json.dumps(expected, indent=1) + "\n"
    path = HERE / "energy_expected.json"
    if "--check" in sys.argv:
        sys.exit(0 if path.read_text() == text else f"{path.name} would change: run tests/figures/energy.py")
    path.write_text(text)


main()
