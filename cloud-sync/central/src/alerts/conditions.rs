//! From what is known of sites and of this process to what people must look at: rules without I/O or clock.

use crate::store::{
    alerts::{Alert, Kind},
    forgotten::Forgotten,
    queries::{payments::OnRoadLong, sites::SiteRow},
};
use domain::time::Wall;
use protocol::frame::State;
use std::collections::{BTreeMap, BTreeSet};

const DAY_MS: i64 = 86_400_000;
/// So far the clocks of two processes of head office may differ, in milliseconds: each signs its own time to its sites.
const CLOCKS_DIFFER_MS: i64 = 60_000;
/// What an alert is about that is about no site and no process.
pub const HEAD_OFFICE: &str = "head office";

/// From where on something must be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// A site is silent that was not heard for so long, in milliseconds.
    pub silent_after_ms: i64,
    /// Entries wait for too long after so long, in milliseconds.
    pub backlog_after_ms: i64,
    /// Money is on the road for long after so long, in milliseconds.
    pub on_road_after_ms: i64,
    /// A certificate ends soon that ends in fewer days.
    pub certificate_days: i64,
    /// The disk is nearly full with fewer free bytes.
    pub disk_free: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            silent_after_ms: 15 * 60_000,
            backlog_after_ms: 60 * 60_000,
            on_road_after_ms: 60 * 60_000,
            certificate_days: 30,
            disk_free: 1 << 30,
        }
    }
}

/// What this process knows of itself and its machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Here {
    /// Its name among those that share the database.
    pub process: String,
    /// Since when it can hear of sites: from its start, or since the database is back.
    pub up_since: Wall,
    /// When the certificate ends that it shows; none where it shows none.
    pub certificate_until: Option<Wall>,
    /// What is free on its disk, in bytes; none where that cannot be found out.
    pub disk_free: Option<u64>,
    /// The folder on that disk.
    pub folder: String,
    /// What cannot be dealt with in the folder for bills, if there is such.
    pub bills_stuck: Option<String>,
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// All sites.
    pub sites: Vec<SiteRow>,
    /// Sites whose balance sheet was not what their books are here when they were compared last.
    pub differ: BTreeSet<String>,
    /// Sites with findings RATING of the last day, and how many.
    pub rated: BTreeMap<String, u64>,
    /// What sites know of head office and its database does not, and people have not been told by `restored`.
    pub forgotten: Vec<Forgotten>,
    /// Why a failover of the database would lose something, if it would.
    pub standbys: Option<String>,
    /// Sites to which money is on the road for long.
    pub on_road: Vec<OnRoadLong>,
    /// Up to when sites have closed vouchers.
    pub vouchers_closed: BTreeMap<String, Wall>,
    /// Why nothing leaves any wallet, if that is so.
    pub frozen: Option<String>,
    /// Scopes of which days are not reconciled, as control totals do not close: `channel:` and a name, `payouts:`, `site:`.
    pub unclosed: Vec<String>,
    /// This process.
    pub here: Here,
}

/// What is the matter: of which kind and with what, and in words what it is and what to do.
pub type Conditions = BTreeMap<(Kind, String), String>;

