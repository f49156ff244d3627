"""Whether an exported journal is whole, and its books balance: a second opinion that shares no code with the Rust.

It follows docs/journal.md and nothing else: the chain from hash to hash without gaps, and the money of every fact in a ledger
of its own. Python's standard library only; run it as

    holdfast-edge journal export journal.txt
    python3 tests/figures/journal.py journal.txt [SEQ:HASH]

With a place that somebody wrote down it also says whether the journal goes through it. It prints what it found and ends with
0, or says what is wrong and ends with 1.
"""

import hashlib
import json
import sys
from collections import defaultdict
from decimal import Decimal


class Wrong(Exception):
    pass


def entries(path):
    """The place that the journal begins after, and then number, hash and stored bytes of each entry."""
    with open(path, "rb") as file:
        for line in file:
            number, digest, stored = (line.rstrip(b"\n").split(b" ", 2) + [b""])[:3]
            yield int(number), digest.decode(), stored


def chain(path, place):
    """Follows the hashes, and gives each entry's number and fact."""
    lines = entries(path)
    number, digest, _ = next(lines)
    known = dict([place] if place else [])
    epoch = None
    for seq, sealed, stored in lines:
        if seq != number + 1:
            raise Wrong(f"entry {number + 1} is missing: entry {seq} stands in its place")
        if hashlib.sha256(bytes.fromhex(digest) + stored).hexdigest() != sealed:
            raise Wrong(f"entry {seq} is not what was sealed")
        entry = json.loads(stored, parse_float=Decimal)
        if entry["stamp"]["seq"] != seq:
            raise Wrong(f"entry {seq} says that it is {entry['stamp']['seq']}")
        ((kind, fact),) = entry["fact"].items()
        if epoch not in (None, entry["epoch"]) and (kind, fact.get("epoch_before")) != ("Restored", epoch):
            raise Wrong(f"entry {seq} is of another run of the journal, and nothing says that it was restored")
        number, digest, epoch = seq, sealed, entry["epoch"]
        if known.get(seq, digest) != digest:
            raise Wrong(f"entry {seq} is another than the one that was there")
        yield seq, kind, fact
    if known and max(known) > number:
        raise Wrong(f"the journal ends at entry {number}, but entry {max(known)} was there")


def yuan(text):
    amount = Decimal(text)
    if amount != amount.quantize(Decimal("0.01")):
        raise Wrong(f"{text} is no amount of money")
    return amount


