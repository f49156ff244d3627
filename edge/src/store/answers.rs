//! Answers that are remembered, so that what is asked again gets the same answer and counts once. Each caller has a budget
//! of them: whoever asks much forgets their own answers and nobody else's. `docs/decisions/0024` says why, and what stays.

use super::{Reader, Store, StoreError, read::parse, tables, write::json};
use domain::{
    planted::{Bug, is_planted},
    time::Mono,
};
use redb::{ReadableTable, Table, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

/// How long an answer is remembered, in milliseconds of elapsed time.
const REMEMBER_MS: u64 = 86_400_000;
/// How many answers of a caller that says nothing more are forgotten in one commit, once they are old.
const FORGET_OF_OTHERS: usize = 64;

/// An answer that is given again when the same request comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// SHA-256 of what was asked, hex: the same key with another body is a conflict.
    pub body_hash: String,
    /// The HTTP status; 0 for a pile's message.
    pub status: u16,
    /// The answer's JSON text.
    pub body: String,
    /// When it was given.
    pub at: Mono,
}

/// An answer that is to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAnswer {
    /// The answer.
    pub answer: Remembered,
    /// It is about money ([`domain::site::Input::is_about_money`]), and stays until it is old.
    pub about_money: bool,
}

/// How many answers of one caller are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerBudget {
    /// The most about money. Each stays for 24 h; while there are as many, requests about money are refused.
    pub about_money_max: u64,
    /// The most of all others. Beyond that the caller's oldest is forgotten.
    pub others_max: u64,
}

impl Default for AnswerBudget {
    /// Money: more than one request a second, day and night, from one caller; a thousand connectors with an order an hour
    /// each make a quarter of it. Others: sixty times as many as a pile may have unacknowledged at once.
    fn default() -> Self {
        Self {
            about_money_max: 100_000,
            others_max: 4_096,
        }
    }
}

/// Whose budget is full.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FullBudgets {
    /// Names of callers whose next request about money is refused, in their order.
    pub about_money: Vec<String>,
    /// How many callers forget their oldest other answer with the next one.
    pub others: u64,
}

/// How many answers of a caller are remembered: as in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    about_money: u64,
    others: u64,
}

impl Counts {
    fn of(row: (u64, u64)) -> Self {
        Self {
            about_money: row.0,
            others: row.1,
        }
    }

    fn of_kind(&mut self, about_money: bool) -> &mut u64 {
        match about_money {
            true => &mut self.about_money,
            false => &mut self.others,
        }
    }

    fn one_less(&mut self, about_money: bool) {
        let count = self.of_kind(about_money);
        *count = count.saturating_sub(1);
    }
}

/// Whose answer it is, by its key: the first two lines of that, `http` or `pile` and a name.
pub(crate) fn caller_of(key: &str) -> &str {
    match key.match_indices('\n').nth(1) {
        Some((end, _)) => &key[..end],
        None => key,
    }
}

/// The answers of a caller about money, or all others, given from one moment on until before another, in the index.
fn given(caller: &str, about_money: bool, at: Range<u64>) -> Range<(&str, bool, u64, &str)> {
    (caller, about_money, at.start, "")..(caller, about_money, at.end, "")
}

/// An answer that was given before this is old.
fn oldest_kept(now: Mono) -> u64 {
    now.0.saturating_sub(REMEMBER_MS)
}

