//! A station that was restored from a copy goes on without what head office has beyond it: two journals of the site are about, until
//! people say which lives. It is the one that the station goes on with.

use super::{
    super::{HOUR, MINUTE, SECOND},
    Event, ThreeSites,
    books::in_all,
    copy::{Mirror, moved},
    coverage::Mishap,
    races::Race,
};
use books::{
    store::{Row, StoreError, Tx, branches, sites},
    upkeep::fork::accept,
};
use domain::{
    fact::WentOnAlone,
    ids::{MemberId, SiteId},
    journal::{Entry, Head},
    site::Changes,
};
use protocol::frame::State;
use std::collections::BTreeMap;

type Step = Result<(), String>;

impl ThreeSites {
    /// Now and then somebody does not wait for head office; nor where that follows another journal and hands nothing back. Nobody
    /// waits for a day: the copy may be of a journal that head office never saw.
    pub(super) fn may_go_alone(&mut self, site: usize) {
        let waits = match self.sites[site].is_forked || (!self.calm && self.rng.below(3) == 0) {
            true => self.between(SECOND, 40 * MINUTE),
            false => self.between(6 * HOUR, 24 * HOUR),
        };
        self.after(waits, Event::GoesAlone { site });
    }

    /// `holdfast-edge recover --alone`.
    pub(super) fn goes_alone(&mut self, site: usize) -> Step {
        let alone = WentOnAlone {
            reason: "the line is down for days".to_owned(),
            by: "wang".to_owned(),
        };
        let here = &mut self.sites[site];
        here.world.now = here.world.now.max(self.now);
        if here.over || (self.calm && !here.is_forked) || !here.world.go_on_alone(alone)? {
            return Ok(());
        }
        here.went_alone = true;
        self.met.note(Mishap::WentAlone);
        self.look_at(site)
    }

    /// People see that there are two journals of a site, also where a copy of the database says so.
    pub(super) fn people_find_forks(&mut self) -> Step {
        let all = self.office.read(sites::all)?;
        let forked = all.into_iter().filter(|site| site.state == State::Forked);
        let forked: Vec<_> = forked.map(|site| site.id).collect();
        for site in 0..self.sites.len() {
            if forked.contains(&self.sites[site].world.site) {
                self.is_forked(site);
            }
        }
        Ok(())
    }

    /// Head office has found that there are two journals.
    pub(super) fn is_forked(&mut self, site: usize) {
        if !std::mem::replace(&mut self.sites[site].is_forked, true) {
            self.note(|| format!("there are two journals of site {site}"));
            let looks = match self.calm {
                true => MINUTE,
                false => self.between(MINUTE, 2 * HOUR),
            };
            self.after(looks, Event::PeopleAccept { site });
            // Where its disk is lost again meanwhile, head office hands nothing back before people have said which lives.
            self.after(looks, Event::GoesAlone { site });
        }
    }

    /// `holdfast-central site accept`, by two people; once what the station goes on with has been seen.
    pub(super) fn people_accept(&mut self, site: usize) -> Step {
        let id = self.sites[site].world.site.clone();
        let of = id.clone();
        let others = self.office.read(move |tx| {
            let found = sites::find(tx, &of)?;
            found.map_or(Ok(Vec::new()), |found| branches::others(tx, &of, found.branch))
        })?;
        let reader = self.sites[site].world.store().map(|store| store.reader());
        let reader = reader.transpose().map_err(|error| error.to_string())?;
        // Where the station was restored once more it has none of them whole: then the newest.
        let mut lives: Option<(bool, u64, Head)> = None;
        for branch in others {
            let Some(reader) = &reader else { break };
            // Another entry may stand there.
            let has = reader.has(branch.head).unwrap_or(false);
            if lives.is_none_or(|(had, number, _)| (had, number) < (has, branch.number)) {
                lives = Some((has, branch.number, branch.head));
            }
        }
        let lives = lives.map(|(_, _, head)| head);
        let (Some(lives), Some(me), true) = (lives, self.office.name(), self.office.is_there()) else {
            self.after(5 * MINUTE, Event::PeopleAccept { site });
            return Ok(());
        };
        drop(reader);
        let now = self.clock().wall;
        let of = id.clone();
        let there = id.clone();
        let returned = self.office.read(move |tx| returned(tx, &there))?;
        self.purses.may_come_after_all(returned);
        let accepted = self.office.write(move |tx| accept(tx, &me, &of, lives, now))?;
        let accepted =
            accepted.map_err(|error| format!("the branch of {id} up to {lives} is not accepted: {error}"))?;
        if let Some(trouble) = accepted.trouble {
            return Err(format!("the branch of {id} that lives cannot be followed: {trouble}"));
        }
        self.note(|| format!("site {site} goes on with its branch up to {}", accepted.head));
        self.races.note(Race::Fork);
        self.sites[site].is_forked = false;
        self.office.begin_desk_anew(site);
        self.follows_branch(site, accepted.head, accepted.from)?;
        // The desk begins anew, and hears what the site last said of itself.
        self.hears_what_is_retained();
        self.desk_says(site)
    }

    /// The copy is as the branch gives it.
    fn follows_branch(&mut self, site: usize, head: Head, from: Option<Head>) -> Step {
        let here = &mut self.sites[site];
        let (mut mirror, mut has) = (Mirror::default(), BTreeMap::new());
        for (hash, bytes) in here.chain(0, head)? {
            let entry = Entry::from_bytes(bytes).map_err(|error| error.to_string())?;
            mirror.rows.apply(entry.stamp, &entry.fact, &mut Changes::default());
            mirror.moves(entry.stamp.seq, moved(&entry.fact));
            let seq = entry.stamp.seq;
            mirror.head = Head { seq, hash };
            if from.is_some_and(|from| from.seq == seq) {
                has = in_all(&mirror.rows);
            }
        }
        let before = std::mem::replace(&mut here.copy, mirror);
        self.purses.has_lost = true;
        let left = from.map_or(0, |from| from.seq);
        if from.is_some() {
            self.check_above_fork(site, &before, left, &has)?;
        }
        self.comes_back_twice(&before, left)
    }
}

/// What was sent to a site, did not arrive by the branch that is followed, and went back: by member.
fn returned(tx: &mut dyn Tx, site: &SiteId) -> Result<BTreeMap<MemberId, i64>, StoreError> {
    let rows = tx.query(
        "SELECT member, CAST(SUM(amount - arrived) AS BIGINT) FROM issue WHERE site = $1 AND state = 'returned' GROUP BY member",
        &[site.as_str().into()],
    )?;
    let sum = |mut row: Row| {
        let member = row.text(0)?.parse();
        let member = member.map_err(|_| StoreError::Broken("the member of an issue".to_owned()))?;
        Ok((member, row.int(1)?))
    };
    rows.into_iter().map(sum).collect()
}
