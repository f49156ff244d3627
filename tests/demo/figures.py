#!/usr/bin/env python3
"""The demonstration's bills and balances, worked out from the design's text alone.

It shares no code with the station: only what each car takes, who pays how much in, and the rules in the comments below.
`figures.py` writes expected.json and working.md beside itself; `figures.py --check` compares instead.
"""
import json
import pathlib
import sys
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal as D

HERE = pathlib.Path(__file__).parent
ELECTRICITY, SERVICE = D("0.97680"), D("0.45000")  # peak, 06:00 to 08:00: every session lies inside it
FEN, DECI_WH = D("0.01"), D("0.0001")

# pile, member, paid in, hold, kWh delivered and why that much
SESSIONS = [
    ("P01", "m-01", "100.00", "50.00", "5.0000", "20 kWh battery from 75 % to full"),
    ("P02", "m-02", "100.00", "50.00", None, "the pile never answers: FAIL after 60 s"),
    ("P03", "m-03", "100.00", "50.00", "10.0000", "20 kWh battery from 50 % to full, the network gone meanwhile"),
    ("P04", "m-04", "5.00", None, "10.0000", "60 kW for 10 min, without the station"),
    ("P05", "m-05", "100.00", "10.00", "limit", "a battery that never fills: the hold is the limit"),
    ("P06", "m-06", "100.00", "50.00", "1.5000", "60 kW for 90 s, then a fault"),
    ("P07", "m-07", "100.00", "50.00", "1.0000", "60 kW for 60 s, then the emergency stop"),
    ("P08", "m-08", "500.00", "400.00", "240.0000", "400 kWh battery from 40 % to full"),
    ("P09", "m-09", "100.00", "50.00", "2.0000", "60 kW for 120 s, then the driver stops"),
    ("P10", "m-10", "100.00", "50.00", "5.0000", "20 kWh battery from 75 % to full, by card"),
]


def limit_kwh(hold, power_kw, lines):
    """limit_fee = hold - margin, the margin being what the connector can deliver in 20 s at the highest price."""
    highest = ELECTRICITY + SERVICE
    ahead = (power_kw * D(20) / D(3600)).quantize(DECI_WH, ROUND_CEILING)
    margin = (ahead * highest).quantize(FEN, ROUND_CEILING)
    fee = hold - margin
    limit = (fee / highest).quantize(DECI_WH, ROUND_FLOOR)
    lines.append(f"margin: {power_kw} kW x 20 s = {ahead} kWh x {highest} = {margin}")
    lines.append(f"limit: {hold} - {margin} = {fee}; / {highest} = {limit} kWh")
    return limit


def main():
    orders, members, lines = {}, {}, ["# The demonstration's figures, worked out", ""]
    sales_electricity = sales_service = cash = D(0)
    for pile, member, paid_in, hold, kwh, why in SESSIONS:
        lines += [f"## {pile}, {member}: {why}", ""]
        work = []
        funds, cash = D(paid_in), cash + D(paid_in)
        if kwh is None:
            orders[pile] = {"state": "FAIL", "fee": None, "released": hold}
            members[member] = {"allowance": str(funds), "debt": "0.00"}
            work.append(f"the whole hold of {hold} is released; {funds} is left")
        else:
            energy = limit_kwh(D(hold), D(60), work) if kwh == "limit" else D(kwh)
            exact_e, exact_s = energy * ELECTRICITY, energy * SERVICE
            # Each total is rounded half away from zero to the fen once.
            electricity, service = exact_e.quantize(FEN, ROUND_HALF_UP), exact_s.quantize(FEN, ROUND_HALF_UP)
            fee = electricity + service
            work.append(f"electricity: {energy} kWh x {ELECTRICITY} = {exact_e} -> {electricity}")
            work.append(f"service: {energy} kWh x {SERVICE} = {exact_s} -> {service}")
            work.append(f"fee: {electricity} + {service} = {fee}")
            sales_electricity, sales_service = sales_electricity + electricity, sales_service + service
            debt = max(D(0), fee - funds)
            left = funds - (fee - debt)
            order = {
                "energy_kwh": str(energy),
                "electricity": str(electricity),
                "service": str(service),
                "fee": str(fee),
                "state": "PAYED",
                "released": str(D(hold) - fee) if hold else "0.00",
                "debt_before_payment": str(debt.quantize(FEN)),
            }
            if debt:
                cash += debt
                work.append(f"funds {funds}: all taken, {debt} owed; the desk takes {debt} in cash")
            else:
                work.append(f"funds {funds} - {fee} = {left}")
            orders[pile] = order
            members[member] = {"allowance": str(left.quantize(FEN)), "debt": "0.00"}
        lines += [f"- {line}" for line in work] + [""]
    allowances = sum(D(m["allowance"]) for m in members.values())
    total = allowances + sales_electricity + sales_service - cash
    assert total == 0, total
    sheet = {
        "allowances": str(allowances),
        "held": "0.00",
        "debts": "0.00",
        "sales_electricity": str(sales_electricity),
        "sales_service": str(sales_service),
        "refund": "0.00",
        "cash": str(-cash),
        "total": "0.00",
    }
    lines += ["## Balance sheet", ""]
    lines += [f"- {name}: {value}" for name, value in sheet.items()]
    lines += [f"- check: {allowances} + {sales_electricity} + {sales_service} - {cash} = 0", ""]
    expected = json.dumps({"orders": orders, "members": members, "balance_sheet": sheet}, indent=2) + "\n"
    working = "\n".join(lines)
    if sys.argv[1:] == ["--check"]:
        same = (HERE / "expected.json").read_text() == expected and (HERE / "working.md").read_text() == working
        sys.exit(0 if same else "expected.json or working.md is not what figures.py writes")
    (HERE / "expected.json").write_text(expected)
    (HERE / "working.md").write_text(working)


main()