/// Writes answers, and forgets of each caller that has new ones what is old or beyond its budget: at most twice as many as
/// came, so that there are never more in the end and one commit stays small. Of one caller more what is old goes, in turn.
pub(super) fn remember(
    write: &WriteTransaction,
    answers: &[(String, NewAnswer)],
    now: Mono,
    budget: AnswerBudget,
) -> Result<(), StoreError> {
    if answers.is_empty() || is_planted(Bug::ForgetAnswers) {
        return Ok(());
    }
    let mut of_callers: BTreeMap<&str, Vec<&(String, NewAnswer)>> = BTreeMap::new();
    for answer in answers {
        of_callers.entry(caller_of(&answer.0)).or_default().push(answer);
    }
    let mut tables = Tables::of(write)?;
    for (caller, answers) in of_callers {
        let mut counts = tables.counts(caller)?;
        for (key, new) in &answers {
            tables.add(key, new, &mut counts)?;
        }
        let most = answers.len() * 2;
        tables.forget_old(caller, &mut counts, now, most)?;
        let excess = usize::try_from(counts.others.saturating_sub(budget.others_max)).unwrap_or(usize::MAX);
        tables.forget(caller, false, 0..u64::MAX, excess.min(most), &mut counts)?;
        tables.set_counts(caller, counts)?;
    }
    let mut meta = write.open_table(tables::META)?;
    let last = meta.get(tables::ANSWERS_LOOKED_AT)?;
    let last = last.map_or_else(String::new, |row| String::from_utf8_lossy(row.value()).into_owned());
    if let Some(next) = tables.caller_after(&last)? {
        let mut counts = tables.counts(&next)?;
        tables.forget_old(&next, &mut counts, now, FORGET_OF_OTHERS)?;
        tables.set_counts(&next, counts)?;
        meta.insert(tables::ANSWERS_LOOKED_AT, next.as_bytes())?;
    }
    Ok(())
}

/// The tables of answers, which say the same: each row has its place in the index, and each caller's are counted.
struct Tables<'a> {
    rows: Table<'a, &'static str, &'static [u8]>,
    by_caller: Table<'a, (&'static str, bool, u64, &'static str), ()>,
    counts: Table<'a, &'static str, (u64, u64)>,
}

impl<'a> Tables<'a> {
    fn of(write: &'a WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            rows: write.open_table(tables::IDEMPOTENCY)?,
            by_caller: write.open_table(tables::IDEMPOTENCY_BY_CALLER)?,
            counts: write.open_table(tables::IDEMPOTENCY_COUNTS)?,
        })
    }

    fn counts(&self, caller: &str) -> Result<Counts, StoreError> {
        let row = self.counts.get(caller)?;
        Ok(row.map_or_else(Counts::default, |row| Counts::of(row.value())))
    }

    /// A caller of whom nothing is remembered has no row.
    fn set_counts(&mut self, caller: &str, counts: Counts) -> Result<(), StoreError> {
        if counts == Counts::default() {
            self.counts.remove(caller)?;
        } else {
            self.counts.insert(caller, (counts.about_money, counts.others))?;
        }
        Ok(())
    }

    /// The caller that comes after this one by name, and the first after the last.
    fn caller_after(&self, last: &str) -> Result<Option<String>, StoreError> {
        let after = (Bound::Excluded(last), Bound::Unbounded);
        let mut next = self.counts.range::<&str>(after)?.chain(self.counts.iter()?);
        let next = next.next().transpose()?;
        Ok(next.map(|(caller, _)| caller.value().to_owned()))
    }

    fn add(&mut self, key: &str, new: &NewAnswer, counts: &mut Counts) -> Result<(), StoreError> {
        let NewAnswer { answer, about_money } = new;
        let caller = caller_of(key);
        let rest = &key[caller.len()..];
        let before = self.rows.insert(key, json(answer)?.as_slice())?;
        // One that had grown old and was not forgotten yet: its age must not take the new one along.
        let before: Option<Remembered> = before.and_then(|before| serde_json::from_slice(before.value()).ok());
        if let Some(before) = before {
            for about_money in [false, true] {
                if self
                    .by_caller
                    .remove((caller, about_money, before.at.0, rest))?
                    .is_some()
                {
                    counts.one_less(about_money);
                }
            }
        }
        self.by_caller.insert((caller, *about_money, answer.at.0, rest), ())?;
        *counts.of_kind(*about_money) += 1;
        Ok(())
    }

    /// Forgets what is old of a caller's answers, oldest first, at most so many of each kind.
    fn forget_old(&mut self, caller: &str, counts: &mut Counts, now: Mono, most: usize) -> Result<(), StoreError> {
        for about_money in [false, true] {
            self.forget(caller, about_money, 0..oldest_kept(now), most, counts)?;
        }
        Ok(())
    }

    /// Forgets a caller's oldest answers among those that were given in this time, at most so many.
    fn forget(
        &mut self,
        caller: &str,
        about_money: bool,
        at: Range<u64>,
        most: usize,
        counts: &mut Counts,
    ) -> Result<(), StoreError> {
        if most == 0 {
            return Ok(());
        }
        let mut gone: Vec<(u64, String)> = Vec::new();
        for entry in self.by_caller.range(given(caller, about_money, at))?.take(most) {
            let (key, _) = entry?;
            let (_, _, at, rest) = key.value();
            gone.push((at, rest.to_owned()));
        }
        for (at, rest) in gone {
            self.by_caller.remove((caller, about_money, at, rest.as_str()))?;
            self.rows.remove(format!("{caller}{rest}").as_str())?;
            counts.one_less(about_money);
        }
        Ok(())
    }
}