/// Everything that is the matter at this moment. What is open already ends where it is clearly over, so that a value at its
/// threshold does not tell people each minute.
pub fn hold(known: &Known, thresholds: &Thresholds, open: &[Alert], now: Wall) -> Conditions {
    let is_open = |kind: Kind, subject: &str| open.iter().any(|one| one.kind == kind && one.subject == subject);
    let mut conditions = Conditions::new();
    // Whoever was shut out is meant to be silent.
    for site in known.sites.iter().filter(|site| site.revoked_at.is_none()) {
        let mut add = |kind: Kind, words: Option<String>| {
            if let Some(words) = words {
                conditions.insert((kind, site.id.clone()), words);
            }
        };
        let was_silent = is_open(Kind::SiteSilent, &site.id);
        add(
            Kind::SiteSilent,
            silent(site, was_silent, known.here.up_since, thresholds, now),
        );
        add(Kind::BacklogOld, backlog(site, thresholds, now));
        for (kind, words) in stands_still(site).into_iter().chain(of_line(site)) {
            add(kind, Some(words));
        }
        add(
            Kind::SiteCertificate,
            site.certificate_until.and_then(|until| {
                let way_out = format!(
                    "look why it is not renewed, or write an invitation: `holdfast-central site enrol {}`",
                    site.id
                );
                ends_soon(until, thresholds, now)
                    .map(|when| format!("site {}: its certificate {when}; {way_out}", site.id))
            }),
        );
        add(
            Kind::VouchersClosedAhead,
            known.vouchers_closed.get(&site.id).and_then(|until| {
                (until.ms_since(now) > CLOCKS_DIFFER_MS).then(|| {
                    format!(
                        "site {}: it has closed vouchers up to {until}, and by this clock it is {now}. Head office has signed a time \
                         that was too late, or this clock is slow: set it right. Until then no voucher is handed out that ends before",
                        site.id
                    )
                })
            }),
        );
        add(
            Kind::Books,
            known.differ.contains(&site.id).then(|| {
                format!(
                    "site {0}: its balance sheet is not what its books are here. The finding BOOKS names the accounts; look at \
                     them, and compare again with `holdfast-central ledger check {0}`",
                    site.id
                )
            }),
        );
        add(
            Kind::Rating,
            known.rated.get(&site.id).map(|count| {
                format!(
                    "site {}: {count} bills of the last day are others when they are rated again. The site's bills stand; the \
                     findings RATING name the orders",
                    site.id
                )
            }),
        );
    }
    // To a site that was shut out or closed as well: its money comes back only when somebody sees to it.
    for on_road in &known.on_road {
        conditions.insert((Kind::OnRoadLong, on_road.site.clone()), on_road_words(on_road));
    }
    if let Some(why) = &known.frozen {
        let words = format!(
            "wallets are frozen: {why}. Nobody starts an order through head office, and no debt is paid, until an administrator lets \
             them go: PUT /v1/head-office/wallets without a reason, once every site has reported"
        );
        conditions.insert((Kind::WalletsFrozen, HEAD_OFFICE.to_owned()), words);
    }
    for scope in &known.unclosed {
        let name = scope.replacen(':', " ", 1);
        let words = format!(
            "{name}: its control totals do not close, so its days are not reconciled any further. Rows were changed by other \
             means than this program; the log names the day and the total. What was found before stands, and it is tried again each \
             five minutes"
        );
        conditions.insert((Kind::TotalsDoNotClose, scope.clone()), words);
    }
    if let Some(words) = &known.standbys {
        conditions.insert((Kind::StandbyAsynchronous, HEAD_OFFICE.to_owned()), words.clone());
    }
    if let Some(words) = was_restored(&known.forgotten) {
        conditions.insert((Kind::Restored, HEAD_OFFICE.to_owned()), words);
    }
    let Here { process, folder, .. } = &known.here;
    if let Some(when) = known
        .here
        .certificate_until
        .and_then(|until| ends_soon(until, thresholds, now))
    {
        let words = format!(
            "the certificate that {process} shows {when}: sites and callers stay away then; put a new one in its place"
        );
        conditions.insert((Kind::Certificate, process.clone()), words);
    }
    if let Some(words) = &known.here.bills_stuck {
        conditions.insert((Kind::BillsStuck, process.clone()), words.clone());
    }
    let was_full = is_open(Kind::Disk, process);
    let is_full = match known.here.disk_free {
        // As long as nobody knows, it is as it was.
        None => was_full,
        Some(free) => {
            free < thresholds.disk_free
                || was_full && free < thresholds.disk_free.saturating_add(thresholds.disk_free / 10)
        }
    };
    if is_full {
        let free = known.here.disk_free.unwrap_or(0) >> 20;
        let words = format!(
            "{free} MiB are free in {folder} of {process}: when it is full, no journal is taken any more; make room"
        );
        conditions.insert((Kind::Disk, process.clone()), words);
    }
    conditions
}

