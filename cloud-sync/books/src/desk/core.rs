//! What one site's desk does, without clock, runtime and broker: it is given the time, what the site says and, where it needs
//! one, a transaction, and gives back what is to be sent. The shell around it (`desk`) and the world of three sites in `lives/` run
//! this very code.
//!
//! ```text
//! at_once(…)             what needs neither the copy nor the database
//! hear(kind, bytes)      everything else: what is to be sent at once, and what is to be done then, if anything:
//!   greet(tx, now, &hello) answers a hello
//!   Unread::read()         unpacks a batch and checks who signed it; as long as following it, and without the database
//!   take(tx, now, &read)   takes it; what comes of it may be sent once the transaction is committed, and not before
//! next_deadline()        when to call say() next
//! ```
//!
//! Where a transaction fails the core goes with it, since its copy may be ahead of the database: it is loaded anew, with the
//! [`Memory`] of before.

use super::Office;
use crate::{
    ingest::{self, Read, SiteCopy, Taken},
    store::{
        StoreError, Tx, directives,
        forgotten::{self, Forgotten},
        identity, journal, sites,
    },
};
use domain::{
    head_office::{DirectiveRow, HqEpoch},
    ids::SiteId,
    journal::Head,
    planted::{Bug, is_planted},
    time::{Mono, Now, Wall},
    units::Fen,
};
use protocol::{
    frame::{Ack, Batch, Malformed, Nonce, Pong, SignedDirective, State, Tail},
    key::NotSigned,
    status::{Hello, Status},
    topic::Kind,
};
use std::{collections::BTreeSet, sync::Arc};

/// The least time between two acknowledgements of batches, in milliseconds, unless half a window waits for one.
const ACK_MS: u64 = 500;
/// Batches that are acknowledged at once: half of what a site has on the way.
const ACK_BATCHES: u32 = 8;
/// Directives of a row that a site may have on the way: 16 in all.
const DIRECTIVES_ON_THE_WAY: u64 = 8;
/// After so long without an answer a directive is sent again, in milliseconds.
const DIRECT_AGAIN_MS: u64 = 30_000;
/// The rows in which directives are numbered.
const ROWS: [DirectiveRow; 2] = [DirectiveRow::Orders, DirectiveRow::Others];

/// What is to be sent to the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect(pub Kind, pub Vec<u8>);

/// What is to be done about something that the site said.
#[derive(Debug)]
pub struct Heard {
    /// At once.
    pub effects: Vec<Effect>,
    /// And then, with the database.
    pub then: Option<Then>,
}

/// What is to be done with the database.
#[derive(Debug)]
pub enum Then {
    /// [`Core::greet`] the site.
    Greet(Box<Hello>),
    /// Read the batch, and [`Core::take`] it.
    Take(Unread),
}

/// A batch that nobody has looked into.
#[derive(Debug)]
pub struct Unread {
    bytes: Vec<u8>,
    site: SiteId,
    keys: Vec<sites::EdgeKey>,
}

impl Unread {
    /// How many bytes it says that it has unpacked: no more are made of it.
    pub fn unpacked_bytes(&self) -> usize {
        Batch::from_bytes(&self.bytes).map_or(0, |batch| batch.raw as usize)
    }

    /// Unpacks it, and checks who signed it.
    ///
    /// # Errors
    /// [`Malformed`]: it is no batch of the site's. The core is to be loaded anew: the site may have been enrolled anew since its
    /// keys were read.
    pub fn read(&self) -> Result<Read, Malformed> {
        Read::of(&self.bytes, &self.site, &self.keys)
    }
}

/// What a desk knows that is not in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// It was found since this process began that nothing beyond the head can be taken, or there are two journals of the site.
    stands_still: bool,
    acked_at: Mono,
    /// Batches that were taken since.
    unacked: u32,
    /// The last directive of each row that was sent.
    sent: [Sent; 2],
}

/// How far directives of a row were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sent {
    n: u64,
    at: Mono,
}

impl Memory {
    /// When [`Core::say`] is due, if it is.
    pub fn next_deadline(&self) -> Option<Mono> {
        (self.unacked > 0).then(|| self.acked_at.after_ms(ACK_MS))
    }
}

/// One site's desk.
#[derive(Debug)]
pub struct Core {
    office: Arc<Office>,
    copy: SiteCopy,
    memory: Memory,
    /// The site knows of head office what the database does not, and people do not know of that: nothing is acknowledged.
    is_forgotten: bool,
}

