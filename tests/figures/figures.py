"""What each session in sessions.json must cost, worked out from the design alone.

An independent second opinion: it shares no code and no method with the Rust. Boundaries are found by walking the
local clock minute by minute, and energy is split with exact fractions. Python's standard library only; run it as

    python3 tests/figures/figures.py

It writes expected.json (compared to the digit by domain/tests/figures.rs), balances.json (what is in each account when
the sessions have been orders at a station as run.json says, compared by tests/tests/figures_end_to_end.rs) and
working.md (the same, line by line, for a person with a pencil). With --check it writes nothing and fails if the files
would change.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

HERE = Path(__file__).parent
MINUTE = timedelta(minutes=1)
UNIT = Decimal("0.0001")  # 0.1 Wh in kWh
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def zone(name):
    """China has had no summer time since 1991, so its zone needs no database."""
    return timezone(timedelta(hours=8)) if name == "Asia/Shanghai" else ZoneInfo(name)


def kind_at(tariff, at):
    """The kind of period by the clock on the wall: the first schedule that matches the day, then the period."""
    local = at.astimezone(zone(tariff["time_zone"]))
    for schedule in tariff["schedules"]:
        if local.month in schedule.get("months", range(1, 13)) and DAYS[local.weekday()] in schedule.get("weekdays", DAYS):
            clock = f"{local.hour:02}:{local.minute:02}"
            return next(p["kind"] for p in schedule["periods"] if p["from"] <= clock < p["to"])
    raise ValueError(f"no schedule for {local}")


def boundaries_between(tariff, start, stop):
    """Instants strictly inside the session at which the kind changes. Kinds change on whole minutes only."""
    minute = start.replace(second=0, microsecond=0) + MINUTE
    found = []
    while minute < stop:
        if kind_at(tariff, minute) != kind_at(tariff, minute - MINUTE):
            found.append(minute)
        minute += MINUTE
    return found


def read(reading):
    return datetime.fromisoformat(reading["at"]).astimezone(timezone.utc), Decimal(reading["register"])


def believed(start, samples, stop):
    """In time order; outside start and stop, or running backwards: dropped and counted."""
    kept, dropped = [start], 0
    for at, register in sorted(samples, key=lambda sample: sample[0]):
        inside = start[0] < at < stop[0] and start[1] <= register <= stop[1]
        if inside and at > kept[-1][0] and register >= kept[-1][1]:
            kept.append((at, register))
        else:
            dropped += 1
    return kept + [stop], dropped


def floored(fraction):
    """Down to 0.1 Wh."""
    return Decimal(int(fraction / Fraction(UNIT))) * UNIT


def microseconds(span):
    return span // timedelta(microseconds=1)


def clock(at, tariff):
    """Local time to read; with its offset where an hour can come twice."""
    local = at.astimezone(zone(tariff["time_zone"]))
    fraction = f".{local.microsecond // 1000:03}" if local.microsecond else ""
    return local.strftime("%Y-%m-%d %H:%M:%S") + fraction + ("" if tariff["time_zone"] == "Asia/Shanghai" else local.strftime("%z"))


def instant(at):
    text = at.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{at.microsecond // 1000:03}" if at.microsecond else "") + "Z"


def fen(amount):
    """Half away from zero, which for amounts that are never negative is half up."""
    return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def work(session, say):
    tariff = session["tariff"]
    start, stop = read(session["start"]), read(session["stop"])
    chain, dropped = believed(start, [read(sample) for sample in session["samples"]], stop)
    marks = boundaries_between(tariff, start[0], stop[0])
    edges = [start[0], *marks, stop[0]]
    energy = [Decimal("0.0000")] * (len(edges) - 1)

    say(f"Start {clock(start[0], tariff)} at {start[1]} kWh, stop {clock(stop[0], tariff)} at {stop[1]} kWh ({tariff['time_zone']}).")
    say(f"Samples {len(session['samples'])}, of them dropped {dropped}. Boundaries: {', '.join(clock(m, tariff) for m in marks) or 'none'}.")
    for (t0, r0), (t1, r1) in zip(chain, chain[1:]):
        delivered = r1 - r0
        inside = [mark for mark in marks if t0 < mark < t1]
        cuts = [t0, *inside, t1]
        left = delivered
        for part, (a, b) in enumerate(zip(cuts, cuts[1:])):
            piece = max(i for i in range(len(energy)) if edges[i] <= a)
            if part < len(inside):
                share = floored(Fraction(delivered) * microseconds(b - a) / microseconds(t1 - t0))
                say(
                    f"- {clock(a, tariff)} to {clock(b, tariff)}: {delivered} × {microseconds(b - a) // 1000} ms ÷ "
                    f"{microseconds(t1 - t0) // 1000} ms, floored = {share} kWh"
                )
            else:
                share = left
                rest = f" (the rest of {delivered})" if inside else f" ({r1} − {r0})"
                say(f"- {clock(a, tariff)} to {clock(b, tariff)}: {share} kWh{rest}")
            left -= share
            energy[piece] += share

    say("")
    say("| from | to | kind | kWh | × electricity | = | × service | = |")
    say("|---|---|---|---|---|---|---|---|")
    segments = []
    for a, b, kwh in zip(edges, edges[1:], energy):
        if kwh == 0 and stop[1] != start[1]:
            continue
        kind = kind_at(tariff, a)
        price = {part: Decimal(tariff["prices"][kind][part]).quantize(Decimal("0.00001")) for part in ("electricity", "service")}
        amount = {part: kwh * price[part] for part in price}
        segments.append(
            {
                "from": instant(a),
                "to": instant(b),
                "kind": kind,
                "energy": f"{kwh:.4f}",
                "electricity_price": str(price["electricity"]),
                "service_price": str(price["service"]),
                "electricity_amount": f"{amount['electricity']:.9f}",
                "service_amount": f"{amount['service']:.9f}",
            }
        )
        say(
            f"| {clock(a, tariff)} | {clock(b, tariff)} | {kind} | {kwh:.4f} | {price['electricity']} | "
            f"{amount['electricity']:.9f} | {price['service']} | {amount['service']:.9f} |"
        )
    exact = {
        part: sum((Decimal(segment[f"{part}_amount"]) for segment in segments), Decimal("0.000000000"))
        for part in ("electricity", "service")
    }
    electricity, service = fen(exact["electricity"]), fen(exact["service"])
    say("")
    say(
        f"Electricity {exact['electricity']:.9f} → **{electricity}**, service {exact['service']:.9f} → **{service}**, "
        f"fee **{electricity + service}**."
    )
    return {
        "name": session["name"],
        "energy": f"{stop[1] - start[1]:.4f}",
        "dropped": dropped,
        "segments": segments,
        "electricity": str(electricity),
        "service": str(service),
        "fee": str(electricity + service),
    }


def books(run, bills, sessions, say):
    """What is in the accounts at the end: credits less debits, so that they all add up to nothing."""
    funds = {member: Decimal(topup) for member, topup in run["topups"].items()}
    accounts = {"cash": -sum(funds.values()), "sales:electricity": Decimal("0.00"), "sales:service": Decimal("0.00")}
    say(f"Topped up {' + '.join(run['topups'].values())}: cash {accounts['cash']}.")
    say("")
    say("| order | member | funds before | electricity | service | fee | review | funds after | debt |")
    say("|---|---|---|---|---|---|---|---|---|")
    orders = []
    for order in sorted(run["orders"], key=lambda order: read(sessions[order["session"]]["stop"])[0]):
        bill, member = bills[order["session"]], order["member"]
        fee, before = Decimal(bill["fee"]), funds[member]
        funds[member] = max(before - fee, Decimal("0.00"))
        debt = max(fee - before, Decimal("0.00"))
        if debt:
            accounts[f"debt:{member}"] = -debt
        accounts["sales:electricity"] += Decimal(bill["electricity"])
        accounts["sales:service"] += Decimal(bill["service"])
        review = fee > 200
        orders.append({"session": order["session"], "review": review, "state": "UNPAID" if debt else "PAYED", "debt": str(debt)})
        say(
            f"| {order['session']} | {member} | {before} | {bill['electricity']} | {bill['service']} | {fee} | "
            f"{'as it is' if review else ''} | {funds[member]} | {debt} |"
        )
    accounts.update({f"allowance:{member}": left for member, left in funds.items()})
    accounts = {name: str(balance) for name, balance in sorted(accounts.items()) if balance}
    say("")
    say(f"{' + '.join(f'{name} {balance}' for name, balance in accounts.items())} = {sum(map(Decimal, accounts.values()))}")
    say("")
    return {"station": run["station"], "orders": orders, "accounts": accounts, "total": str(sum(map(Decimal, accounts.values())))}


def main():
    sessions = json.loads((HERE / "sessions.json").read_text(encoding="utf-8"))
    lines = ["# The working behind expected.json", "", "Written by figures.py; times are the site's local time.", ""]
    expected = []
    for session in sessions:
        lines += [f"## {session['name']}", "", session["about"], ""]
        expected.append(work(session, lines.append))
        lines.append("")
    by_name = {session["name"]: session for session in sessions}
    bills = {bill["name"]: bill for bill in expected}
    balances = []
    for run in json.loads((HERE / "run.json").read_text(encoding="utf-8")):
        lines += [f"## The books of {run['station']}", "", run["about"], ""]
        balances.append(books(run, bills, by_name, lines.append))
    files = {
        "balances.json": json.dumps(balances, indent=2, ensure_ascii=False) + "\n",
        "expected.json": json.dumps(expected, indent=2, ensure_ascii=False) + "\n",
        "working.md": "\n".join(lines).rstrip() + "\n",
    }
    for name, text in files.items():
        path = HERE / name
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path} is not what figures.py works out; run it without --check")


if __name__ == "__main__":
    main()
