//! Messages are sent until they are taken, by whichever process claims them. A process that is killed between sending and noting
//! it sends once more: the id is the same, so that whoever gets it twice knows.

use super::{mail::Mail, webhook::Webhook};
use crate::{
    desk::Clock,
    store::{
        Db, StoreError,
        outbox::{self, Channel, Message},
    },
};
use domain::time::Wall;
use std::{sync::Arc, time::Duration};

/// How often it is looked for messages.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many are sent at a look.
const AT_A_LOOK: u64 = 16;
/// For how long a process has a message to itself, in milliseconds: longer than all of a look can take.
const CLAIM_MS: i64 = 20 * 60_000;
/// For how long a message is tried, in milliseconds: 3 days.
const TRIED_MS: i64 = 3 * 86_400_000;
/// The first pause, and the longest, in milliseconds; each is four times the one before.
const PAUSES_MS: [i64; 2] = [5_000, 3 * 3_600_000];

/// When a message is tried again that could not be sent; none: not any more.
pub fn again_at(made_at: Wall, tries: u64, now: Wall) -> Option<Wall> {
    let times = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = 4_i64
        .saturating_pow(times)
        .saturating_mul(PAUSES_MS[0])
        .min(PAUSES_MS[1]);
    (now.ms_since(made_at) < TRIED_MS).then(|| now.after_ms(pause))
}

/// By what messages are sent from here.
#[derive(Debug, Clone, Default)]
pub struct Senders {
    /// By a webhook.
    pub webhook: Option<Webhook>,
    /// By mail.
    pub mail: Option<Mail>,
}

impl Senders {
    /// By which channels.
    pub fn channels(&self) -> Vec<Channel> {
        let webhook = self.webhook.iter().map(|_| Channel::Webhook);
        webhook.chain(self.mail.iter().map(|_| Channel::Mail)).collect()
    }

    async fn send(&self, channel: Channel, message: &Message, now: Wall) -> Result<(), String> {
        match (channel, &self.webhook, &self.mail) {
            (Channel::Webhook, Some(webhook), _) => webhook.send(message, now).await,
            (Channel::Mail, _, Some(mail)) => mail.send(message, now).await,
            (Channel::Webhook | Channel::Mail, ..) => Err("it is not configured here".to_owned()),
        }
    }
}

/// Sends messages.
#[derive(Clone)]
pub struct Telling {
    /// The database.
    pub db: Db,
    /// Head office's clock.
    pub clock: Arc<dyn Clock>,
    /// By what.
    pub senders: Senders,
}

impl Telling {
    /// Goes on until the future is dropped.
    pub async fn run(self) {
        let each = self
            .senders
            .channels()
            .into_iter()
            .map(|channel| self.clone().of(channel));
        futures_util::future::join_all(each).await;
    }

    /// One channel: another that stands still does not hold it up.
    async fn of(self, channel: Channel) {
        loop {
            if let Err(error) = self.look(channel).await {
                tracing::warn!("messages of alerts cannot be sent now: {error}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sends what is due by a channel; how many messages were taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn look(&self, channel: Channel) -> Result<usize, StoreError> {
        let now = self.clock.wall();
        let claimed = self
            .db
            .write(move |tx| outbox::claim(tx, channel, now, now.after_ms(CLAIM_MS), AT_A_LOOK));
        let mut taken = 0;
        for message in claimed.await? {
            let sent = self.senders.send(channel, &message, self.clock.wall()).await;
            let now = self.clock.wall();
            taken += usize::from(sent.is_ok());
            let noted = self.db.write(move |tx| match sent {
                Ok(()) => outbox::sent(tx, &message.id, channel, now),
                Err(why) => {
                    let again = again_at(message.made_at, message.tries, now);
                    let (id, channel_word) = (&message.id, channel.word());
                    match again {
                        Some(at) => tracing::warn!("message {id} by {channel_word}: {why}; it is tried again at {at}"),
                        None => tracing::error!("message {id} by {channel_word}: {why}; it is given up"),
                    }
                    outbox::failed(tx, &message.id, channel, &why, again, now)
                }
            });
            noted.await?;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_after_three_days_there_is_none() {
        let (made, mut now) = (Wall(0), Wall(0));
        let mut pauses = Vec::new();
        let mut tries = 1;
        while let Some(again) = again_at(made, tries, now) {
            pauses.push(again.ms_since(now) / 1_000);
            (now, tries) = (again, tries + 1);
        }
        assert_eq!(pauses[..7], [5, 20, 80, 320, 1_280, 5_120, 10_800]);
        assert!(pauses[7..].iter().all(|pause| *pause == 10_800));
        assert!(now.0 >= TRIED_MS && now.0 < TRIED_MS + PAUSES_MS[1]);
    }
}