class Books:
    """Accounts by name; credits less debits."""

    def __init__(self):
        self.balances = defaultdict(Decimal)
        self.members = {}
        self.holds = {}
        self.transfers = 0

    def move(self, source, target, amount):
        if amount < 0:
            raise Wrong(f"{amount} goes from {source} to {target}")
        if amount == 0:
            return
        self.transfers += 1
        self.balances[source] -= amount
        self.balances[target] += amount
        for account, kept in [(source, "allowance"), (source, "held"), (target, "debt")]:
            balance = self.balances[account]
            if account.startswith(kept + ":") and (balance > 0 if kept == "debt" else balance < 0):
                raise Wrong(f"{account} comes to {balance}")

    def either_way(self, source, target, amount):
        if amount < 0:
            source, target = target, source
        self.move(source, target, abs(amount))

    def resolve(self, order, amount):
        """So much of an order's hold is captured or released."""
        if amount == 0:
            return
        left = self.holds.get(order, Decimal(0))
        if amount > left:
            raise Wrong(f"{amount} are taken from the hold of {order}, and {left} are left of it")
        self.holds[order] = left - amount

    def sold(self, source, part):
        self.move(source, "sales:electricity", yuan(part["electricity"]))
        self.move(source, "sales:service", yuan(part["service"]))

    def settle(self, order, payment):
        member = self.members[order]
        allowance, held, debt = f"allowance:{member}", f"held:{order}", f"debt:{member}"
        hold = payment["from_hold"]
        self.resolve(order, yuan(hold["electricity"]) + yuan(hold["service"]) + yuan(payment["release"]))
        self.sold(held, hold)
        self.sold(allowance, payment["from_allowance"])
        self.sold(debt, payment["on_debt"])
        back = {name: yuan(amount) for name, amount in payment.get("back", {}).items()}
        for target, amount in [(debt, yuan(payment["debt_cut"])), (allowance, yuan(payment["refund"]))]:
            for name in ["electricity", "service"]:
                part = min(back.get(name, Decimal(0)), amount)
                self.move(f"sales:{name}", target, part)
                back[name], amount = back.get(name, Decimal(0)) - part, amount - part
            if amount:
                raise Wrong(f"{amount} of order {order} are given back, and no sale is taken back for it")
        if any(back.values()):
            raise Wrong(f"sales of order {order} are taken back, and nobody is given the money")
        self.either_way("sales:electricity", "sales:service", yuan(payment.get("regrouped", "0")))
        self.move(held, allowance, yuan(payment["release"]))

    def take(self, kind, fact):
        order = fact.get("order")
        if kind == "OrderPlaced":
            if order in self.members:
                raise Wrong(f"order {order} is placed twice")
            self.members[order] = fact["member"]
        elif kind == "ToppedUp":
            self.move("cash", f"allowance:{fact['member']}", yuan(fact["amount"]))
        elif kind == "TopUpReversed":
            self.move(f"allowance:{fact['member']}", "cash", yuan(fact["amount"]))
        elif kind == "HoldTaken":
            if order in self.holds:
                raise Wrong(f"order {order} has its hold taken twice")
            self.holds[order] = yuan(fact["amount"])
            self.move(f"allowance:{self.members[order]}", f"held:{order}", yuan(fact["amount"]))
        elif kind == "OrderFailed":
            left = self.holds.get(order, Decimal(0))
            self.resolve(order, left)
            self.move(f"held:{order}", f"allowance:{self.members[order]}", left)
        elif kind in ("OrderSettled", "OrderEstimated"):
            self.settle(order, fact["payment"])
        elif kind == "DebtPaid":
            source = "cash" if fact["from"] == "cash" else f"allowance:{fact['member']}"
            self.move(source, f"debt:{fact['member']}", yuan(fact["amount"]))
        elif kind == "Refunded":
            self.move("refund", f"allowance:{self.members[order]}", yuan(fact["amount"]))
        elif kind == "CashCounted":
            if yuan(fact["counted"]) - yuan(fact["by_books"]) != yuan(fact["difference"]):
                raise Wrong("a count of the till and its difference do not fit")
            self.either_way("cash", "cash_over", yuan(fact["difference"]))
        elif kind == "CashBanked":
            self.move("bank", "cash", yuan(fact["amount"]))
        elif kind == "OrderRated":
            bill = fact["bill"]
            if yuan(bill["electricity"]) + yuan(bill["service"]) != yuan(bill["fee"]):
                raise Wrong(f"the bill of order {order} is not the sum of its parts")
        if sum(self.balances.values()) != 0:
            raise Wrong(f"all accounts come to {sum(self.balances.values())}")
        # Where an order has come to its end, nothing is left of its hold, in the account or beside it.
        if kind in ("OrderSettled", "OrderFailed") and (self.holds.get(order, 0) or self.balances[f"held:{order}"]):
            raise Wrong(f"order {order} has come to its end, and its hold is not resolved")


def check(path, place=None):
    books = Books()
    count, begins_after = 0, next(entries(path))[0]
    for seq, kind, fact in chain(path, place):
        count += 1
        # The money before a checkpoint is not here: of such a journal the chain alone is checked.
        if begins_after == 0:
            try:
                books.take(kind, fact)
            except Wrong as wrong:
                raise Wrong(f"entry {seq} ({kind}): {wrong}") from None
    if begins_after:
        return f"{count} entries after {begins_after}, no gap, every hash fits; the money before is not here"
    accounts = {name: str(balance) for name, balance in sorted(books.balances.items()) if balance}
    said = f"{count} entries, no gap, every hash fits; {books.transfers} transfers, all accounts come to 0"
    return said + "\n" + json.dumps(accounts, ensure_ascii=False)


def main():
    place = None
    if len(sys.argv) > 2:
        number, digest = sys.argv[2].split(":")
        place = (int(number), digest)
    try:
        print(check(sys.argv[1], place))
    except Wrong as wrong:
        sys.exit(str(wrong))


main()