/// Whatever was forgotten, the way out is one for the whole head office.
pub(crate) fn was_restored(forgotten: &[Forgotten]) -> Option<String> {
    let first = forgotten.first()?;
    let others = match forgotten.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more sites say the like"),
    };
    let place = first
        .acknowledged
        .map_or_else(|| "nothing".to_owned(), |place| place.to_string());
    let life = first
        .hq_epoch
        .map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
    Some(format!(
        "head office's database has forgotten something: site {} says that its journal was acknowledged up to {place} by head \
         office's life {life}, and one of them, or a directive that it has taken, is not known here{others}. Was the database restored from a copy, or did a failover \
         lose its end? Nothing is acknowledged to these sites until somebody says so: stop the daemon (all of them, where several \
         share the database), say `holdfast-central restored --reason …`, and start it again",
        first.site
    ))
}

fn on_road_words(of: &OnRoadLong) -> String {
    let OnRoadLong {
        site,
        count,
        rest,
        since,
    } = of;
    let (issues, are) = match count {
        1 => ("1 issue".to_owned(), "is"),
        many => (format!("{many} issues"), "are"),
    };
    format!(
        "site {site}: {rest} yuan of members' money, {issues}, {are} on the road to it, the oldest since {since} (a voucher counts from its \
         end). It is free when the site's journal says what became of it: look at its line, and GET /v1/on-road"
    )
}

/// While head office itself could not hear, nobody was silent; what was silent before stays so until it is heard.
fn silent(site: &SiteRow, was_silent: bool, up_since: Wall, thresholds: &Thresholds, now: Wall) -> Option<String> {
    let heard_at = site.heard_at?;
    let since = if was_silent { heard_at } else { heard_at.max(up_since) };
    (now.ms_since(since) >= thresholds.silent_after_ms).then(|| {
        format!(
            "site {}: not heard since {heard_at}. It goes on charging, and what it journals comes when its line is back; look at \
             the line, the box and `holdfast-sync status` there",
            site.id
        )
    })
}

fn backlog(site: &SiteRow, thresholds: &Thresholds, now: Wall) -> Option<String> {
    let since = site.waiting_since()?;
    (now.ms_since(since) >= thresholds.backlog_after_ms).then(|| {
        format!(
            "site {}: {} entries of its journal are not here, the oldest of {since}; look at the line, and at `holdfast-sync \
             status` there",
            site.id,
            site.backlog()
        )
    })
}

fn stands_still(site: &SiteRow) -> Option<(Kind, String)> {
    let (kind, way_out) = match State::of_word(&site.state)? {
        State::Following => return None,
        State::Ahead => (
            Kind::Ahead,
            "upgrade head office: it does not know what the site's version journals",
        ),
        State::Broken => (
            Kind::Broken,
            "somebody must look at that entry; nothing after it is taken",
        ),
        State::Forked => (
            Kind::Forked,
            "two journals of this site are about, from a copy or a restore: find out which one lives",
        ),
    };
    let why = site.trouble.as_deref().unwrap_or("without a reason");
    Some((
        kind,
        format!(
            "site {}: its journal is not followed ({}: {why}); {way_out}",
            site.id, site.state
        ),
    ))
}

/// What keeps everything that a site says from being taken, by what it says of itself.
pub(crate) fn of_line(site: &SiteRow) -> Option<(Kind, String)> {
    let id = &site.id;
    if let Some(theirs) = site.other_protocol() {
        let ours = protocol::VERSION;
        let words = format!(
            "site {id}: it speaks version {theirs} of the line, and head office {ours}: it is not answered, and nothing of it is \
             taken. Upgrade the older of the two"
        );
        return Some((Kind::ProtocolVersion, words));
    }
    let key = site.unknown_key()?;
    let counts = site
        .key
        .map_or_else(|| "none is known".to_owned(), |key| format!("{key} counts"));
    let words = format!(
        "site {id}: it signs with the key {key}, and {counts}: its batches are refused. If that box is to go on with the site \
         (its disk was replaced, and `sync/edge.key` did not come with the copy), enrol it anew: `holdfast-central site enrol \
         {id}`. If not, find out whose it is: `holdfast-central site revoke {id}`"
    );
    Some((Kind::KeyUnknown, words))
}

