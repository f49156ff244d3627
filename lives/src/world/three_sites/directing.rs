//! What head office has stations do: its desks send what was issued, again where nobody answers; the program beside the station hands
//! it on, and the station takes it or says why not. And head office's time, by which starts expire and vouchers close.

use super::{
    super::{Time, traffic::DIRECTIVES},
    Event, ThreeSites,
    coverage::Mishap,
    station::clock,
};
use books::store::directives;
use domain::{
    ids::SiteId,
    site::Input as SiteInput,
    time::{Mono, Now},
};
use edge::{head_office::HeardTime, station::writer::Work};
use protocol::frame::SignedDirective;
use std::collections::BTreeSet;
use sync::courier::Input;

/// How long until what nobody answered is looked at again.
const AGAIN: Time = 31_000;
/// A station that heard nothing for so long has no line.
const SILENCE: Time = 61_000;

type Step = Result<(), String>;

impl ThreeSites {
    /// Something was issued to these sites.
    pub(super) fn ring(&mut self, rung: &BTreeSet<SiteId>) -> Step {
        for site in 0..self.sites.len() {
            if rung.contains(&self.sites[site].world.site) {
                self.directs(site)?;
            }
        }
        Ok(())
    }

    /// A site's desk sends what was issued.
    pub(super) fn directs(&mut self, site: usize) -> Step {
        let now = Mono(self.now);
        let directed = self.office.with_core(site, |office, mut core| {
            office.read(move |tx| Ok((core.direct(tx, now)?, core)))
        })?;
        for effect in directed.into_iter().flatten() {
            self.send(site, effect.0, effect.1)?;
        }
        self.directs_later(site);
        Ok(())
    }

    /// What is not answered by then is sent again.
    pub(super) fn directs_later(&mut self, site: usize) {
        if self.is_up(site) && !std::mem::replace(&mut self.sites[site].directs_again, true) {
            self.after(AGAIN, Event::DirectsAgain { site });
        }
    }

    pub(super) fn directs_again(&mut self, site: usize) -> Step {
        self.sites[site].directs_again = false;
        let waiting = self.office.read(directives::sites_waiting)?;
        match waiting.contains(&self.sites[site].world.site) {
            true => self.directs(site),
            false => Ok(()),
        }
    }

    /// As `PUT /v1/sync/directive` takes it; nothing, where the answer comes once it is on disk.
    pub(super) fn directive_comes(
        &mut self,
        site: usize,
        agent: u64,
        bytes: &[u8],
    ) -> Result<Option<Result<(), String>>, String> {
        let here = &mut self.sites[site];
        if here.world.process.is_none() {
            return Ok(Some(Err("the station is recovering or away".to_owned())));
        }
        let off = here.world.physics.clock_off_ms;
        let now = Now {
            mono: Mono(self.now),
            wall: super::super::station::wall(self.now, off),
        };
        let trusted = here.world.physics.clock_lost_ms.is_none();
        let told = here.end.directive(bytes, now, trusted);
        let mut told = told.map_err(|error| format!("site {site} does not believe a directive: {error}"))?;
        let signed = SignedDirective::from_bytes(bytes, &here.world.site, &here.end.keys());
        let content = signed.map_err(|error| error.to_string())?.content?;
        let before = here
            .world
            .desk
            .told
            .insert(told.directive, (told.sha256.clone(), content));
        // Until head office's time is heard the station goes by its own clock, which may be slow (rule 2).
        let slow_ms = match here.end.heard().time {
            Some(_) => 0,
            None => -off,
        };
        let handed = super::super::station::wall(self.now, -slow_ms.max(0));
        let first = here.world.desk.handed.entry(told.directive).or_insert(handed);
        *first = handed.min(*first);
        if let Some(kind) = here.cannot_read
            && told.content.as_ref().is_ok_and(|directive| directive.kind() == kind)
        {
            told.content = Err(format!("unknown variant `{kind}`"));
            self.met.note(Mishap::UnreadableDirective);
        }
        if before.is_some_and(|(sha256, _)| sha256 != told.sha256) {
            return Err(format!("site {site} is told two things under {}", told.directive));
        }
        if here.agent != agent {
            return Ok(None);
        }
        here.handings += 1;
        let number = DIRECTIVES + here.handings;
        here.handing = Some(number);
        here.world.hand_directive(number, told);
        Ok(None)
    }

    /// What the station made of directives is told to whoever handed them on, if that is still the same program.
    pub(super) fn directives_are_taken(&mut self, site: usize) -> Step {
        for (number, taken) in std::mem::take(&mut self.sites[site].world.handed) {
            if self.sites[site].handing.take_if(|handing| *handing == number).is_some() {
                self.tell_courier(site, Input::DirectiveTaken(taken))?;
            }
        }
        Ok(())
    }

    /// Head office's time is heard: as `PUT /v1/sync/pong` tells the station.
    pub(super) fn time_is_heard(&mut self, site: usize, heard: HeardTime) {
        let here = &mut self.sites[site];
        here.world.time_is_heard(heard.not_before());
        self.looks_at_line(site);
        self.listens(site);
    }

    /// As the daemon does every few seconds: here whenever something may have changed.
    fn looks_at_line(&mut self, site: usize) {
        let here = &mut self.sites[site];
        for input in here.line_watch.look(&here.end, clock(self.now).mono) {
            if let SiteInput::Line(up) = input {
                here.has_line = up;
            }
            here.world.push(Work::Told(input));
        }
    }

    fn listens(&mut self, site: usize) {
        if !std::mem::replace(&mut self.sites[site].listens, true) {
            self.after(SILENCE, Event::LineSilent { site });
        }
    }

    /// As the daemon follows it.
    pub(super) fn line_is_silent(&mut self, site: usize) {
        let here = &mut self.sites[site];
        here.listens = false;
        if here.world.store().is_none() {
            return;
        }
        here.world.now = here.world.now.max(self.now);
        self.looks_at_line(site);
        // Vouchers are closed while the line is cut as well.
        if self.sites[site].end.heard().time.is_some() {
            self.listens(site);
        }
    }
}