impl Reader {
    /// The answer that was given to this key within the last 24 h.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn remembered(&self, key: &str, now: Mono) -> Result<Option<Remembered>, StoreError> {
        let rows = self.read.open_table(tables::IDEMPOTENCY)?;
        let known: Option<Remembered> = rows
            .get(key)?
            .map(|row| parse("idempotency", &key, row.value()))
            .transpose()?;
        Ok(known.filter(|known| now.ms_since(known.at) <= REMEMBER_MS))
    }

    /// When there is room for one more answer of this kind in a caller's budget, if not now: `fresh` of the kind are in no
    /// snapshot yet. What is old takes no room, whether it is forgotten already or not.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub(crate) fn no_room_until(
        &self,
        caller: &str,
        about_money: bool,
        fresh: u64,
        most: u64,
        now: Mono,
    ) -> Result<Option<Mono>, StoreError> {
        let counts = self.read.open_table(tables::IDEMPOTENCY_COUNTS)?;
        let row = counts.get(caller)?;
        let mut counts = row.map_or_else(Counts::default, |row| Counts::of(row.value()));
        let held = counts.of_kind(about_money).saturating_add(fresh);
        if held < most {
            return Ok(None);
        }
        // As a rule it is one that must be old: what was remembered within the budget is at most as many as that.
        let mut must_be_old = held - most + 1;
        let by_caller = self.read.open_table(tables::IDEMPOTENCY_BY_CALLER)?;
        for entry in by_caller.range(given(caller, about_money, 0..u64::MAX))? {
            let key = entry?.0;
            let at = key.value().2;
            if at >= oldest_kept(now) {
                return Ok(Some(Mono(at + REMEMBER_MS + 1)));
            }
            must_be_old -= 1;
            if must_be_old == 0 {
                return Ok(None);
            }
        }
        Ok(Some(Mono(now.0 + REMEMBER_MS + 1)))
    }

    /// Whose budget is full.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn full_budgets(&self, budget: AnswerBudget, now: Mono) -> Result<FullBudgets, StoreError> {
        let counts = self.read.open_table(tables::IDEMPOTENCY_COUNTS)?;
        let mut full = FullBudgets::default();
        for row in counts.iter()? {
            let caller = row?.0;
            let caller = caller.value();
            let is_full = |about_money, most| {
                let until = self.no_room_until(caller, about_money, 0, most, now)?;
                Ok::<_, StoreError>(until.is_some())
            };
            if is_full(true, budget.about_money_max)? {
                let name = caller.split_once('\n').map_or(caller, |(_, name)| name);
                full.about_money.push(name.to_owned());
            }
            full.others += u64::from(is_full(false, budget.others_max)?);
        }
        Ok(full)
    }
}

impl Store {
    /// The same store with another budget for each caller: for tests, which reach a small one.
    #[must_use]
    pub fn with_answer_budget(mut self, budget: AnswerBudget) -> Self {
        self.answer_budget = budget;
        self
    }

