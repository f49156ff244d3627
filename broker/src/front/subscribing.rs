//! SUBSCRIBE and UNSUBSCRIBE: what is allowed, what it costs the router, and the retained messages that come with it.
//! Each filter has its own answer; one that is refused does not harm the others (MQTT-3.8.4-5).

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use crate::codec::subscribe::{
    FilterRequest, Options, RetainHandling, Subscribe, SubscribeResult, Unsubscribe, write_suback, write_unsuback,
};
use crate::core::Core;
use crate::gatekeeper::{Client, Subscribing};
use crate::session::{Queued, Subscription, Unsubscribed};
use crate::sessions::{CellState, SessionCell};
use crate::stats::Counters;

/// The filters of a SUBSCRIBE that were refused.
#[derive(Debug, Default)]
pub(super) struct RefusedFilters<'a> {
    pub(super) count: u64,
    /// The first of them, and why.
    pub(super) first: Option<(&'a str, SubscribeResult)>,
}

/// Subscribes and writes SUBACK; queues the retained messages behind it.
pub(super) fn subscribe<'a>(
    core: &Core,
    cell: &Arc<SessionCell>,
    client: &Client,
    now: Instant,
    packet: &Subscribe<'a>,
    output: &mut BytesMut,
) -> RefusedFilters<'a> {
    let mut refused = RefusedFilters::default();
    let mut results = Vec::with_capacity(packet.filters.len());
    let mut wanted = Vec::new();
    for request in &packet.filters {
        // More filters than a session may hold are not even looked at: each costs more than it did to send.
        let (result, is_new) = if results.len() < core.config.subscriptions_max {
            subscribe_one(core, cell, client, request, packet.subscription_id)
        } else {
            (SubscribeResult::QuotaExceeded, false)
        };
        results.push(result);
        let SubscribeResult::Granted(qos) = result else {
            refused.count += 1;
            refused.first.get_or_insert((request.filter, result));
            continue;
        };
        let is_wanted = match request.options.retain_handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if is_wanted {
            wanted.push((request.filter, qos));
        }
    }
    write_suback(output, client.protocol, packet.packet_id, &results);
    Counters::add(&core.counters.subscriptions_refused, refused.count);
    let Ok(mut state) = cell.lock_for(client) else {
        return refused;
    };
    // Looked up while nothing else gets into the queue: a newer message that the router forwards already would otherwise
    // stand before the retained one that it replaced, and the client would keep the older.
    let mut room = core.config.queue_messages_max;
    for (filter, qos) in wanted {
        let kept = core.lock_retained().matching(now, filter, room);
        room -= kept.len();
        for (topic, message) in kept {
            let queued = Queued {
                topic,
                payload: message.payload,
                qos: message.qos.min(qos),
                retain: true,
                properties: message.properties,
                subscription_ids: packet.subscription_id.into_iter().collect(),
                expires_at: message.expires_at,
                keep_while_offline: true,
            };
            if state.session.enqueue(queued).is_err() {
                Counters::one(&core.counters.queue_full);
            }
        }
    }
    refused
}

/// The result for one filter, and whether the subscription is new.
fn subscribe_one(
    core: &Core,
    cell: &Arc<SessionCell>,
    client: &Client,
    request: &FilterRequest<'_>,
    id: Option<u32>,
) -> (SubscribeResult, bool) {
    let filter = request.filter;
    if filter.starts_with("$share/") {
        return (SubscribeResult::SharedSubscriptionsNotSupported, false);
    }
    if !core.topics.fits(filter) {
        return (SubscribeResult::TopicFilterInvalid, false);
    }
    let (qos_max, is_shared) = match core.gatekeeper.authorize_subscribe(client, filter) {
        Subscribing::Direct(qos) => (qos, false),
        Subscribing::Shared(qos) => (qos, true),
        Subscribing::Refused => return (SubscribeResult::NotAuthorized, false),
    };
    let Ok(mut state) = cell.lock_for(client) else {
        // Taken over meanwhile: nobody will read the answer.
        return (SubscribeResult::NotAuthorized, false);
    };
    let (is_new, old_shared) = match state.session.subscription(filter) {
        Some(old) => (false, old.shared),
        None => (true, None),
    };
    if is_new && !state.session.has_room_to_subscribe() {
        return (SubscribeResult::QuotaExceeded, false);
    }
    let shared = match (is_shared, old_shared) {
        (true, Some(number)) => Some(number),
        (true, None) => match join_shared(core, cell, &mut state, filter) {
            Some(number) => Some(number),
            None => return (SubscribeResult::QuotaExceeded, false),
        },
        (false, old) => {
            if let Some(number) = old {
                leave_shared(core, &mut state, number);
            }
            None
        }
    };
    let options = Options {
        qos: request.options.qos.min(qos_max),
        ..request.options
    };
    state.session.subscribe(Subscription {
        filter: filter.into(),
        options,
        id,
        shared,
    });
    if !state.session.has_shared_subscription() {
        state.link = None;
    }
    (SubscribeResult::Granted(options.qos), is_new)
}

/// The number of a filter whose messages the router forwards from now on; `None` if the router is full.
fn join_shared(core: &Core, cell: &Arc<SessionCell>, state: &mut CellState, filter: &str) -> Option<u32> {
    let number = core.router.acquire(filter).ok()?;
    match core.router.subscribe(&mut state.link, cell, number) {
        Ok(()) => Some(number),
        Err(_) => {
            core.router.release(number);
            None
        }
    }
}

fn leave_shared(core: &Core, state: &mut CellState, number: u32) {
    if let Some(link) = &state.link {
        core.router.unsubscribe(link, number);
    }
    core.router.release(number);
}

/// Unsubscribes and writes UNSUBACK.
pub(super) fn unsubscribe(
    core: &Core,
    cell: &Arc<SessionCell>,
    client: &Client,
    packet: &Unsubscribe<'_>,
    output: &mut BytesMut,
) {
    let mut existed = Vec::with_capacity(packet.filters.len());
    let Ok(mut state) = cell.lock_for(client) else { return };
    for filter in &packet.filters {
        let found = state.session.unsubscribe(filter);
        existed.push(found != Unsubscribed::NotFound);
        if let Unsubscribed::Found { shared: Some(number) } = found {
            leave_shared(core, &mut state, number);
        }
    }
    if !state.session.has_shared_subscription() {
        state.link = None;
    }
    write_unsuback(output, client.protocol, packet.packet_id, &existed);
}
