//! The line between a site and head office: connections that are lost, and messages that are late, lost, repeated and overtaken.
//!
//! Sessions are clean, so with a connection goes whatever was on its way down; what was on its way up may be at the broker
//! already, and arrive. Nothing is on its way for longer than [`ON_THE_WAY_MAX`]: a batch that a broker kept back until its station
//! was restored and had gone on would be another journal, which head office finds and people decide.

use super::{
    super::{HOUR, MINUTE, SECOND, Time},
    Event, ThreeSites,
    coverage::Mishap,
};
use protocol::{frame::Ack, topic::Kind};
use std::collections::BTreeMap;
use sync::courier::Input;

/// The longest that a message is on its way, both its delays together.
pub(super) const ON_THE_WAY_MAX: Time = 45 * SECOND;

/// One site's line.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Something passes at all.
    wan: bool,
    /// How often that has changed.
    pub(super) switches: u64,
    /// The connection that the site's program believes in.
    pub(super) connection: Option<u64>,
    /// That one does pass messages.
    wired: bool,
    connections: u64,
    /// What the site said of itself over its connection: the broker keeps it for whoever subscribes.
    retained: Option<Vec<u8>>,
    connecting: bool,
    cut: Option<Cut>,
    sent: BTreeMap<Kind, u32>,
    /// The arrival of the last message in order, up and down.
    last: [Time; 2],
}

/// Where the line will be cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    kind: Kind,
    /// At which message of the kind.
    nth: u32,
    /// It passes.
    after: bool,
}

impl ThreeSites {
    /// Whether messages pass.
    pub(super) fn is_up(&self, site: usize) -> bool {
        self.sites[site].line.wired
    }

    /// The line of a site comes up for a while, or goes down.
    pub(super) fn switch_wan(&mut self, site: usize, up: bool) {
        if (self.calm && !up) || self.sites[site].line.wan == up {
            return;
        }
        let line = &mut self.sites[site].line;
        line.wan = up;
        line.switches += 1;
        let switch = line.switches;
        let (least, most) = match (up, self.rng.below(10)) {
            (true, 0) => (5 * MINUTE, 15 * MINUTE),
            (true, _) => (20 * SECOND, 3 * MINUTE),
            (false, 0..3) => (SECOND, MINUTE),
            (false, _) => (20 * MINUTE, 4 * HOUR),
        };
        let lasts = self.between(least, most);
        self.after(lasts, Event::Wan { site, up: !up, switch });
        if up {
            self.connect_soon(site);
        } else {
            self.cut(site, self.now);
        }
    }

    /// Nothing passes any more. Its program notices once what has passed is there, or by silence.
    pub(super) fn cut(&mut self, site: usize, passed: Time) {
        let line = &mut self.sites[site].line;
        (line.wired, line.cut) = (false, None);
        let Some(connection) = line.connection else { return };
        if self.rng.below(2) == 0 {
            let notices = passed.max(self.now) + 1 + self.rng.below(2 * SECOND);
            self.at(notices, Event::Notices { site, connection });
        }
    }

    /// The site's program finds its connection gone.
    pub(super) fn notices(&mut self, site: usize, connection: u64) -> Result<(), String> {
        if self.sites[site].line.connection != Some(connection) {
            return Ok(());
        }
        self.disconnect(site);
        self.tell_courier(site, Input::Lost)
    }

    /// There is no connection any more, on the site's side.
    pub(super) fn disconnect(&mut self, site: usize) {
        let line = &mut self.sites[site].line;
        (line.connection, line.wired, line.cut) = (None, false, None);
        line.retained = None;
        self.connect_soon(site);
    }

    pub(super) fn connect_soon(&mut self, site: usize) {
        let line = &mut self.sites[site].line;
        if !line.wan || line.connecting || line.connection.is_some() {
            return;
        }
        line.connecting = true;
        let pause = self.between(SECOND, 20 * SECOND);
        self.after(pause, Event::Connects { site });
    }

    pub(super) fn connects(&mut self, site: usize) -> Result<(), String> {
        self.sites[site].line.connecting = false;
        let reached = self.office.has_broker() && self.sites[site].agent_is_up;
        let line = &mut self.sites[site].line;
        if !line.wan || line.connection.is_some() {
            return Ok(());
        }
        if !reached {
            self.connect_soon(site);
            return Ok(());
        }
        line.connections += 1;
        (line.connection, line.wired) = (Some(line.connections), true);
        (line.sent, line.last) = (BTreeMap::new(), [self.now; 2]);
        line.cut = None;
        if !self.calm && self.rng.below(100) < 70 {
            let recovering = self.sites[site].world.recovering.is_some();
            let kinds: &[Kind] = match recovering {
                true => &[Kind::Tail, Kind::Tail, Kind::Tail, Kind::Tail, Kind::Ack, Kind::Status],
                false => &[
                    Kind::Journal,
                    Kind::Ack,
                    Kind::Status,
                    Kind::Ping,
                    Kind::Pong,
                    Kind::Directive,
                    Kind::Ask,
                    Kind::Answer,
                    Kind::Watch,
                    Kind::Live,
                ],
            };
            let kind = kinds[usize::try_from(self.rng.below(kinds.len() as u64)).unwrap_or(0)];
            let most = match kind {
                Kind::Tail | Kind::Ask | Kind::Answer | Kind::Watch | Kind::Live => 2,
                _ => 4,
            };
            let nth = 1 + u32::try_from(self.rng.below(most)).unwrap_or(0);
            let after = self.rng.below(2) == 0;
            self.sites[site].line.cut = Some(Cut { kind, nth, after });
        }
        self.note(|| format!("site {site} is connected"));
        self.asks_later(site);
        self.tell_courier(site, Input::Connected)
    }

