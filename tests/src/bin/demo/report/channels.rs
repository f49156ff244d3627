//! What members pay in over two channels, what the channels say of it on their bills, and what differs.

use super::{
    bills::{Line, file, net, yuan},
    chain::{BANK, CARD_OF},
    person::Person,
    planted::Planted,
};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::PathBuf;
use world::{
    back_end::{self, CHANNEL, Paid},
    head_office::HeadOfficeProcess,
};

/// What the scopes of their days are called.
const OF_WECHAT: &str = "channel:wechat";
const OF_BANK: &str = "channel:unionpay";
/// Who looks at what channels say, and proposes something.
const MAKER: &str = "finance-a";
/// Who approves.
const CHECKER: &str = "finance-b";
/// By how much less the bank has got than was due.
const PAID_OUT_LESS: i64 = 500;

/// Both channels, and the members who pay in. A payment of WeChat's is on the bill of its day; the bank may take three.
///
/// # Errors
/// Head office refuses it.
pub(super) async fn open(office: &HeadOfficeProcess) -> anyhow::Result<()> {
    let wechat = json!({ "bills": "wechat", "settle_days": 0 });
    back_end::put_channel(office, CHANNEL, &wechat).await?;
    back_end::put_channel(office, BANK, &json!({ "bills": "csv" })).await?;
    for member in ["wang", CARD_OF] {
        back_end::add_member(office, member, member).await?;
    }
    Ok(())
}

/// What a channel takes on a day.
struct Till<'a> {
    office: &'a HeadOfficeProcess,
    channel: &'static str,
    day: &'static str,
}

impl Till<'_> {
    /// A member wants to pay in: our number of it.
    async fn asked(&self, fen: i64) -> anyhow::Result<String> {
        back_end::ask_top_up(self.office, self.channel, "wang", &yuan(fen)).await
    }

    /// The same, and the channel calls back: the wallet is credited. As the bill should have it.
    async fn paid(&self, name: &str, fen: i64) -> anyhow::Result<Line> {
        let (out_no, reference) = (self.asked(fen).await?, self.number(name));
        let paid = Paid {
            channel: self.channel,
            transaction_id: &reference,
            out_trade_no: &out_no,
            amount: &yuan(fen),
        };
        back_end::credited(self.office, paid.signed(self.office.wall())?).await?;
        Ok(Line::paid(&reference, &out_no, fen))
    }

    /// A number of the channel's.
    fn number(&self, name: &str) -> String {
        format!("{}-{}-{name}", self.channel, self.day)
    }
}

/// A day of WeChat's with an error of each of some classes; the lines of its bill.
///
/// # Errors
/// Head office refuses something.
pub(super) async fn wechat(
    office: &HeadOfficeProcess,
    day: &'static str,
    planted: &mut Planted,
) -> anyhow::Result<Vec<Line>> {
    let till = Till {
        office,
        channel: CHANNEL,
        day,
    };
    let mut plant = |of: &str, values: (&str, &str), story: &str| planted.add(OF_WECHAT, of, values, story);
    let good = till.paid("good", 10_000).await?;
    let never_heard = Line::paid(&till.number("long"), &till.asked(3_000).await?, 3_000);
    plant(
        "funds LONG",
        ("-", "30.00"),
        "the channel took it, and its callback never came",
    );
    till.paid("short", 4_000).await?;
    plant(
        "funds SHORT",
        ("40.00", "-"),
        "credited, and on no bill of the channel's",
    );
    let mut dear = till.paid("fee", 5_000).await?;
    dear.fee += 1;
    plant("funds FEE", ("0.30", "0.31"), "the channel keeps a fen too much");
    let again = good.clone();
    plant(
        "funds DUPLICATE",
        ("-", "100.00"),
        "the same payment is on the bill twice",
    );
    let orphan = Line::paid(&till.number("elsewhere"), "T-elsewhere", 700).refunded(&till.number("orphan"), 700);
    plant(
        "funds REFUND_ORPHAN",
        ("-", "-7.00"),
        "given back of a payment that is on no bill",
    );
    Ok(vec![good, never_heard, dear, again, orphan])
}

/// The same of the bank's.
///
/// # Errors
/// Head office refuses something.
pub(super) async fn bank(
    office: &HeadOfficeProcess,
    day: &'static str,
    planted: &mut Planted,
) -> anyhow::Result<Vec<Line>> {
    let till = Till {
        office,
        channel: BANK,
        day,
    };
    let mut plant = |of: &str, values: (&str, &str), story: &str| planted.add(OF_BANK, of, values, story);
    let good = till.paid("good", 8_000).await?;
    let credited = till.paid("amount", 6_000).await?;
    let less = Line::paid(&credited.reference, &credited.out_no, 5_900);
    plant(
        "funds AMOUNT",
        ("60.00", "59.00"),
        "credited with more than the bank took",
    );
    let mut closed = till.paid("status", 4_500).await?;
    closed.status = "已关闭";
    plant(
        "funds STATUS",
        ("45.00", "45.00"),
        "credited, and the bank says that it was closed",
    );
    let mut other = till.paid("ambiguous", 2_500).await?;
    other.out_no = "T-another".to_owned();
    plant(
        "funds AMBIGUOUS",
        ("25.00", "25.00"),
        "the bank has it under another number of ours",
    );
    let refunded = till.paid("refunded", 2_000).await?;
    let too_much = refunded.refunded(&till.number("too-much"), 2_200);
    plant(
        "funds OVER_REFUND",
        ("20.00", "-22.00"),
        "given back more than was paid",
    );
    Ok(vec![good, less, closed, other, refunded, too_much])
}

