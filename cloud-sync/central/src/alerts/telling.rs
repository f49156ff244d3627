//! Messages are sent until they are taken, by whichever process claims them. A process that is killed between sending and noting
//! it sends once more: the id is the same, so that whoever gets it twice knows.

use super::mail::Mail;
use crate::{
    desk::Clock,
    report::delivery::Receivers,
    retry::Pauses,
    store::{
        Db, StoreError,
        outbox::{self, Channel, Message},
    },
    webhook::Webhook,
};
use domain::time::Wall;
use std::{sync::Arc, time::Duration};

/// How often it is looked for messages.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many are sent at a look.
const AT_A_LOOK: u64 = 16;
/// For how long a process has a message to itself, in milliseconds: longer than all of a look can take.
const CLAIM_MS: i64 = 20 * 60_000;
/// For how long a message is tried: 3 days, with pauses from 5 seconds to 3 hours.
const PAUSES: Pauses = Pauses {
    first_ms: 5_000,
    longest_ms: 3 * 3_600_000,
    tried_ms: 3 * 86_400_000,
};

/// By what messages are sent from here.
#[derive(Debug, Clone, Default)]
pub struct Senders {
    /// By a webhook.
    pub webhook: Option<Webhook>,
    /// By mail.
    pub mail: Option<Mail>,
    /// Reports.
    pub reports: Option<Receivers>,
}

impl Senders {
    /// By which channels alerts are told.
    pub fn channels(&self) -> Vec<Channel> {
        let webhook = self.webhook.iter().map(|_| Channel::Webhook);
        webhook.chain(self.mail.iter().map(|_| Channel::Mail)).collect()
    }

    /// By which channels anything is told.
    fn all_channels(&self) -> Vec<Channel> {
        let reports = self.reports.iter().flat_map(Receivers::channels);
        self.channels().into_iter().chain(reports).collect()
    }

    async fn send(&self, db: &Db, channel: Channel, message: &Message, now: Wall) -> Result<(), String> {
        let webhook = match channel {
            Channel::Webhook => self.webhook.as_ref(),
            Channel::ReportWebhook => self.reports.as_ref().and_then(|reports| reports.webhook.as_ref()),
            Channel::Mail | Channel::ReportMail => None,
        };
        match (channel, webhook, &self.mail, &self.reports) {
            (Channel::Webhook | Channel::ReportWebhook, Some(webhook), ..) => {
                let sent = webhook.send(&message.id, &message.body, now).await;
                sent.map_err(|not| not.why)
            }
            (Channel::Mail, _, Some(mail), _) => mail.send(message, now).await,
            (Channel::ReportMail, .., Some(reports)) => reports.send_mail(db, message, now).await,
            _ => Err("it is not configured here".to_owned()),
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
            .all_channels()
            .into_iter()
            .map(|channel| self.clone().of(channel));
        futures_util::future::join_all(each).await;
    }

    /// One channel: another that stands still does not hold it up.
    async fn of(self, channel: Channel) {
        loop {
            if let Err(error) = self.look(channel).await {
                tracing::warn!("messages by {} cannot be sent now: {error}", channel.word());
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
            let sent = self.senders.send(&self.db, channel, &message, self.clock.wall()).await;
            let now = self.clock.wall();
            taken += usize::from(sent.is_ok());
            let noted = self.db.write(move |tx| match sent {
                Ok(()) => outbox::sent(tx, &message.id, channel, now),
                Err(why) => {
                    let again = PAUSES.again_at(message.made_at, message.tries, now);
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