fn ends_soon(until: Wall, thresholds: &Thresholds, now: Wall) -> Option<String> {
    let left = until.ms_since(now);
    match left {
        ..0 => Some(format!("ended at {until}")),
        left if left < thresholds.certificate_days.saturating_mul(DAY_MS) => {
            Some(format!("ends at {until}, in {} days", left / DAY_MS))
        }
        _ => None,
    }
}

/// What has to change: conditions that begin, and alerts that are over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// They begin.
    pub begin: Conditions,
    /// They are over.
    pub end: Vec<Alert>,
}

impl Changes {
    /// Between what is open and what holds. Of other processes nothing is known here, so what is open about them stays.
    pub fn between(open: &[Alert], mut hold: Conditions, process: &str) -> Self {
        let mut end = Vec::new();
        for alert in open {
            let is_known_here = !alert.kind.is_of_a_process() || alert.subject == process;
            let holds = hold.remove(&(alert.kind, alert.subject.clone())).is_some();
            if !holds && is_known_here {
                end.push(alert.clone());
            }
        }
        Self { begin: hold, end }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.begin.is_empty() && self.end.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::queries::sites::Said;
    use domain::journal::{Hash, Head};
    use protocol::key::PublicKey;

    const NOW: Wall = Wall(1_773_115_200_000);
    const MINUTE: i64 = 60_000;

    fn site(id: &str) -> SiteRow {
        SiteRow {
            id: id.to_owned(),
            number: 1,
            name: String::new(),
            state: "following".to_owned(),
            trouble: None,
            branch: 0,
            seq: 10,
            hash: vec![0; 32],
            day: None,
            said: None,
            heard_at: Some(NOW),
            revoked_at: None,
            certificate_until: Some(NOW.after_ms(365 * DAY_MS)),
            key: None,
        }
    }

    fn known(sites: Vec<SiteRow>) -> Known {
        Known {
            sites,
            here: Here {
                process: "p1".to_owned(),
                disk_free: Some(1 << 40),
                ..Here::default()
            },
            ..Known::default()
        }
    }

    fn kinds(known: &Known, open: &[Alert]) -> Vec<(Kind, String)> {
        hold(known, &Thresholds::default(), open, NOW).into_keys().collect()
    }

    fn one(kind: Kind, subject: &str) -> Vec<(Kind, String)> {
        vec![(kind, subject.to_owned())]
    }

    fn opened(kind: Kind, subject: &str) -> Alert {
        Alert {
            id: "a".to_owned(),
            kind,
            subject: subject.to_owned(),
            begun_at: Wall(0),
            ended_at: None,
            words: String::new(),
        }
    }

    #[test]
    fn a_site_is_silent_that_was_not_heard_while_head_office_could_hear() {
        let heard = |ms: i64| SiteRow {
            heard_at: Some(NOW.after_ms(-ms)),
            ..site("s1")
        };
        assert_eq!(kinds(&known(vec![heard(15 * MINUTE - 1)]), &[]), []);
        assert_eq!(
            kinds(&known(vec![heard(15 * MINUTE)]), &[]),
            one(Kind::SiteSilent, "s1")
        );
        let never = SiteRow {
            heard_at: None,
            ..site("s1")
        };
        assert_eq!(kinds(&known(vec![never]), &[]), [], "it has not come in yet");
        let shut_out = SiteRow {
            revoked_at: Some(NOW),
            ..heard(DAY_MS)
        };
        assert_eq!(kinds(&known(vec![shut_out]), &[]), []);
        // Head office has just come up: nobody was silent, but who was before.
        let mut just_up = known(vec![heard(DAY_MS)]);
        just_up.here.up_since = NOW.after_ms(-MINUTE);
        assert_eq!(kinds(&just_up, &[]), []);
        assert_eq!(
            kinds(&just_up, &[opened(Kind::SiteSilent, "s1")]),
            one(Kind::SiteSilent, "s1")
        );
        just_up.here.up_since = NOW.after_ms(-15 * MINUTE);
        assert_eq!(kinds(&just_up, &[]), one(Kind::SiteSilent, "s1"));
    }

    #[test]
    fn a_backlog_is_old_by_its_oldest_entry_and_only_while_there_is_one() {
        let waits = |seq: u64, ms: i64| SiteRow {
            said: Some(Said {
                head: Some(Head {
                    seq,
                    hash: Hash::GENESIS,
                }),
                waiting_since: Some(NOW.after_ms(-ms)),
                ..Said::default()
            }),
            ..site("s1")
        };
        assert_eq!(
            kinds(&known(vec![waits(11, 60 * MINUTE)]), &[]),
            one(Kind::BacklogOld, "s1")
        );
        assert_eq!(kinds(&known(vec![waits(11, 60 * MINUTE - 1)]), &[]), []);
        assert_eq!(kinds(&known(vec![waits(10, DAY_MS)]), &[]), [], "all of it is here");
    }

    #[test]
    fn a_journal_that_stands_still_is_told_with_why() {
        for (state, kind) in [
            ("ahead", Kind::Ahead),
            ("broken", Kind::Broken),
            ("forked", Kind::Forked),
        ] {
            let stands = SiteRow {
                state: state.to_owned(),
                trouble: Some("entry 11 says so".to_owned()),
                ..site("s1")
            };
            let held = hold(&known(vec![stands]), &Thresholds::default(), &[], NOW);
            let words = &held[&(kind, "s1".to_owned())];
            assert!(words.contains("entry 11 says so"), "{words}");
            assert_eq!(held.len(), 1);
        }
    }

    #[test]
    fn a_site_whose_key_does_not_count_or_that_speaks_another_version_is_told() {
        let [old, new] = [1, 2].map(|n| PublicKey([n; 32]));
        let says = |key: Option<PublicKey>, protocol: u32| SiteRow {
            key: Some(new),
            said: Some(Said {
                key,
                protocol: Some(protocol),
                ..Said::default()
            }),
            ..site("s1")
        };
        let version = protocol::VERSION;
        assert_eq!(kinds(&known(vec![says(Some(new), version)]), &[]), []);
        assert_eq!(kinds(&known(vec![says(None, version)]), &[]), [], "it does not say");
        let unknown = says(Some(old), version);
        let (_, words) = of_line(&unknown).unwrap();
        assert!(
            words.contains(&old.to_string()) && words.contains("site enrol s1"),
            "{words}"
        );
        assert_eq!(kinds(&known(vec![unknown]), &[]), one(Kind::KeyUnknown, "s1"));
        let newer = says(Some(new), version + 1);
        assert_eq!(kinds(&known(vec![newer]), &[]), one(Kind::ProtocolVersion, "s1"));
    }

    #[test]
    fn certificates_are_told_before_their_end_those_of_sites_and_the_own() {
        let mut some = known(vec![SiteRow {
            certificate_until: Some(NOW.after_ms(30 * DAY_MS - 1)),
            ..site("s1")
        }]);
        assert_eq!(kinds(&some, &[]), one(Kind::SiteCertificate, "s1"));
        some.sites[0].certificate_until = Some(NOW.after_ms(30 * DAY_MS));
        assert_eq!(kinds(&some, &[]), []);
        some.here.certificate_until = Some(NOW.after_ms(-1));
        assert_eq!(kinds(&some, &[]), one(Kind::Certificate, "p1"));
    }

    #[test]
    fn a_disk_at_its_threshold_is_told_once_and_one_that_cannot_be_seen_is_as_it_was() {
        let threshold = Thresholds::default().disk_free;
        let free = |bytes: Option<u64>| {
            let mut some = known(Vec::new());
            some.here.disk_free = bytes;
            some
        };
        let open = [opened(Kind::Disk, "p1")];
        assert_eq!(kinds(&free(Some(threshold)), &[]), []);
        assert_eq!(kinds(&free(Some(threshold - 1)), &[]), one(Kind::Disk, "p1"));
        assert_eq!(kinds(&free(Some(threshold)), &open), one(Kind::Disk, "p1"));
        assert_eq!(kinds(&free(Some(threshold + threshold / 10)), &open), []);
        assert_eq!(kinds(&free(None), &[]), []);
        assert_eq!(kinds(&free(None), &open), one(Kind::Disk, "p1"));
    }

    #[test]
    fn what_the_folder_for_bills_is_stuck_with_is_told_of_its_process() {
        let mut some = known(Vec::new());
        assert_eq!(kinds(&some, &[]), []);
        some.here.bills_stuck = Some("wechat/a was tried 5 times".to_owned());
        assert_eq!(kinds(&some, &[]), one(Kind::BillsStuck, "p1"));
    }

    #[test]
    fn a_scope_whose_control_totals_do_not_close_is_told_of() {
        for scope in ["channel:wechat", "payouts:wechat", "site:s1"] {
            let mut some = known(Vec::new());
            some.unclosed.push(scope.to_owned());
            assert_eq!(kinds(&some, &[]), one(Kind::TotalsDoNotClose, scope));
        }
    }

    #[test]
    fn differences_in_the_books_and_in_bills_are_told_of_their_site() {
        let mut some = known(vec![site("s1"), site("s2")]);
        some.differ.insert("s1".to_owned());
        some.rated.insert("s2".to_owned(), 3);
        let expected = [(Kind::Books, "s1".to_owned()), (Kind::Rating, "s2".to_owned())];
        assert_eq!(kinds(&some, &[]), expected);
    }

    #[test]
    fn a_site_whose_voucher_mark_lies_ahead_of_head_offices_clock_is_told_of() {
        let marked = |ms: i64| {
            let mut some = known(vec![site("s1"), site("s2")]);
            some.vouchers_closed.insert("s1".to_owned(), NOW.after_ms(ms));
            some.vouchers_closed.insert("s2".to_owned(), NOW.after_ms(-MINUTE));
            some
        };
        for ms in [-MINUTE, 0, MINUTE] {
            assert_eq!(kinds(&marked(ms), &[]), [], "{ms} ms ahead");
        }
        let ahead = marked(MINUTE + 1);
        assert_eq!(kinds(&ahead, &[]), one(Kind::VouchersClosedAhead, "s1"));
        let until = NOW.after_ms(MINUTE + 1).to_string();
        let words = hold(&ahead, &Thresholds::default(), &[], NOW)
            .into_values()
            .next()
            .unwrap();
        assert!(words.contains(&until) && words.contains(&NOW.to_string()), "{words}");
    }

    #[test]
    fn money_that_is_long_on_the_road_and_wallets_that_are_frozen_are_told_of() {
        let mut some = known(vec![SiteRow {
            revoked_at: Some(NOW),
            ..site("s1")
        }]);
        some.on_road.push(OnRoadLong {
            site: "s1".to_owned(),
            count: 2,
            rest: domain::units::Fen(1_250),
            since: NOW.after_ms(-61 * MINUTE),
        });
        some.frozen = Some("restored from a copy".to_owned());
        let found = hold(&some, &Thresholds::default(), &[], NOW);
        let on_road = &found[&(Kind::OnRoadLong, "s1".to_owned())];
        assert!(
            on_road.contains("12.50 yuan") && on_road.contains("2 issues, are"),
            "{on_road}"
        );
        let frozen = &found[&(Kind::WalletsFrozen, HEAD_OFFICE.to_owned())];
        assert!(frozen.contains("restored from a copy"), "{frozen}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_open_and_holds_stays_and_other_processes_are_left_alone() {
        let open = [
            opened(Kind::SiteSilent, "s1"),
            opened(Kind::Broken, "s2"),
            opened(Kind::Disk, "p2"),
            opened(Kind::Certificate, "p1"),
        ];
        let hold: Conditions = [(Kind::SiteSilent, "s1"), (Kind::Forked, "s2")]
            .map(|(kind, subject)| ((kind, subject.to_owned()), "words".to_owned()))
            .into();
        let changes = Changes::between(&open, hold, "p1");
        assert_eq!(changes.begin.into_keys().collect::<Vec<_>>(), one(Kind::Forked, "s2"));
        assert_eq!(changes.end, [open[1].clone(), open[3].clone()]);
    }
}