/// A day on which nothing is wrong; the line of its bill.
///
/// # Errors
/// Head office refuses something.
pub(super) async fn good_day(
    office: &HeadOfficeProcess,
    channel: &'static str,
    day: &'static str,
) -> anyhow::Result<Vec<Line>> {
    let till = Till { office, channel, day };
    Ok(vec![till.paid("good", 5_000).await?])
}

/// A bill that was brought into the folder that is watched.
pub(super) struct Brought {
    folder: PathBuf,
    name: String,
}

impl Brought {
    /// Whether it was imported.
    ///
    /// # Errors
    /// It was refused: with the reason that lies beside it.
    pub(super) fn is_taken(&self) -> anyhow::Result<bool> {
        let reason = self.folder.join("refused").join(format!("{}.reason.txt", self.name));
        if let Ok(reason) = std::fs::read_to_string(reason) {
            bail!("{} is refused: {reason}", self.name);
        }
        Ok(self.folder.join("imported").join(&self.name).exists())
    }
}

/// Somebody brings a bill into the folder that is watched.
///
/// # Errors
/// It cannot be written.
pub(super) fn bring(office: &HeadOfficeProcess, channel: &str, day: &str, lines: &[Line]) -> anyhow::Result<Brought> {
    let (name, text) = file(channel, day, lines);
    let folder = office.folder().join("bills").join(channel);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(&name), text)?;
    Ok(Brought { folder, name })
}

/// Somebody imports a bill by the command line.
///
/// # Errors
/// It is refused.
pub(super) fn import(office: &HeadOfficeProcess, channel: &str, day: &str, lines: &[Line]) -> anyhow::Result<()> {
    let (name, text) = file(channel, day, lines);
    let path = office.folder().join(format!("{channel}-{name}"));
    std::fs::write(&path, text)?;
    let path = path.to_str().context("a path")?.to_owned();
    let format = if channel == BANK { "csv" } else { "wechat_trade" };
    let words = [
        "bill",
        "import",
        &path,
        "--channel",
        channel,
        "--day",
        day,
        "--format",
        format,
    ];
    office.cli(&words).map(drop)
}

/// One person says what the bank has got of a day's bills, and another that it is so: less than was due.
///
/// # Errors
/// Head office refuses it.
pub(super) async fn pay_out(
    office: &HeadOfficeProcess,
    day: &str,
    lines: &[Line],
    planted: &mut Planted,
) -> anyhow::Result<()> {
    let due = net(lines);
    let paid = yuan(due - PAID_OUT_LESS);
    let said =
        json!({ "day": day, "reference": "B-20260311-1", "amount": paid, "reason": "the bank's statement, line 7" });
    let path = format!("/v1/channels/{BANK}/payouts");
    let maker = Person::new(office, MAKER, "finance_maker").await?;
    let payout = maker.post(&path, &said).await?;
    let id = payout["id"].as_str().context("a payout without a number")?;
    let checker = Person::new(office, CHECKER, "finance_checker").await?;
    checker.post(&format!("/v1/payouts/{id}/approve"), &json!({})).await?;
    planted.add(
        "payouts:unionpay",
        "bank PAYOUT",
        (&yuan(due), &paid),
        "the bank has got less than was due net of fees",
    );
    Ok(())
}

/// Somebody takes what differs at WeChat, and proposes what is to become of two of it: another person will have to approve.
///
/// # Errors
/// Head office refuses it.
pub(super) async fn taken_up(office: &HeadOfficeProcess, report: &Value) -> anyhow::Result<()> {
    let maker = Person::again(office, MAKER).await?;
    let rows = report["differences"]
        .as_array()
        .context("a report without differences")?;
    for row in rows.iter().filter(|row| row["scope"] == OF_WECHAT) {
        let path = format!("/v1/discrepancies/{}", row["discrepancy"]);
        maker.post(&format!("{path}/assign"), &json!({ "to": MAKER })).await?;
        let proposal = match row["class"].as_str() {
            Some("LONG") => json!({ "decision": "credit", "reason": "the driver has shown the payment" }),
            Some("FEE") => json!({ "decision": "accept", "reason": "asked the channel, they will look" }),
            _ => continue,
        };
        maker.post(&format!("{path}/proposal"), &proposal).await?;
    }
    Ok(())
}