/// What is to be done about something that needs neither the site's copy nor the database; otherwise what was said, unchanged.
///
/// # Errors
/// What was said: it is for [`Core::hear`].
pub fn at_once(
    office: &Office,
    site: &SiteId,
    now: Wall,
    kind: Kind,
    payload: Vec<u8>,
) -> Result<Option<Effect>, Vec<u8>> {
    match kind {
        Kind::Ping => Ok(pong(office, site, now, payload)),
        // What was asked and is watched goes past the desk, and the rest are head office's own words.
        Kind::Answer | Kind::Live | Kind::Ack | Kind::Tail | Kind::Directive | Kind::Ask | Kind::Watch | Kind::Pong => {
            Ok(None)
        }
        Kind::Status | Kind::Journal => Err(payload),
    }
}

/// The answer to a ping: what time it is here.
pub fn pong(office: &Office, site: &SiteId, now: Wall, payload: Vec<u8>) -> Option<Effect> {
    let nonce = payload.try_into().ok().map(Nonce)?;
    Some(Effect(
        Kind::Pong,
        Pong { nonce, now }.to_bytes(site, &office.key.with()),
    ))
}

impl Core {
    /// The desk of a site as the database has it.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Broken`]: there is no such site.
    pub fn load(tx: &mut dyn Tx, office: Arc<Office>, site: &SiteId, memory: Memory) -> Result<Self, StoreError> {
        let found = sites::find(tx, site)?.ok_or_else(|| StoreError::Broken(format!("there is no site {site}")))?;
        let forgotten = forgotten::of(tx, site)?;
        Ok(Self {
            office,
            memory: Memory {
                // A person says which branch lives, not whoever comes first after a restart (rule 10). What is ahead or broken is
                // looked at again.
                stands_still: memory.stands_still || found.state == State::Forked,
                ..memory
            },
            is_forgotten: forgotten.is_some_and(|said| !said.is_known),
            copy: SiteCopy::load(tx, found)?,
        })
    }

    /// What is to be kept where the core is lost.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The copy of the site.
    pub fn copy(&self) -> &SiteCopy {
        &self.copy
    }

    fn site(&self) -> &SiteId {
        &self.copy.site().id
    }

    /// Says how far head office is: when the desk begins, as a site that is connected already goes on from there, and whenever
    /// [`Memory::next_deadline`] has come. Nothing, where people have to say first that the database was restored.
    pub fn say(&mut self, now: Mono) -> Option<Effect> {
        self.ack(now, Nonce::NONE)
    }

    /// Takes in what the site says: a status or a batch; of anything else nothing comes ([`at_once`]).
    pub fn hear(&mut self, kind: Kind, payload: Vec<u8>) -> Heard {
        let (mut effects, mut then) = (Vec::new(), None);
        match kind {
            Kind::Status => match Status::from_bytes(&payload) {
                Ok(Status::Online(hello)) if hello.site == *self.site() => match hello.protocol {
                    protocol::VERSION => then = Some(Then::Greet(hello)),
                    theirs => tracing::error!(
                        site = %self.site(),
                        "it speaks version {theirs} of the line, and this is {}",
                        protocol::VERSION
                    ),
                },
                Ok(Status::Offline { .. }) => tracing::info!(site = %self.site(), "site went away"),
                Ok(Status::Online(hello)) => tracing::warn!(site = %self.site(), "it says that it is {}", hello.site),
                Err(error) => tracing::warn!(site = %self.site(), "its status cannot be read: {error}"),
            },
            // A site that was not answered sends nothing: it was on its way.
            Kind::Journal if self.is_forgotten => {}
            Kind::Journal if self.memory.stands_still && !self.is_forked() => self.memory.unacked += 1,
            Kind::Journal => {
                if is_planted(Bug::AckBeforeCommit) {
                    effects.extend(self.ack_before_commit(&payload));
                }
                then = Some(Then::Take(Unread {
                    bytes: payload,
                    site: self.site().clone(),
                    keys: self.copy.site().keys.clone(),
                }));
            }
            _ => {}
        }
        Heard { effects, then }
    }

