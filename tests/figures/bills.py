"""Days of three channels by chance, and what reconciling them must say: bills as the channels write them, credits, and for the end of each
day what is open. It plants each case and knows what comes of it; it shares nothing with the program that is tested, and matches nothing.

    bills.py SEED DAYS FOLDER

writes the files and truth.json into FOLDER. A statement is `CLASS source number ours theirs`, amounts in fen. What is open at the end of a day
is so from the morning on on which everything is there that the day goes by: `known` says for each morning up to which day that is.
"""

import datetime
import json
import pathlib
import random
import sys
import zoneinfo

# What a channel keeps, before and after it is changed.
PPM, OTHER_PPM = 6_000, 7_300
MERCHANT = {"wechat": "1900000001", "alipay": "2088000000000001", "bank": "1900000002"}
# One begins before the night that is an hour short, the other before the one that is an hour long.
FIRST = [datetime.date(2026, 3, 16), datetime.date(2026, 10, 12)]
HOUR = 3_600


def fee_of(fen, ppm):
    return (fen * ppm * 2 + 1_000_000) // 2_000_000


def yuan(fen):
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02}"


class Channel:
    def __init__(self, chance, name, zone, settle, first, days):
        self.chance, self.name, self.settle, self.first, self.days = chance, name, settle, first, days
        self.zone, self.zone_name = zoneinfo.ZoneInfo(zone), zone
        self.lines = [[] for _ in range(days)]
        self.open = [[] for _ in range(days)]
        self.credits, self.asked = [], []
        self.pairs = 0
        self.number = 0
        # Amounts that nothing else has: for what is looked for by its amount.
        self.rare = 9_000_000
        # The morning on which the bill of a day comes, on the one after or days late. Of some another one comes first, and is withdrawn.
        self.arrives = [day + 1 + chance.choice([0] * 9 + [1, 2, 5]) for day in range(days)]
        self.wrong = {}
        for day in range(days):
            if chance.random() < 0.1:
                self.wrong[day] = self.arrives[day]
                self.arrives[day] += chance.randint(1, 3)
        # On a morning its fee is another one, from the first day on that is not final by then: a bill has a night before its day is.
        self.changed = chance.randint(4, days)
        final = 0
        while final < min(days, self.changed - 1) and self.arrives[final] <= self.changed - 2:
            final += 1
        self.other_from = final

    def fee(self, day, fen):
        return fee_of(fen, PPM if day < self.other_from else OTHER_PPM)

    def known(self, morning):
        """How many days say by a morning what they will always say."""
        known = 0
        while known < self.days and self.arrives[known] <= morning:
            known += 1
        return known if morning >= self.changed else min(known, self.other_from)

    def next(self, letter):
        self.number += 1
        return f"{letter}{self.name[0]}{self.number:06}"

    def date(self, day):
        return self.first + datetime.timedelta(days=day)

    def ms(self, day, second):
        """The time at which clocks on the wall show a second of a day."""
        shown = datetime.datetime.combine(self.date(day), datetime.time()) + datetime.timedelta(seconds=second)
        return int(shown.replace(tzinfo=self.zone).timestamp() * 1_000)

    def amount(self):
        return self.chance.choice([1_000, 3_000, 5_000, 5_000, 10_000, self.chance.randint(1, 50_000)])

    def ask(self, no, fen, ms, credited=None):
        self.asked.append({"channel": self.name, "ref": no, "amount": fen, "made_at": ms, "credited_at": credited})

    def credit(self, ref, no, fen, day, second):
        """A wallet is credited; it was asked for a minute before."""
        ms = self.ms(day, second)
        self.ask(no, fen, ms - 60_000, ms)
        self.credits.append({"channel": self.name, "id": ref, "ref": no, "amount": fen, "at": ms})

    def pay(self, day, second, ref, no, fen, settled=None, fee=None, status=None):
        settled = fen if settled is None else settled
        line = {"kind": "payment", "ref": ref, "no": no, "fen": fen, "settled": settled, "second": second,
                "fee": self.fee(day, settled) if fee is None else fee, "status": status or "成功"}
        self.lines[day].append(line)
        return line

    def back(self, day, second, payment, fen, own=None, status=None):
        own = own or self.next("b")
        self.lines[day].append({"kind": "refund", "ref": payment["ref"], "no": payment["no"], "own": own, "own_no": "n" + own,
                                "fen": fen, "settled": fen, "fee": 0, "second": second, "status": status or "SUCCESS"})
        # Alipay's refunds have no number of their own but ours.
        return payment["ref"] if self.name == "alipay" else own

    def says(self, statement, since, until=None):
        """What is open from the end of one day on, up to the end of the day before another."""
        for day in range(since, self.days if until is None else min(until, self.days)):
            self.open[day].append(statement)

    # The cases. Each is given a day and a second of it, and plants itself.

    def fine(self, day, second):
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        later = second + self.chance.choice([1, 2, 5, 30])
        credited, at = (day, later) if later < 24 * HOUR else (day + 1, later - 24 * HOUR)
        self.credit(ref, no, fen, credited, at)
        coupon = self.chance.choice([0, 0, 0, fen // 7]) if self.name != "bank" else 0
        self.pay(day, second, ref, no, fen, settled=fen - coupon)
        if credited < self.days:
            self.pairs += 1
        self.says(f"PENDING payment {ref} - {fen}", day, credited)

    def over_midnight(self, day, second):
        self.fine(day, 24 * HOUR - self.chance.choice([1, 1, 2, 30]))

    def clock_behind(self, day, second):
        """Credited a second before midnight; the channel says a second after."""
        if day + 1 >= self.days:
            return
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        self.credit(ref, no, fen, day, 24 * HOUR - 1)
        self.pay(day + 1, 1, ref, no, fen)
        self.pairs += 1
        self.says(f"{'PENDING' if self.settle else 'SHORT'} credit {ref} {fen} -", day, day + 1)

    def long(self, day, second, until=None):
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        self.ask(no, fen, self.ms(day, second) - 60_000)
        payment = self.pay(day, second, ref, no, fen)
        early = second >= 23 * HOUR
        if early:
            self.says(f"PENDING payment {ref} - {fen}", day, min(day + 1, until if until is not None else day + 1))
        self.says(f"LONG payment {ref} - {fen}", day + early, until)
        return payment

    def long_and_credited(self, day, second):
        later = day + self.chance.randint(1, 3)
        payment = self.long(day, min(second, 22 * HOUR), later)
        for asked in self.asked:
            if asked["ref"] == payment["no"]:
                asked["credited_at"] = self.ms(later, 9 * HOUR)
        self.credits.append({"channel": self.name, "id": payment["ref"], "ref": payment["no"], "amount": payment["fen"],
                             "at": self.ms(later, 9 * HOUR)})
        self.pairs += later < self.days

    def long_and_given_back(self, day, second):
        later = day + self.chance.randint(0, 2)
        if later >= self.days:
            return
        payment = self.long(day, min(second, 22 * HOUR), later)
        part = self.chance.randint(0, payment["fen"] // 2)
        if part and later > day:
            ref = self.back(day, second + 1, payment, part)
            self.says(f"SHORT refund {ref} - {-part}", day, later)
        else:
            part = 0
        self.back(later, 23 * HOUR, payment, payment["fen"] - part)

    def foreign(self, day, second):
        """Paid under a number that is none of ours: several that it may be, or not."""
        ref, fen, self.rare = self.next("t"), self.rare, self.rare + 1
        several = self.chance.random() < 0.7
        for _ in range(self.chance.randint(2, 4) if several else self.chance.randint(0, 1)):
            self.ask(self.next("T"), fen, self.ms(day, second) - self.chance.randint(0, 86_399_999))
        self.ask(self.next("T"), fen, self.ms(day, second) - 86_400_000)
        self.ask(self.next("T"), fen, self.ms(day, second) + 1)
        self.pay(day, second, ref, self.next("X"), fen)
        if several:
            self.says(f"AMBIGUOUS payment {ref} - {fen}", day)
        else:
            self.says(f"{'PENDING' if second >= 23 * HOUR else 'LONG'} payment {ref} - {fen}", day, day + 1)
            self.says(f"LONG payment {ref} - {fen}", day + 1)

    def other_number(self, day, second):
        ref, fen = self.next("t"), self.amount()
        self.credit(ref, self.next("T"), fen, day, second)
        self.pay(day, second, ref, self.next("X"), fen)
        self.pairs += 1
        self.says(f"AMBIGUOUS payment {ref} {fen} {fen}", day)

    def short(self, day, second):
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        self.credit(ref, no, fen, day, second)
        self.says(f"PENDING credit {ref} {fen} -", day, day + self.settle)
        self.says(f"SHORT credit {ref} {fen} -", day + self.settle)

    def settled_late(self, day, second):
        later = day + self.chance.randint(1, self.settle + 3)
        if later >= self.days:
            return
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        self.credit(ref, no, fen, day, second)
        self.pay(later, second, ref, no, fen)
        self.pairs += 1
        self.says(f"PENDING credit {ref} {fen} -", day, min(day + self.settle, later))
        self.says(f"SHORT credit {ref} {fen} -", day + self.settle, later)

    def other_amount(self, day, second):
        ref, no, fen = self.next("t"), self.next("T"), self.amount() + 10
        ours = fen + self.chance.choice([-9, -1, 1, 100])
        self.credit(ref, no, ours, day, second)
        self.pay(day, second, ref, no, fen)
        self.pairs += 1
        self.says(f"AMOUNT payment {ref} {ours} {fen}", day)

    def other_fee(self, day, second):
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        due = self.fee(day, fen)
        fee = due + self.chance.choice([-1, 1, 7])
        self.credit(ref, no, fen, day, second)
        self.pay(day, second, ref, no, fen, fee=fee)
        self.pairs += 1
        self.says(f"FEE payment {ref} {due} {fee}", day)

    def other_status(self, day, second):
        """Not paid: whatever else differs too."""
        if self.name != "bank":
            return
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        ours, named = fen + self.chance.choice([0, 0, 5]), self.chance.choice([no, no, self.next("X")])
        self.credit(ref, no, ours, day, second)
        self.pay(day, second, ref, named, fen, status="已关闭")
        self.pairs += 1
        self.says(f"STATUS payment {ref} {ours} {fen}", day)

    def twice(self, day, second):
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        is_credited = self.chance.random() < 0.6
        second = min(second, 22 * HOUR)
        if is_credited:
            self.credit(ref, no, fen, day, second)
            self.pairs += 1
        else:
            self.ask(no, fen, self.ms(day, second) - 60_000)
            self.says(f"LONG payment {ref} - {fen}", day)
        self.pay(day, second, ref, no, fen)
        again = min(day + self.chance.choice([0, 0, 1, 4]), self.days - 1)
        # In a file lines stand by their times.
        other = fen + self.chance.choice([0, 0, 1, 500])
        self.pay(again, second + 1, ref, no, other)
        self.says(f"DUPLICATE payment {ref} - {other}", again)

    def given_back(self, day, second):
        """Credited, and the channel has given it back: our books know nothing of that."""
        ref, no, fen = self.next("t"), self.next("T"), self.amount() + 10
        second = min(second, 22 * HOUR)
        self.credit(ref, no, fen, day, second)
        payment = self.pay(day, second, ref, no, fen)
        self.pairs += 1
        sum, when = 0, day
        for _ in range(self.chance.randint(1, 3)):
            when = when + self.chance.randint(0, 2)
            if when >= self.days:
                return
            part = self.chance.randint(1, fen)
            sum += part
            # In a file lines stand by their times.
            second += 1
            own = self.back(when, second, payment, part)
            if sum > fen:
                self.says(f"OVER_REFUND refund {own} {fen} {-sum}", when)
            else:
                self.says(f"SHORT refund {own} - {-part}", when)

    def orphan(self, day, second):
        fen = self.amount()
        own = self.back(day, second, {"ref": self.next("t"), "no": self.next("T")}, fen)
        self.says(f"REFUND_ORPHAN refund {own} - {-fen}", day)

    def late_payment(self, day, second):
        """Given back before the bill has the payment."""
        later = day + self.chance.randint(1, 3)
        if later >= self.days:
            return
        ref, no, fen = self.next("t"), self.next("T"), self.amount() + 10
        second = max(10, min(second, 22 * HOUR))
        part = self.chance.randint(1, fen - 1)
        own = self.back(day, second, {"ref": ref, "no": no}, part)
        self.says(f"REFUND_ORPHAN refund {own} - {-part}", day, later)
        self.pay(later, second, ref, no, fen)
        if self.chance.random() < 0.5:
            self.credit(ref, no, fen, later, second + 5)
            self.pairs += 1
        else:
            self.ask(no, fen, self.ms(later, second) - 60_000)
            self.says(f"LONG payment {ref} - {fen}", later)
        self.says(f"SHORT refund {own} - {-part}", later)

    def under_way(self, day, second):
        """Given back in the end, or not: until then the channel has it."""
        if self.name == "alipay":
            return
        later, fails = day + self.chance.randint(1, 4), self.chance.random() < 0.3
        payment = self.long(day, min(second, 22 * HOUR), None if fails else later)
        own = self.back(day, 22 * HOUR + 1, payment, payment["fen"], status="PROCESSING")
        self.says(f"PENDING refund {own} - {-payment['fen']}", day, later)
        if later < self.days:
            self.back(later, second, payment, payment["fen"], own=own, status="CHANGE" if fails else None)
            if fails:
                self.says(f"STATUS refund {own} - {-payment['fen']}", later)

    def asked_for_other(self, day, second):
        """Asked for with one amount, and paid with another: it credits nobody."""
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        asked = fen + self.chance.choice([1, 100, 5_000])
        self.ask(no, asked, self.ms(day, second) - 60_000)
        payment = self.pay(day, second, ref, no, fen)
        later = day + self.chance.randint(1, 30)
        self.says(f"AMOUNT payment {ref} {asked} {fen}", day, later)
        if later < self.days:
            self.back(later, second, payment, fen)

    def unpaid(self, day, second):
        """Not paid; then, of some, paid after all, and of some a wallet is credited."""
        if self.name != "bank":
            return
        ref, no, fen = self.next("t"), self.next("T"), self.amount()
        second = min(second, 22 * HOUR)
        self.ask(no, fen, self.ms(day, second) - 60_000)
        self.pay(day, second, ref, no, fen, status="未支付")
        never = self.days + 1
        credited = self.chance.choice([never, day + self.chance.randint(1, 4)])
        paid = self.chance.choice([never, day + self.chance.randint(0, 4)])
        self.says(f"STATUS payment {ref} - {fen}", day, credited)
        if credited < self.days:
            self.asked[-1]["credited_at"] = self.ms(credited, 9 * HOUR)
            self.credits.append({"channel": self.name, "id": ref, "ref": no, "amount": fen, "at": self.ms(credited, 9 * HOUR)})
            self.pairs += 1
            self.says(f"STATUS payment {ref} {fen} {fen}", credited)
        if paid < self.days:
            self.pay(paid, second + 1, ref, no, fen)
            self.says(f"LONG payment {ref} - {fen}", paid, credited)
            self.says(f"DUPLICATE payment {ref} - {fen}", max(paid, credited))

    CASES = [late_payment, under_way, asked_for_other, unpaid, over_midnight, clock_behind, long, long_and_credited, long_and_given_back, foreign, other_number, short, settled_late,
             other_amount, other_fee, other_status, twice, given_back, orphan]

    def live(self):
        for day in range(self.days):
            for _ in range(self.chance.randint(0, 25)):
                self.fine(day, self.second())
            for case in self.CASES:
                for _ in range(self.chance.choice([0, 0, 1, 1, 2])):
                    case(self, day, self.second())
        # What is credited after the last day is no part of it.
        for lines in self.lines:
            lines.sort(key=lambda line: line["second"])

    def second(self):
        """Of a day, but for the hours that clocks skip or show twice."""
        return self.chance.choice([0, HOUR - 1, 23 * HOUR - 1, 23 * HOUR, 24 * HOUR - 40] + [self.chance.randint(4 * HOUR, 24 * HOUR - 40)] * 12)

    def shown(self, day, line):
        second = line["second"]
        return f"{self.date(day)} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def wechat(channel, day):
    head = ("交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
            "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
            "申请退款金额,费率备注")
    rows, sums = [], {"settled": 0, "back": 0, "fee": 0, "fen": 0}
    for line in channel.lines[day]:
        is_payment = line["kind"] == "payment"
        own = ("0", "0") if is_payment else (line["own"], line["own_no"])
        fen, settled, back = (line["fen"], line["settled"], 0) if is_payment else (0, 0, line["fen"])
        for name, more in [("settled", settled), ("back", back), ("fee", line["fee"]), ("fen", fen)]:
            sums[name] += more
        rows.append([channel.shown(day, line), "wx1", MERCHANT["wechat"], "0", "", line["ref"], line["no"], "o1", "JSAPI",
                     "SUCCESS" if is_payment else "REFUND", "OTHERS", "CNY", yuan(settled), yuan(fen - settled), own[0], own[1], yuan(back),
                     "0.00", "" if is_payment else "ORIGINAL", "" if is_payment else line["status"], "充电", "", yuan(line["fee"]) + "000",
                     "0.60%", yuan(fen), yuan(back), ""])
    text = head + "\r\n" + "".join("`" + ",`".join(row) + "\r\n" for row in rows)
    text += "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
    totals = [str(len(rows)), yuan(sums["settled"]), yuan(sums["back"]), "0.00", yuan(sums["fee"]) + "000", yuan(sums["fen"]), yuan(sums["back"])]
    return "wechat_trade", ("\ufeff" + text + "`" + ",`".join(totals) + "\r\n").encode("utf-8")


def alipay(channel, day):
    date, next_date = channel.date(day), channel.date(day + 1)
    text = "#支付宝业务明细查询\r\n"
    text += f"#账号：[{MERCHANT['alipay']}0156]\r\n"
    text += f"#起始日期：[{date:%Y年%m月%d日} 00:00:00]   终止日期：[{next_date:%Y年%m月%d日} 00:00:00]\r\n"
    text += "#-----------------------------------------业务明细列表----------------------------------------\r\n"
    text += ("支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
             "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
             "退款批次号/请求号,服务费（元）,分润（元）,备注\r\n")
    sums = {"payment": [0, 0], "refund": [0, 0]}
    for line in channel.lines[day]:
        is_payment = line["kind"] == "payment"
        sign = 1 if is_payment else -1
        at = channel.shown(day, line)
        sums[line["kind"]][0] += 1
        sums[line["kind"]][1] += sign * line["settled"]
        text += (f"{line['ref']}\t,{line['no']}\t,{'交易' if is_payment else '退款'},充电,{at},{at},,,,,*车,{yuan(sign * line['fen'])},"
                 f"{yuan(sign * line['settled'])},0.00,0.00,0.00,0.00,0.00,,0.00,0.00,{'' if is_payment else line['own_no']}\t,"
                 f"{yuan(-line['fee'])},0.00,\r\n")
    text += "#-----------------------------------------业务明细列表结束------------------------------------\r\n"
    text += f"#交易合计：{sums['payment'][0]}笔，商家实收共{yuan(sums['payment'][1])}元，商家优惠共0.00元\r\n"
    text += f"#退款合计：{sums['refund'][0]}笔，商家实收退款共{yuan(sums['refund'][1])}元，商家优惠退款共0.00元\r\n"
    text += f"#导出时间：[{next_date:%Y年%m月%d日} 09:12:51]\r\n"
    return "alipay_trade", text.encode("gbk")


def bank(channel, day):
    text = "kind,ref,out_no,amount,fee,at,refund_ref,refund_no,status\n"
    for line in channel.lines[day]:
        text += ",".join([line["kind"], line["ref"], line["no"], yuan(line["fen"]), yuan(line["fee"]), channel.shown(day, line),
                          line.get("own", ""), line.get("own_no", ""), line["status"]]) + "\n"
    return "csv", text.encode("utf-8")


def main():
    seed, days, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    chance = random.Random(seed)
    first = FIRST[seed % len(FIRST)]
    truth = {"first": str(first), "days": days, "channels": [], "files": [], "credits": [], "topups": []}
    for name, zone, write in [("wechat", "Asia/Shanghai", wechat), ("alipay", "Asia/Shanghai", alipay), ("bank", "Europe/Berlin", bank)]:
        channel = Channel(chance, name, zone, chance.randint(0, 4), first, days)
        channel.live()
        for day in range(days):
            form, content = write(channel, day)
            path = folder / f"{name}-{channel.date(day)}"
            path.write_bytes(content)
            of = {"channel": name, "day": str(channel.date(day)), "format": form}
            truth["files"].append({**of, "path": str(path), "arrives": channel.arrives[day], "withdrawn": None})
            if day in channel.wrong:
                lines = channel.lines[day]
                # Some lines lack, and others have another amount. Or it is the very same.
                some = [line for line in lines if chance.random() < 0.8]
                other = [{**line, "fen": line["fen"] + 1, "settled": line["settled"] + 1} if chance.random() < 0.2 else line for line in some]
                channel.lines[day] = lines if chance.random() < 0.2 else other
                path = folder / f"{name}-{channel.date(day)}-wrong"
                path.write_bytes(write(channel, day)[1])
                channel.lines[day] = lines
                truth["files"].append({**of, "path": str(path), "arrives": channel.wrong[day], "withdrawn": channel.arrives[day]})
        truth["channels"].append({"name": name, "zone": zone, "settle_days": channel.settle, "merchant": MERCHANT[name],
                                  "pairs": channel.pairs, "open": [sorted(day) for day in channel.open],
                                  "known": [channel.known(morning) for morning in range(days + 20)],
                                  "changed": channel.changed, "fee_ppm": OTHER_PPM, "last": max(channel.arrives)})
        truth["credits"] += channel.credits
        truth["topups"] += channel.asked
    (folder / "truth.json").write_text(json.dumps(truth, ensure_ascii=False))


if __name__ == "__main__":
    main()
