//! The books of two stations and of head office at one moment, side by side: each account of a station has its mirror at head
//! office, and what head office has given to both is what its own accounts come to.

use crate::head_office::{Chain, Site};
use anyhow::{Context, ensure};
use domain::units::Fen;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use world::back_end::yuan;

/// Accounts by the names that they have in their books, credits less debits.
type Book = BTreeMap<String, Fen>;

/// What a member can spend at a station.
const ALLOWANCE: &str = "allowance";
/// A station's account with head office.
const HQ: &str = "hq";

/// Three books.
pub(crate) struct ThreeBooks {
    stations: [(&'static str, Book); 2],
    office: Book,
}

impl ThreeBooks {
    /// As the stations and head office show them now.
    pub(crate) async fn of(chain: &Chain) -> anyhow::Result<Self> {
        let mut office = Book::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/accounts?limit=200{cursor}");
            let page: Value = chain.office.get(&path).await?.read()?;
            for account in page["items"].as_array().context("no list of accounts")? {
                add(&mut office, account, "name")?;
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let (north, south) = (station(&chain.north).await?, station(&chain.south).await?);
        Ok(Self {
            stations: [(chain.north.id, north), (chain.south.id, south)],
            office,
        })
    }

    /// That each of them adds up to zero, and so all three.
    pub(crate) fn add_up(&self) -> anyhow::Result<()> {
        for (id, book) in &self.stations {
            ensure!(sum(book) == Fen::ZERO, "the books of {id} come to {}", sum(book));
        }
        let office = sum(&self.office);
        ensure!(office == Fen::ZERO, "the books of head office come to {office}");
        Ok(())
    }

    /// That each account of a station is the same at head office, and none is there beside them.
    pub(crate) fn fit(&self) -> anyhow::Result<()> {
        self.add_up()?;
        let mut given = Fen::ZERO;
        for (id, book) in &self.stations {
            let there = self.mirror(id);
            let names: BTreeSet<&String> = book.keys().chain(there.keys()).filter(|name| *name != HQ).collect();
            for name in names {
                let (ours, theirs) = (of(book, name), of(&there, name));
                ensure!(
                    ours == theirs,
                    "{name} of {id} is {ours} in its books, and {theirs} in head office's"
                );
            }
            given += of(book, HQ);
        }
        let own = sum(&self.own());
        ensure!(
            own == given,
            "head office's own accounts come to {own}, and the stations have {given} from it"
        );
        Ok(())
    }

    /// What a member has, wherever it is.
    pub(crate) fn of_member(&self, member: &str) -> Fen {
        let named = |book: &Book, name: String| of(book, &name);
        let mut has = named(&self.office, format!("wallet:{member}"));
        for (id, book) in &self.stations {
            has += named(&self.office, format!("transit:{id}:{member}"));
            has += named(book, format!("{ALLOWANCE}:{member}"));
        }
        has
    }

    /// What both stations have sold.
    pub(crate) fn sold(&self) -> Fen {
        let sales = |book: &Book| of(book, "sales:electricity") + of(book, "sales:service");
        self.stations.iter().map(|(_, book)| sales(book)).sum()
    }

    /// Where the money of wallets is, and that the three sums are zero.
    pub(crate) fn in_a_line(&self) -> String {
        let kind = |wanted: &str| -> Fen {
            let accounts = self.office.iter();
            accounts
                .filter(|(name, _)| kind_of(name) == wanted)
                .map(|(_, balance)| *balance)
                .sum()
        };
        let [north, south] = self.stations.each_ref().map(|(_, book)| -of(book, HQ));
        let sums = self.stations.each_ref().map(|(id, book)| format!("{id} {}", sum(book)));
        format!(
            "in wallets ¥{}, on the road ¥{}, gone to north ¥{north} and to south ¥{south}; the books add up: head office {}, {}",
            kind("wallet"),
            kind("transit"),
            sum(&self.office),
            sums.join(", ")
        )
    }

    /// The three balance sheets side by side.
    pub(crate) fn print(&self) {
        let [(north_id, north), (south_id, south)] = &self.stations;
        let (north, south) = (by_kind(north), by_kind(south));
        let mirrors = [north_id, south_id].map(|id| by_kind(&self.mirror(id)));
        let own = by_kind(&self.own());
        let columns = [&north, &south, &mirrors[0], &mirrors[1], &own];
        line(
            "",
            ["books of", "books of", "head office", "head office", "head office"].map(str::to_owned),
        );
        let heads = [
            north_id.to_string(),
            south_id.to_string(),
            format!("of {north_id}"),
            format!("of {south_id}"),
            "its own".to_owned(),
        ];
        line("credits less debits, yuan", heads);
        // First what stations have, then what they have from head office, then what is head office's own.
        let rank = |kind: &str| match columns.iter().position(|book| book.contains_key(kind)) {
            _ if kind == HQ => 1,
            Some(4) => 2,
            _ => 0,
        };
        let kinds: BTreeSet<(i32, &String)> = columns
            .iter()
            .flat_map(|book| book.keys())
            .map(|kind| (rank(kind), kind))
            .collect();
        for (_, kind) in kinds {
            let cells = columns.map(|book| book.get(kind).map(ToString::to_string).unwrap_or_default());
            line(called(kind), cells);
        }
        line("", std::array::from_fn(|_| "-".repeat(11)));
        line("together", columns.map(|book| sum(book).to_string()));
        let office = sum(&self.office);
        let all = sum(&north) + sum(&south) + office;
        println!(
            "       north {} + south {} + head office {office} = {all}",
            sum(&north),
            sum(&south)
        );
    }

    /// Head office's accounts of a station, by the names that they have there.
    fn mirror(&self, site: &str) -> Book {
        let mirrored = self.office.iter().filter_map(|(name, balance)| {
            let (kind, of) = name.split_once(':')?;
            let rest = of.strip_prefix(site)?;
            let name = match rest.strip_prefix(':') {
                // On the road is on neither side.
                _ if kind == "transit" => return None,
                Some(rest) => format!("{kind}:{rest}"),
                None if rest.is_empty() => kind.to_owned(),
                None => return None,
            };
            Some((name, *balance))
        });
        mirrored.filter(|(_, balance)| *balance != Fen::ZERO).collect()
    }

    /// Head office's accounts that are no station's: wallets, what is on the road, channels.
    fn own(&self) -> Book {
        let is_own = |name: &str| {
            let of_a_site = |id: &str| {
                let of = name.split_once(':').map(|(_, of)| of);
                of.and_then(|of| of.strip_prefix(id))
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            };
            kind_of(name) == "transit" || !self.stations.iter().any(|(id, _)| of_a_site(id))
        };
        let own = self.office.iter().filter(|(name, _)| is_own(name));
        own.map(|(name, balance)| (name.clone(), *balance)).collect()
    }
}

async fn station(site: &Site) -> anyhow::Result<Book> {
    let sheet = site.station.get("/v1/balance-sheet?detail=true").await?.success()?;
    let mut book = Book::new();
    for account in sheet["accounts"].as_array().context("the sheet lists no accounts")? {
        add(&mut book, account, "account")?;
    }
    Ok(book)
}

fn add(book: &mut Book, account: &Value, name: &str) -> anyhow::Result<()> {
    let named = account[name].as_str().context("an account without a name")?;
    book.insert(named.to_owned(), yuan(&account["balance"])?);
    Ok(())
}

fn of(book: &Book, name: &str) -> Fen {
    book.get(name).copied().unwrap_or(Fen::ZERO)
}

fn sum(book: &Book) -> Fen {
    book.values().copied().sum()
}

/// `sales:electricity` and `sales:service` are kinds of their own.
fn kind_of(name: &str) -> &str {
    match name.split_once(':') {
        Some(("sales", _)) => name,
        Some((kind, _)) => kind,
        None => name,
    }
}

fn by_kind(book: &Book) -> Book {
    let mut kinds = Book::new();
    for (name, balance) in book {
        *kinds.entry(kind_of(name).to_owned()).or_insert(Fen::ZERO) += *balance;
    }
    kinds
}

/// What people call an account.
fn called(kind: &str) -> &str {
    match kind {
        "allowance" => "members can spend there",
        "bank" => "taken to the bank",
        "cash" => "cash in the till",
        "cash_over" => "counted above the books",
        "clearing" => "due from the channel",
        "debt" => "members owe",
        "held" => "reserved for orders",
        "hq" => "from head office, net",
        "refund" => "given back",
        "sales:electricity" => "sold: electricity",
        "sales:service" => "sold: service",
        "transit" => "on the road",
        "wallet" => "wallets",
        other => other,
    }
}

fn line(what: &str, cells: [String; 5]) {
    let cells = cells.map(|cell| format!("{cell:>12}"));
    println!("       {what:26}{}", cells.join(""));
}