    /// Answers a hello, in a transaction that may write: how far head office is, under the hello's number, and where the site was restored from a copy the next
    /// entries that it lost.
    ///
    /// The database is asked and not the copy: a station that is recovering goes on by this answer, and a process that has stood
    /// still may have a head that is long past. What the database has after the hello came is all that there will be.
    ///
    /// # Errors
    /// [`StoreError::NotOwner`]: another process goes on with the site, and answers. [`StoreError`].
    pub fn greet(&mut self, tx: &mut dyn Tx, now: Now, hello: &Hello) -> Result<Vec<Effect>, StoreError> {
        sites::is_at(tx, &self.office.process, self.copy.site())?;
        self.is_forgotten = self.remembers(tx, now.wall, hello)?;
        let mut effects: Vec<Effect> = self.ack(now.mono, hello.nonce).into_iter().collect();
        if self.is_forgotten {
            return Ok(effects);
        }
        if hello.recovering && hello.head.seq < self.copy.site().head.seq {
            effects.extend(self.hand_back(tx, hello.head)?);
        }
        // A new connection: whatever was on the way may be lost. While it is recovering it would take nothing (rule 5).
        self.memory.sent = Default::default();
        if !hello.recovering {
            effects.extend(self.direct(tx, now.mono)?);
        }
        Ok(effects)
    }

