//! The money of head office's members: after every commit all of it is somewhere, member by member; at the end none is on the road,
//! and no more is lost than the rules allow.

use super::{
    super::drivers::{TRAVELLERS, traveller},
    ThreeSites,
    copy::Mirror,
    money::CHANNEL,
    races::Race,
    station::Site,
};
use books::{
    money::LongCredit,
    store::{
        StoreError, Tx, directives,
        findings::{self, Class, Filter},
        identity, issues, ledger,
        queries::decided::{self, Which},
        refunds::{self, Refund},
    },
};
use domain::{
    ids::{MemberId, OrderId, SiteId},
    ledger::Account,
    site::Rows,
    units::Fen,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Money that was sent on the road: by its number, whose it is and how much.
pub(super) type Issued = BTreeMap<String, (MemberId, i64)>;

/// What the world knows of members' money, whatever head office says.
#[derive(Debug, Clone, Default)]
pub(super) struct Purses {
    /// What the channel was ever paid.
    pub(super) payments: Vec<LongCredit>,
    /// What each has paid in through the channel, as far as head office's database can know.
    pub(super) paid_in: BTreeMap<MemberId, i64>,
    /// What went back to a wallet by entries of a branch that does not live: the restore paid it.
    pub(super) twice: BTreeMap<MemberId, i64>,
    /// What was ever on the road by a database that was lost.
    issued: Issued,
    /// What of it the database of today has forgotten, by member: no more than that can a restore have to pay for it (rule 4).
    pub(super) forgotten: BTreeMap<MemberId, i64>,
    /// What went back to a wallet by a branch that was left, and what had gone back before another branch was followed that may have had
    /// it all along: no more than that can a restore have to pay for it (rule 8).
    by_forks: BTreeMap<MemberId, i64>,
    /// The sites that have left a branch.
    sites_left: BTreeSet<SiteId>,
    numbers: u64,
    seen: BTreeSet<String>,
    /// Head office's database was lost, or a site went on with another branch.
    pub(super) has_lost: bool,
}

impl Purses {
    /// A number that nobody else has.
    pub(super) fn number(&mut self, prefix: &str) -> String {
        self.numbers += 1;
        format!("{prefix}{}", self.numbers)
    }

    pub(super) fn pays_in(&mut self, member: &MemberId, amount: Fen) {
        *self.paid_in.entry(member.clone()).or_default() += amount.0;
    }

    /// A database was lost, and one that knows less has taken its place.
    pub(super) fn forgets(&mut self, lost: Issued, known: &Issued) {
        self.issued.extend(lost);
        self.forgotten.clear();
        for (_, (member, amount)) in self.issued.iter().filter(|(id, _)| !known.contains_key(*id)) {
            *self.forgotten.entry(member.clone()).or_default() += amount;
        }
    }

    /// The most that restores can have paid for a member.
    fn restored_most(&self, member: &MemberId) -> i64 {
        let of = |map: &BTreeMap<MemberId, i64>| map.get(member).copied().unwrap_or(0);
        of(&self.forgotten) + of(&self.by_forks)
    }

    /// Another branch of a site's journal is to be followed, which may have taken what went back meanwhile.
    pub(super) fn may_come_after_all(&mut self, returned: BTreeMap<MemberId, i64>) {
        for (member, amount) in returned {
            *self.by_forks.entry(member).or_default() += amount;
        }
    }

    /// Whether nobody has looked at it before.
    pub(super) fn is_news(&mut self, id: &str) -> bool {
        self.seen.insert(id.to_owned())
    }
}

/// More refunds than there are in a life.
const REFUNDS_MAX: usize = 10_000;

/// What is in a member's wallet of refunds.
fn given_back(books: &Books, member: &MemberId) -> i64 {
    let mine = books.refunds.iter().filter(|refund| refund.member == *member);
    let credited = mine.filter(|refund| refund.state == refunds::State::Credited);
    credited.map(|refund| refund.amount.0).sum()
}

/// What of all accounts the checks are about.
struct Books {
    wallets: BTreeMap<String, i64>,
    transit: BTreeMap<String, i64>,
    restore: BTreeMap<String, i64>,
    /// Owed at sites, and to head office itself.
    debts: BTreeMap<String, i64>,
    on_road: BTreeMap<String, i64>,
    /// What is put aside for orders, by the books and by what was approved; and what was given back in all.
    put_aside: BTreeMap<String, i64>,
    approved: BTreeMap<String, i64>,
    given_back: i64,
    refunds: Vec<Refund>,
    adjusted: BTreeMap<String, i64>,
    total: i64,
}

fn books(tx: &mut dyn Tx) -> Result<Books, StoreError> {
    let mut on_road = BTreeMap::new();
    for (site, member, rest) in issues::sums(tx)? {
        on_road.insert(ledger::transit(&site, &member), rest.0);
    }
    let mut approved = BTreeMap::new();
    for (site, order, due) in refunds::due(tx)? {
        approved.insert(ledger::refund_due(&site, &order), due.0);
    }
    Ok(Books {
        wallets: ledger::of_kind(tx, "wallet")?,
        transit: ledger::of_kind(tx, "transit")?,
        restore: ledger::of_kind(tx, "restore")?,
        debts: ledger::of_kind(tx, "debt")?,
        adjusted: posted_adjustments(tx)?,
        on_road,
        put_aside: ledger::of_kind(tx, "refund_due")?,
        approved,
        given_back: -ledger::balance(tx, "refund")?.0,
        refunds: decided::refunds(tx, &Which::default(), None, REFUNDS_MAX)?.items,
        total: ledger::total(tx)?,
    })
}

/// What two people have adjusted, by member.
fn posted_adjustments(tx: &mut dyn Tx) -> Result<BTreeMap<String, i64>, StoreError> {
    let rows = tx.query(
        "SELECT member, CAST(SUM(amount) AS BIGINT) FROM adjustment WHERE state = 'posted' GROUP BY member",
        &[],
    )?;
    rows.into_iter()
        .map(|mut row| Ok((row.text(0)?, row.int(1)?)))
        .collect()
}

fn adjusted(books: &Books, member: &MemberId) -> i64 {
    books.adjusted.get(member.as_str()).copied().unwrap_or(0)
}

type Checked = Result<(), String>;

impl ThreeSites {
    /// Head office has committed something: all money is somewhere. What a member has paid in is in the wallet, on the road, or was
    /// moved to sites, by the sites' own journals.
    pub(super) fn check_money(&mut self) -> Checked {
        let mut books = self.office.read(books)?;
        if books.total != 0 {
            return Err(format!("all accounts sum to {}", books.total));
        }
        books.transit.retain(|_, balance| *balance != 0);
        books.on_road.retain(|_, rest| *rest != 0);
        if books.transit != books.on_road {
            return Err(format!(
                "on the road are {:?} by the books, and {:?} by what was issued",
                books.transit, books.on_road
            ));
        }
        self.check_refunds(&mut books)?;
        for (member, sum) in self.sums(&books) {
            let (most, restore) = (self.purses.restored_most(&member), -sum[3]);
            if restore > most {
                return Err(format!(
                    "for {member} restores have paid {restore}, and {most} were forgotten or came back twice"
                ));
            }
            let paid_in = self.purses.paid_in.get(&member).copied().unwrap_or(0);
            let twice = self.purses.twice.get(&member).copied().unwrap_or(0);
            let back = given_back(&books, &member);
            let adjusted = adjusted(&books, &member);
            if sum.iter().sum::<i64>() != paid_in + twice + back + adjusted {
                let [wallet, road, there, restore, owed] = sum;
                return Err(format!(
                    "{member} paid in {paid_in} (and {twice} came back twice, {back} were given back, {adjusted} adjusted): {wallet} are in \
                     the wallet, {road} on the road, {there} went to sites, a restore paid {restore}, and {owed} are owed"
                ));
            }
        }
        Ok(())
    }

    /// What is given back: put aside until the order's site has marked it, and in the wallet only then.
    fn check_refunds(&self, books: &mut Books) -> Checked {
        books.put_aside.retain(|_, balance| *balance != 0);
        if books.put_aside != books.approved {
            return Err(format!(
                "put aside for orders are {:?} by the books, and {:?} were approved",
                books.put_aside, books.approved
            ));
        }
        let credited = books
            .refunds
            .iter()
            .filter(|refund| refund.state == refunds::State::Credited);
        let sum: i64 = credited.clone().map(|refund| refund.amount.0).sum();
        let approved: i64 = books.approved.values().sum();
        let adjusted: i64 = books.adjusted.values().sum();
        if books.given_back != sum + approved + adjusted {
            return Err(format!(
                "{} were given back by the books, {sum} and {approved} by refunds, {adjusted} by adjustments",
                books.given_back
            ));
        }
        for refund in credited {
            let here = self.sites.iter().find(|site| site.world.site == refund.site);
            let row = here.and_then(|site| site.copy.rows.order(&refund.order));
            let is_marked = row.is_some_and(|row| row.refund_marks.contains(&refund.id));
            // What was marked on a branch that does not live is marked anew.
            if is_marked != refund.marked || (!is_marked && !self.purses.has_lost) {
                return Err(format!(
                    "{refund:?} is in the wallet, and marked in the order's row: {is_marked}"
                ));
            }
        }
        Ok(())
    }

    /// At the end: each order's row has the refunds that head office has as marked, and no other; and where more was given back than the
    /// bill in force says, people are told.
    pub(super) fn check_marks(&self, told: &BTreeSet<OrderId>) -> Checked {
        let books = self.office.read(books)?;
        for here in &self.sites {
            for order in here.copy.rows.orders() {
                let of = |refund: &&Refund| refund.site == here.world.site && refund.order == order.id && refund.marked;
                let mut marked: Vec<&str> = books
                    .refunds
                    .iter()
                    .filter(of)
                    .map(|refund| refund.id.as_str())
                    .collect();
                let mut in_row: Vec<&str> = order.refund_marks.iter().map(String::as_str).collect();
                marked.sort_unstable();
                in_row.sort_unstable();
                if marked != in_row {
                    return Err(format!(
                        "order {} has the marks {in_row:?}, and head office {marked:?}",
                        order.id
                    ));
                }
                let fee = order.bill().map_or(Fen::ZERO, |bill| bill.fee());
                let beyond = !in_row.is_empty() && order.paid.refunded > fee;
                if beyond && !told.contains(&order.id) {
                    return Err(format!(
                        "for order {} more was given back than it cost, and nobody is told",
                        order.id
                    ));
                }
            }
        }
        Ok(())
    }

    /// Of each member: what is in the wallet, on the road, was moved to sites, and below zero what a restore has paid and what is owed to
    /// head office.
    fn sums(&self, books: &Books) -> Vec<(MemberId, [i64; 5])> {
        let of = |member: &MemberId| {
            let end = format!(":{member}");
            let sum = |sheet: &BTreeMap<String, i64>| -> i64 {
                let mine = sheet.iter().filter(|(name, _)| name.ends_with(&end));
                mine.map(|(_, balance)| balance).sum()
            };
            let moved = |site: &Site| site.copy.leased.get(member).copied().unwrap_or(0);
            let there = self.sites.iter().map(moved).sum();
            [
                sum(&books.wallets),
                sum(&books.transit),
                there,
                sum(&books.restore),
                books.debts.get(&ledger::debt(member)).copied().unwrap_or(0),
            ]
        };
        let all = TRAVELLERS.into_iter().map(traveller);
        all.map(|member| (member.clone(), of(&member))).collect()
    }

    /// A site went on with another branch, which knows nothing of what went back by the entries after this one of the branch before:
    /// it is in the wallet and at the site, and a restore has paid. No more than that.
    pub(super) fn comes_back_twice(&mut self, before: &Mirror, left: u64) -> Checked {
        let books = self.office.read(books)?;
        for (member, sum) in self.sums(&books) {
            let paid_in = self.purses.paid_in.get(&member).copied().unwrap_or(0);
            let known = self.purses.twice.get(&member).copied().unwrap_or(0);
            let from_office = given_back(&books, &member) + adjusted(&books, &member);
            let more = sum.iter().sum::<i64>() - paid_in - known - from_office;
            let after = before.moved.iter().filter(|(seq, of, _)| *seq > left && *of == member);
            let went_back: i64 = after.map(|(_, _, moved)| (-moved).max(0)).sum();
            if more > went_back {
                return Err(format!(
                    "{member} has {more} more by the branch that lives, and {went_back} went back by the other"
                ));
            }
            *self.purses.by_forks.entry(member.clone()).or_default() += went_back;
            self.purses.twice.insert(member, known + more);
        }
        self.check_money()
    }

    /// A site went on with another branch: what members had on the one before after this entry, and have not where the two part, nor on
    /// the road again, is named with its amount (rule 8), and nothing else is.
    pub(super) fn check_above_fork(
        &mut self,
        site: usize,
        before: &Mirror,
        left: u64,
        has: &BTreeMap<MemberId, i64>,
    ) -> Checked {
        let (id, seq) = (self.sites[site].world.site.clone(), before.head.seq);
        let filter = Filter {
            class: Some(Class::AboveFork),
            site: Some(id.clone()),
            ..Filter::default()
        };
        let found = self.office.read(move |tx| findings::list(tx, &filter, None, 10_000))?;
        let newest = found.iter().filter(|found| found.finding.seq == seq);
        let newest = newest.max_by_key(|found| found.found_at);
        let mut named = newest.map_or_else(BTreeMap::new, |found| above_fork(&found.finding.detail));
        named.retain(|member, _| TRAVELLERS.contains(&member.as_str()));
        (0..named.len()).for_each(|_| self.races.note(Race::AboveFork));
        // What is on the road again is only what the database of today knows; and of a branch that was left before, what was named then is
        // not named again.
        if !self.purses.forgotten.is_empty() || !self.purses.sites_left.insert(id.clone()) {
            return Ok(());
        }
        let mut lost: BTreeMap<MemberId, i64> = in_all(&before.rows);
        for (member, amount) in has {
            *lost.entry(member.clone()).or_default() -= amount;
        }
        for (_, member, moved) in before.moved.iter().filter(|(seq, _, moved)| *seq > left && *moved > 0) {
            *lost.entry(member.clone()).or_default() -= moved;
        }
        lost.retain(|_, amount| *amount > 0);
        match named == lost {
            true => Ok(()),
            false => Err(format!(
                "above entry {left} of {id} members had {lost:?}, and {named:?} are named"
            )),
        }
    }

    /// Whether nothing is on the road, and nobody has anything to say.
    pub(super) fn is_settled(&self) -> Result<bool, String> {
        self.office.read(|tx| {
            Ok(directives::sites_waiting(tx)?.is_empty()
                && issues::on_road(tx, 1)?.is_empty()
                && identity::frozen(tx)?.is_none())
        })
    }

    /// What keeps head office from being settled, for people.
    pub(super) fn what_waits(&self) -> Result<String, String> {
        self.office.read(|tx| {
            Ok(format!(
                "directives wait for {:?}, on the road are {:?}, wallets are frozen: {:?}",
                directives::sites_waiting(tx)?
                    .iter()
                    .map(|site| directives::of_site(tx, site, Some("waiting"), 3))
                    .collect::<Result<Vec<_>, _>>()?,
                issues::on_road(tx, 5)?,
                identity::frozen(tx)?
            ))
        })
    }

    /// At the end: what was paid in through the channel is booked against it, and no more is lost than can be (rule 21): for each
    /// order what was delivered beyond its limit, less the margin; what was charged that nobody had reserved money for; what a
    /// record says above an estimate; what was journaled after head office's last entry on a disk that is lost; and what restores
    /// have paid.
    pub(super) fn check_what_is_lost(&mut self) -> Checked {
        let (clearing, restore) = self.office.read(|tx| {
            let restore: i64 = ledger::of_kind(tx, "restore")?.values().sum();
            Ok((ledger::balance(tx, &format!("clearing:{CHANNEL}"))?, restore))
        })?;
        let paid_in: i64 = self.purses.paid_in.values().sum();
        if clearing.0 != -paid_in {
            return Err(format!(
                "members paid in {paid_in} through the channel, and its account has {clearing}"
            ));
        }
        for site in &self.sites {
            for (lost, bound) in [site.world.oracle.lost()?, site.lost_with_disks(self.purses.has_lost)?] {
                self.races.lost += lost;
                self.races.bound += bound;
            }
        }
        self.races.lost += restore.abs();
        self.races.bound += TRAVELLERS
            .into_iter()
            .map(|who| self.purses.restored_most(&traveller(who)))
            .sum::<i64>();
        self.office.read(restores_pay_last)?.map_or(Ok(()), Err)
    }
}

/// What has arrived of a forgotten cause comes out of the wallet first, and a restore pays what that has not (rule 4): movement by
/// movement the wallet is empty by then. What is wrong, if something is.
fn restores_pay_last(tx: &mut dyn Tx) -> Result<Option<String>, StoreError> {
    let rows = tx.query(
        "SELECT debit, credit, amount, member, id FROM transfer WHERE debit LIKE 'wallet:%' OR credit LIKE 'wallet:%' \
         OR debit LIKE 'restore:%:%' ORDER BY rowid",
        &[],
    )?;
    let mut wallets: BTreeMap<String, i64> = BTreeMap::new();
    for mut row in rows {
        let (debit, credit, amount) = (row.text(0)?, row.text(1)?, row.int(2)?);
        if debit.starts_with("restore:") {
            let wallet = format!("wallet:{}", row.text(3)?);
            let has = wallets.get(&wallet).copied().unwrap_or(0);
            if has > 0 && !credit.starts_with("wallet:") && debit.ends_with(&wallet["wallet".len()..]) {
                let id = row.text(4)?;
                return Ok(Some(format!("{id}: a restore paid {amount}, and {wallet} had {has}")));
            }
        }
        for (name, by) in [(debit, -amount), (credit, amount)] {
            if name.starts_with("wallet:") {
                *wallets.entry(name).or_default() += by;
            }
        }
    }
    Ok(None)
}

/// What each traveller has at a site in all: what is free and held there, less what is owed.
pub(super) fn in_all(rows: &Rows) -> BTreeMap<MemberId, i64> {
    let mut has = BTreeMap::new();
    for member in TRAVELLERS.into_iter().map(traveller) {
        let held: i64 = rows
            .orders()
            .filter(|order| order.member == member)
            .map(|order| rows.ledger.balance(&Account::Held(order.id.clone())).0)
            .sum();
        let in_all = rows.ledger.allowance(&member).0 + held - rows.ledger.debt(&member).0;
        has.insert(member, in_all);
    }
    has
}

/// Whom a finding about what was above a fork names, and with how much.
pub(super) fn above_fork(detail: &str) -> BTreeMap<MemberId, i64> {
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    let named = detail["members"].as_array().cloned().unwrap_or_default();
    let named = named.iter().filter_map(|one| {
        let member = one["member"].as_str()?.parse().ok()?;
        let amount: Fen = serde_json::from_value(one["amount"].clone()).ok()?;
        Some((member, amount.0))
    });
    named.collect()
}