    /// How many answers of one caller are remembered.
    pub fn answer_budget(&self) -> AnswerBudget {
        self.answer_budget
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use domain::ids::SiteId;
    use redb::{ReadableDatabase, ReadableTableMetadata, backends::InMemoryBackend};

    const HOUR: u64 = 3_600_000;
    const ROOMY: AnswerBudget = AnswerBudget {
        about_money_max: 5_000,
        others_max: 5_000,
    };

    fn store() -> Store {
        Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap()
    }

    fn answers(caller: &str, keys: Range<u64>, about_money: bool, at: Mono) -> Vec<(String, NewAnswer)> {
        let answer = |key: u64| Remembered {
            body_hash: key.to_string(),
            status: 0,
            body: at.0.to_string(),
            at,
        };
        let new = |key| NewAnswer {
            answer: answer(key),
            about_money,
        };
        keys.map(|key| (format!("{caller}\nk{key}"), new(key))).collect()
    }

    /// Commits these; returns how many rows there are, once what the other tables say has been compared with them.
    fn add(store: &Store, answers: &[(String, NewAnswer)], now: Mono, budget: AnswerBudget) -> u64 {
        let write = store.db.begin_write().unwrap();
        remember(&write, answers, now, budget).unwrap();
        write.commit().unwrap();
        agree(store)
    }

    /// Every row has its place in the index, and every caller's are counted. Returns how many there are.
    pub(in crate::store) fn agree(store: &Store) -> u64 {
        let read = store.db.begin_read().unwrap();
        let rows = read.open_table(tables::IDEMPOTENCY).unwrap();
        let mut counted: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let by_caller = read.open_table(tables::IDEMPOTENCY_BY_CALLER).unwrap();
        for entry in by_caller.iter().unwrap() {
            let key = entry.unwrap().0;
            let (caller, about_money, at, rest) = key.value();
            let row = rows.get(format!("{caller}{rest}").as_str()).unwrap().unwrap();
            let row: Remembered = serde_json::from_slice(row.value()).unwrap();
            assert_eq!(row.at, Mono(at));
            let counts = counted.entry(caller.to_owned()).or_default();
            *if about_money { &mut counts.0 } else { &mut counts.1 } += 1;
        }
        assert_eq!(rows.len().unwrap(), by_caller.len().unwrap());
        let counts = read.open_table(tables::IDEMPOTENCY_COUNTS).unwrap();
        let counts = counts.iter().unwrap().map(|row| {
            let (caller, counts) = row.unwrap();
            (caller.value().to_owned(), counts.value())
        });
        assert_eq!(counts.collect::<BTreeMap<_, _>>(), counted);
        rows.len().unwrap()
    }

    fn knows(store: &Store, caller: &str, key: u64, now: Mono) -> bool {
        let known = store.reader().unwrap().remembered(&format!("{caller}\nk{key}"), now);
        known.unwrap().is_some()
    }

    #[test]
    fn a_key_begins_with_its_caller() {
        let keys = [
            "http\ndesk\nPOST /v1/orders\nk",
            "pile\nP1\nb1\nm1",
            "pile\nP1\nb1\nm1\nhash",
            "odd",
        ];
        assert_eq!(keys.map(caller_of), ["http\ndesk", "pile\nP1", "pile\nP1", "odd"]);
    }

    #[test]
    fn whoever_floods_forgets_their_own_oldest_answers_and_nobody_elses() {
        let store = store();
        let budget = AnswerBudget {
            about_money_max: 10,
            others_max: 10,
        };
        let (flooding, quiet) = ("pile\nP1", "pile\nP10");
        add(&store, &answers(quiet, 0..10, false, Mono(1)), Mono(1), budget);
        add(&store, &answers(flooding, 0..10, false, Mono(2)), Mono(2), budget);
        for n in 1..=100 {
            let (from, now) = (n * 10, Mono(2 + n));
            add(&store, &answers(flooding, from..from + 10, false, now), now, budget);
        }
        let now = Mono(200);
        assert!((0..10).all(|key| knows(&store, quiet, key, now)));
        assert!((0..1_000).all(|key| !knows(&store, flooding, key, now)));
        assert!((1_000..1_010).all(|key| knows(&store, flooding, key, now)));
        assert_eq!(agree(&store), 20);
    }

    #[test]
    fn answers_about_money_stay_their_day_whatever_else_the_caller_asks() {
        let store = store();
        let budget = AnswerBudget {
            about_money_max: 10,
            others_max: 10,
        };
        add(&store, &answers("http\ndesk", 0..10, true, Mono(0)), Mono(0), budget);
        for n in 1..100 {
            add(
                &store,
                &answers("http\ndesk", n * 10..n * 10 + 10, false, Mono(n)),
                Mono(n),
                budget,
            );
        }
        let until = Mono(REMEMBER_MS);
        assert!((0..10).all(|key| knows(&store, "http\ndesk", key, until)));
        let room = |fresh, now| {
            let reader = store.reader().unwrap();
            reader.no_room_until("http\ndesk", true, fresh, 10, now).unwrap()
        };
        let day_over = Mono(REMEMBER_MS + 1);
        assert_eq!((room(0, until), room(0, day_over)), (Some(day_over), None));
        // Ten are old and as many may come; the eleventh of one commit has no room.
        assert_eq!(
            (room(9, day_over), room(10, day_over)),
            (None, Some(Mono(2 * REMEMBER_MS + 2)))
        );
        let reader = store.reader().unwrap();
        let mut full = FullBudgets {
            about_money: vec!["desk".to_owned()],
            others: 1,
        };
        assert_eq!(reader.full_budgets(budget, until).unwrap(), full);
        full.about_money.clear();
        assert_eq!(reader.full_budgets(budget, day_over).unwrap(), full);
    }

    #[test]
    fn old_answers_go_at_least_as_fast_as_new_ones_come() {
        let store = store();
        assert_eq!(
            add(&store, &answers("a\nb", 0..1_000, true, Mono(0)), Mono(0), ROOMY),
            1_000
        );
        let later = Mono(25 * HOUR);
        let more = |keys: Range<u64>| add(&store, &answers("a\nb", keys, true, later), later, ROOMY);
        assert_eq!(
            more(1_000..1_010),
            926,
            "ten came; twice as many go, and 64 more in turn"
        );
        assert_eq!(more(1_010..1_110), 762);
        assert_eq!(more(1_110..1_510), 510, "young ones stay");
    }

    #[test]
    fn the_old_answers_of_those_who_say_nothing_more_go_too() {
        let store = store();
        for caller in ["a\na", "a\nc", "a\nd"] {
            add(&store, &answers(caller, 0..100, false, Mono(0)), Mono(0), ROOMY);
        }
        let later = Mono(25 * HOUR);
        let mut rows = Vec::new();
        for n in 0..8 {
            rows.push(add(&store, &answers("a\nb", n..n + 1, false, later), later, ROOMY));
        }
        assert_eq!(*rows.last().unwrap(), 8, "{rows:?}");
    }

    #[test]
    fn an_answer_given_anew_is_kept_for_its_own_day() {
        let store = store();
        let of_b = |keys: Range<u64>, about_money, at| answers("a\nb", keys, about_money, at);
        add(&store, &of_b(0..200, true, Mono(0)), Mono(0), ROOMY);
        let later = Mono(25 * HOUR);
        let reader = store.reader().unwrap();
        assert_eq!(
            reader.remembered("a\nb\nk199", later).unwrap(),
            None,
            "a day has passed"
        );
        assert!(reader.remembered("a\nb\nk199", Mono(23 * HOUR)).unwrap().is_some());
        // It need not be of the same kind.
        assert_eq!(add(&store, &of_b(199..200, false, later), later, ROOMY), 134);
        for more in 300..310 {
            add(&store, &of_b(more..more + 1, true, later), later, ROOMY);
        }
        let known = store.reader().unwrap().remembered("a\nb\nk199", later).unwrap();
        assert_eq!(known.map(|known| known.at), Some(later));
    }
}