    /// A message leaves one end.
    pub(super) fn send(&mut self, site: usize, kind: Kind, bytes: Vec<u8>) -> Result<(), String> {
        if kind == Kind::Ack {
            self.is_on_disk(site, &bytes)?;
        }
        let line = &mut self.sites[site].line;
        let Some(connection) = line.connection.filter(|_| line.wired) else {
            return Ok(());
        };
        let nth = line.sent.entry(kind).or_default();
        *nth += 1;
        let cut = line.cut.filter(|cut| cut.kind == kind && cut.nth == *nth);
        if let Some(Cut { after, .. }) = cut {
            let mishap = if after { Mishap::CutAfter } else { Mishap::CutBefore };
            self.met.note(mishap(kind));
            self.note(|| format!("the line of site {site} is cut at {kind:?}, which passes: {after}"));
            if !after {
                self.cut(site, self.now);
                return Ok(());
            }
        }
        let passes = cut.is_some();
        let one_in_hundred = if self.calm || passes { 100 } else { self.rng.below(100) };
        let mut takes = 10 + self.rng.below(300);
        let way = usize::from(!kind.is_up());
        match one_in_hundred {
            0 => {
                self.met.note(Mishap::Lost);
                return Ok(());
            }
            1 | 2 if kind.qos() == 0 => {
                self.met.note(Mishap::Lost);
                return Ok(());
            }
            3 => {
                self.met.note(Mishap::Late);
                takes += self.rng.below(ON_THE_WAY_MAX / 2);
            }
            _ => {}
        }
        let last = &mut self.sites[site].line.last[way];
        let mut arrives = (self.now + takes).max(*last).min(self.now + ON_THE_WAY_MAX);
        if matches!(one_in_hundred, 4..7) {
            self.met.note(Mishap::Overtaken);
            arrives = (arrives + self.rng.below(5 * SECOND)).min(self.now + ON_THE_WAY_MAX);
        } else {
            *last = arrives;
        }
        if matches!(one_in_hundred, 7..10) {
            self.met.note(Mishap::Twice);
            let again = arrives + self.rng.below(3 * SECOND);
            let bytes = bytes.clone();
            self.at(
                again,
                Event::Arrives {
                    site,
                    connection,
                    kind,
                    bytes,
                    passes,
                },
            );
        }
        if passes {
            self.cut(site, arrives);
        }
        self.at(
            arrives,
            Event::Arrives {
                site,
                connection,
                kind,
                bytes,
                passes,
            },
        );
        Ok(())
    }

    /// A message is at the other end, if there is one.
    pub(super) fn arrives(
        &mut self,
        site: usize,
        connection: u64,
        kind: Kind,
        bytes: Vec<u8>,
        passes: bool,
    ) -> Result<(), String> {
        let line = &self.sites[site].line;
        let stands = line.connection == Some(connection);
        if kind.is_up() {
            // What came as far as the broker arrives, whatever became of the connection.
            if passes || (stands && line.wired) || self.rng.below(2) == 0 {
                if stands && kind == Kind::Status {
                    self.sites[site].line.retained = Some(bytes.clone());
                }
                return self.office_hears(site, kind, bytes);
            }
        } else if stands && (passes || line.wired) {
            if self.is_agents_last(site, kind) {
                self.agent_dies(site, kind);
                return Ok(());
            }
            return self.tell_courier(site, Input::Down(kind, bytes));
        }
        Ok(())
    }

    /// Somebody subscribes at a broker that has gone on meanwhile: it has what each site that is connected said of itself.
    pub(super) fn hears_what_is_retained(&mut self) {
        for site in 0..self.sites.len() {
            let line = &self.sites[site].line;
            if let (Some(connection), Some(bytes)) = (line.connection, line.retained.clone()) {
                let (kind, passes) = (Kind::Status, true);
                let takes = self.between(1, 200);
                self.after(
                    takes,
                    Event::Arrives {
                        site,
                        connection,
                        kind,
                        bytes,
                        passes,
                    },
                );
            }
        }
    }

    /// Whatever head office acknowledges is in its database.
    fn is_on_disk(&self, site: usize, ack: &[u8]) -> Result<(), String> {
        let ack = Ack::unverified(ack).map_err(|error| error.to_string())?;
        let committed = self.sites[site].copy.head.seq;
        match ack.head.seq > committed {
            true => Err(format!(
                "head office acknowledges entry {} of site {site}, and has entry {committed} on disk",
                ack.head.seq
            )),
            false => Ok(()),
        }
    }
}