    /// What the site is to do and has not answered, in its order: what was not sent yet, and again what was sent long ago. Only what
    /// is committed is here to be sent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn direct(&mut self, tx: &mut dyn Tx, now: Mono) -> Result<Vec<Effect>, StoreError> {
        let mut effects = Vec::new();
        if self.is_forgotten {
            return Ok(effects);
        }
        let of = (self.site().clone(), self.hq_epoch());
        let is_forked = self.copy.site().state == State::Forked;
        for (row, sent) in ROWS.into_iter().zip(&mut self.memory.sent) {
            let waiting = directives::waiting(tx, (&of.0, of.1), row, DIRECTIVES_ON_THE_WAY)?;
            let is_due = now.ms_since(sent.at) >= DIRECT_AGAIN_MS;
            // Time counts from when the first that waits was sent, whatever was issued after it: it may have been lost.
            let first = waiting.first().map(|directive| directive.no.n);
            for directive in waiting {
                // Whoever else goes on with the journal would take it too, and it would be spent twice.
                if is_forked && directive.directive()?.carries() > Fen::ZERO {
                    break;
                }
                if directive.no.n <= sent.n && !is_due {
                    continue;
                }
                if first == Some(directive.no.n) {
                    sent.at = now;
                }
                sent.n = sent.n.max(directive.no.n);
                let key = self.office.key.with();
                let bytes = SignedDirective::to_bytes(directive.body.as_bytes(), &of.0, &key);
                effects.push(Effect(Kind::Directive, bytes));
            }
        }
        Ok(effects)
    }

    /// The life of head office's that speaks to the site.
    fn hq_epoch(&self) -> HqEpoch {
        self.copy.site().hq_epoch.unwrap_or(self.office.hq_epoch)
    }

    /// The sites that something was issued to by what was taken; it counts once that is committed.
    pub fn take_rung(&mut self) -> BTreeSet<SiteId> {
        self.copy.take_rung()
    }

    /// Whether a site remembers of head office what the database does not, and people do not know of that (rule 3). What it says
    /// is kept, so that they are told.
    fn remembers(&self, tx: &mut dyn Tx, now: Wall, hello: &Hello) -> Result<bool, StoreError> {
        let site = self.copy.site();
        let named = hello.hq_epoch.filter(|epoch| *epoch != self.hq_epoch());
        let was_here = named.map_or(Ok(true), |epoch| identity::was(tx, epoch))?;
        let has_place = hello
            .acknowledged
            .map_or(Ok(true), |place| ingest::has(tx, site, place))?;
        // Of a former life nothing is issued any more, and people know of what it has forgotten.
        let has_directives = match hello.hq_epoch {
            Some(epoch) if named.is_none() => directives::reach(tx, (&site.id, epoch), hello.directives)?,
            _ => true,
        };
        let before = forgotten::of(tx, &site.id)?;
        if was_here && has_place && has_directives {
            if before.is_some() {
                forgotten::remove(tx, &site.id)?;
            }
            return Ok(false);
        }
        let reaches = |said: &Forgotten| said.acknowledged.map(|place| place.seq);
        let is_same = |said: &Forgotten| reaches(said) >= hello.acknowledged.map(|place| place.seq);
        if was_here && has_directives && before.as_ref().is_some_and(|said| said.is_known && is_same(said)) {
            // The station keeps the place until head office has come there again.
            return Ok(false);
        }
        let said = Forgotten {
            site: site.id.clone(),
            hq_epoch: hello.hq_epoch,
            acknowledged: hello.acknowledged,
            said_at: match &before {
                Some(before) if !before.is_known => before.said_at,
                _ => now,
            },
            // It was last spoken to by a life that ended when people said so: what that forgot they know of.
            is_known: was_here && named.is_some(),
        };
        if before.as_ref() != Some(&said) {
            forgotten::put(tx, &said)?;
            if !said.is_known {
                // What was forgotten may have been spent: nobody spends before people have looked (rule 3).
                let why = format!(
                    "site {} knows of head office what its database does not: was it restored from a copy?",
                    site.id
                );
                identity::freeze(tx, Some(&why))?;
            }
        }
        if !said.is_known {
            tracing::error!(
                site = %site.id,
                "it knows of head office what this database does not: was that restored from a copy? `holdfast-central restored`"
            );
        }
        Ok(!said.is_known)
    }

    /// What hands back the entries after this place, a batch of them; none where the site's copy holds another journal.
    fn hand_back(&self, tx: &mut dyn Tx, after: Head) -> Result<Option<Effect>, StoreError> {
        let (site, branch) = (self.site(), self.copy.site().branch);
        let Some(batch) = journal::after(tx, site, branch, after.seq, 1)?.into_iter().next() else {
            return Ok(None);
        };
        let rest = match batch.before() == after {
            true => Some(batch),
            false => ingest::rest_after(&batch, after)?,
        };
        let Some(rest) = rest else {
            tracing::error!(
                %site,
                "its copy holds another journal up to entry {}, so none of head office's entries follow on it: it waits until somebody \
                 there says `holdfast-edge recover --alone REASON`",
                after.seq
            );
            return Ok(None);
        };
        tracing::info!(%site, "entries {} to {} are handed back", rest.first, rest.last());
        Ok(Some(Effect(
            Kind::Tail,
            Tail(rest).to_bytes(site, &self.office.key.with()),
        )))
    }

    /// Takes a batch. What comes of it counts once the transaction is committed, and not before. [`Malformed`]: the key that has
    /// signed it does not count where it belongs.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was written, and the core is not to be used any more.
    pub fn take(
        &mut self,
        tx: &mut dyn Tx,
        now: Now,
        read: &Read,
    ) -> Result<Result<Option<Effect>, Malformed>, StoreError> {
        if self.memory.stands_still {
            self.memory.unacked += 1;
            if self.is_forked() {
                let _branch = ingest::fork::keep_of_other(tx, &self.office.process, &self.copy, read, now.wall)?;
            }
            // Otherwise it was on its way when the one before it was not taken.
            return Ok(Ok(None));
        }
        let taken = ingest::take(tx, &self.office.process, &mut self.copy, read, now.wall)?;
        self.memory.unacked += 1;
        Ok(Ok(match taken {
            Taken::NotSigned => return Ok(Err(NotSigned.into())),
            Taken::Followed if self.memory.unacked < ACK_BATCHES => None,
            Taken::Followed | Taken::Gap => self.say(now.mono),
            Taken::Stopped { state, why } => {
                tracing::error!(site = %self.site(), state = state.word(), "its journal is not followed any more: {why}");
                self.memory.stands_still = true;
                self.say(now.mono)
            }
        }))
    }

    /// What came cannot be written, which will not be otherwise when it comes again: people are told, and nothing after the head
    /// is taken until they have looked.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was written, and the core is not to be used any more.
    pub fn cannot_store(&mut self, tx: &mut dyn Tx, now: Mono, why: String) -> Result<Option<Effect>, StoreError> {
        tracing::error!(site = %self.site(), "its journal is not followed any more: {why}");
        ingest::cannot_be_stored(tx, &self.office.process, &mut self.copy, why)?;
        self.memory.stands_still = true;
        Ok(self.say(now))
    }

    /// There is another journal of the site: what comes of that is kept, and neither followed nor acknowledged (decision 0034).
    fn is_forked(&self) -> bool {
        self.copy.site().state == State::Forked
    }

    fn ack(&mut self, now: Mono, nonce: Nonce) -> Option<Effect> {
        (self.memory.acked_at, self.memory.unacked) = (now, 0);
        (!self.is_forgotten).then(|| self.signed(self.copy.site().head, nonce))
    }

    fn signed(&self, head: Head, nonce: Nonce) -> Effect {
        let ack = Ack {
            hq_epoch: self.hq_epoch(),
            // What an earlier process found is looked at again.
            state: match self.memory.stands_still {
                true => self.copy.site().state,
                false => State::Following,
            },
            head,
            nonce,
        };
        Effect(Kind::Ack, ack.to_bytes(self.site(), &self.office.key.with()))
    }

    /// The planted bug: what follows on the head is acknowledged as it comes.
    fn ack_before_commit(&self, payload: &[u8]) -> Option<Effect> {
        let unpacked = Batch::from_bytes(payload).ok()?.unpack().ok()?;
        let follows = unpacked.before() == self.copy.site().head;
        follows.then(|| self.signed(unpacked.head(), Nonce::NONE))
    }
}
