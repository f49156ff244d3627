//! The loop of one connection: read packets, act on them, write what its session has, keep the time.
//! One task, no split: reading stops while there is too much to write, so neither side can make the other grow.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use crate::codec::ack::{self, Ack, AckKind, Disconnect};
use crate::codec::publish::PublishPacket;
use crate::codec::subscribe::answer_len_v5;
use crate::codec::{self, DecodeError, Packet};
use crate::core::Core;
use crate::front::login::printable;
use crate::front::partial::Partial;
use crate::front::subscribing::{self, RefusedFilters};
use crate::gatekeeper::{Client, DisconnectCause, Protocol, Route};
use crate::message::Publish;
use crate::quota::{Quota, Share};
use crate::receipt::Receipt;
use crate::session::Received;
use crate::sessions::SessionCell;
use crate::stats::Counters;

/// Most that is read at once. The room is on the stack: a connection has a buffer only while half a packet lies in it.
const READ_BYTES: usize = 16 * 1024;
/// Reading and taking from the session stop while this much waits to be written.
const WRITE_BYTES_ENOUGH: usize = 16 * 1024;
/// How long, and how much, is read after the last word to the peer, so that it gets to read it.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 1024 * 1024;

/// What a connection starts from.
pub(super) struct Start {
    pub(super) cell: Arc<SessionCell>,
    pub(super) client: Arc<Client>,
    pub(super) quota: Arc<Quota>,
    /// Longest time without a packet.
    pub(super) silence_max: Duration,
}

/// Why the loop ends, and what an MQTT 5 client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Close {
    cause: DisconnectCause,
    code: Option<u8>,
}

impl From<DisconnectCause> for Close {
    fn from(cause: DisconnectCause) -> Self {
        Self {
            cause,
            code: cause.code_v5(),
        }
    }
}

/// Protocol errors with codes of their own (MQTT5 table 3-13).
const RECEIVE_MAXIMUM_EXCEEDED: Close = Close {
    cause: DisconnectCause::ProtocolError,
    code: Some(0x93),
};
const TOPIC_ALIAS_INVALID: Close = Close {
    cause: DisconnectCause::ProtocolError,
    code: Some(0x94),
};

const RETAIN_NOT_SUPPORTED: Close = Close {
    cause: DisconnectCause::NotAuthorized,
    code: Some(0x9A),
};

pub(super) struct Connection<S> {
    core: Arc<Core>,
    stream: S,
    cell: Arc<SessionCell>,
    client: Arc<Client>,
    protocol: Protocol,
    input: BytesMut,
    output: BytesMut,
    needs_flush: bool,
    /// Topic by alias, less one (MQTT5 3.3.2.3.4).
    aliases: Vec<Option<Arc<str>>>,
    /// Messages of the packets just handled that go on to shared subscribers.
    pass_on: Vec<Publish>,

    quota: Arc<Quota>,
    /// The identity's rate allows no packet before.
    held_until: Option<Instant>,
    /// Bytes of the message for which the identity has too many unresolved.
    needs_room: Option<usize>,
    /// The session waits for acknowledgements before it takes more messages.
    holds_back: bool,
    /// Reading had stopped when packets were last handled: the silence since is our doing.
    was_paused: bool,
    silence_max: Duration,
    last_packet_at: Instant,
    /// The packet at the front of `input`, of which not all has come.
    partial: Option<Partial>,
    /// When bytes were last written, or there were none to write.
    wrote_at: Instant,
    /// The session has been left.
    has_left: bool,
}

impl<S> Drop for Connection<S> {
    /// A gatekeeper that panics takes the connection's task with it; the session must not believe in it for ever.
    fn drop(&mut self) {
        if self.has_left {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (core, cell, client) = (self.core.clone(), self.cell.clone(), self.client.clone());
            runtime.spawn(async move { core.leave(&cell, &client, DisconnectCause::Dropped).await });
        }
    }
}

/// What ended a wait.
enum Event {
    /// There may be something to do.
    Progress,
    Read(usize),
    Close(Close),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// `input`: what came behind CONNECT; `connack`: the first thing to write.
    pub(super) fn new(core: Arc<Core>, stream: S, start: Start, input: BytesMut, connack: BytesMut) -> Self {
        let now = Instant::now();
        Self {
            core,
            stream,
            cell: start.cell,
            protocol: start.client.protocol,
            client: start.client,
            quota: start.quota,
            input,
            output: connack,
            needs_flush: false,
            aliases: Vec::new(),
            pass_on: Vec::new(),
            held_until: None,
            needs_room: None,
            holds_back: false,
            was_paused: false,
            silence_max: start.silence_max,
            last_packet_at: now,
            partial: None,
            wrote_at: now,
            has_left: false,
        }
    }

    /// Serves the connection to its end and takes it off its session.
    pub(super) async fn run(mut self) {
        let close = self.serve().await;
        let cause = close.cause;
        self.count(close);
        tracing::debug!(client_id = ?self.client.client_id, peer = %self.client.peer, ?cause, "disconnected");
        // In boxes, here and below, what a connection needs at its end or seldom: while it is idle they are not there.
        Box::pin(self.core.leave(&self.cell, &self.client, cause)).await;
        self.has_left = true;
        if let (Protocol::V5, Some(code)) = (self.protocol, close.code) {
            ack::write_disconnect_v5(&mut self.output, code);
        }
        if !matches!(cause, DisconnectCause::Dropped | DisconnectCause::SlowReader) {
            let last_words = async {
                self.stream.write_all_buf(&mut self.output).await?;
                close_gently(&mut self.stream).await
            };
            // The peer may be gone; there is nobody left to tell.
            drop(Box::pin(tokio::time::timeout(self.core.config.write_timeout, last_words)).await);
        }
    }

    fn count(&self, close: Close) {
        let counters = &self.core.counters;
        Counters::one(match close.cause {
            DisconnectCause::KeepAliveTimeout => &counters.keep_alive_timeouts,
            DisconnectCause::PartialPacketTimeout => &counters.partial_packet_timeouts,
            DisconnectCause::SlowReader => &counters.slow_readers,
            DisconnectCause::MalformedPacket => &counters.malformed,
            DisconnectCause::ProtocolError | DisconnectCause::QuotaExceeded => &counters.protocol_errors,
            DisconnectCause::PacketTooLarge => &counters.packets_too_large,
            DisconnectCause::NotAuthorized | DisconnectCause::TopicNameInvalid => &counters.publishes_refused,
            DisconnectCause::DeliveryFailed => &counters.deliveries_failed,
            DisconnectCause::Clean
            | DisconnectCause::CleanWithWill
            | DisconnectCause::Dropped
            | DisconnectCause::TakenOver
            | DisconnectCause::AdministrativeAction
            | DisconnectCause::ServerShuttingDown => return,
        });
    }

    async fn serve(&mut self) -> Close {
        let mut sleep = pin!(tokio::time::sleep(self.silence_max));
        loop {
            let now = Instant::now();
            // Until neither makes progress: acknowledgements that go out let more packets in.
            loop {
                self.take_output(now);
                match self.handle_input(now) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(close) => {
                        self.hand_on().await;
                        return close;
                    }
                }
                self.hand_on().await;
            }
            if let Some(close) = self.overdue(now) {
                return close;
            }
            // A timer that is early does no harm; moving it for every packet would.
            if let Some(deadline) = self.deadline()
                && (sleep.is_elapsed() || tokio::time::Instant::from_std(deadline) < sleep.deadline())
            {
                sleep.as_mut().reset(deadline.into());
            }
            match self.wait(sleep.as_mut()).await {
                Event::Progress => {}
                Event::Read(0) => return DisconnectCause::Dropped.into(),
                Event::Read(read) => Counters::add(&self.core.counters.bytes_in, read as u64),
                Event::Close(close) => {
                    // Acknowledgements that are due still go out.
                    self.take_output(Instant::now());
                    return close;
                }
            }
        }
    }

    /// Waits for the socket, the session or the time. Writes what can be written on the way.
    async fn wait(&mut self, mut sleep: Pin<&mut Sleep>) -> Event {
        let is_reading = self.is_reading();
        let has_deadline = self.deadline().is_some();
        poll_fn(|cx| {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Progress),
                Poll::Ready(Err(_)) => return Poll::Ready(Event::Close(DisconnectCause::Dropped.into())),
                Poll::Pending => {}
            }
            if let Poll::Ready(event) = self.poll_session(cx) {
                return Poll::Ready(event);
            }
            if let Some(bytes) = self.needs_room
                && self.quota.has_room(bytes, Some(cx.waker()))
            {
                return Poll::Ready(Event::Progress);
            }
            if is_reading {
                match self.poll_read(cx) {
                    Poll::Ready(Ok(read)) => return Poll::Ready(Event::Read(read)),
                    Poll::Ready(Err(_)) => return Poll::Ready(Event::Close(DisconnectCause::Dropped.into())),
                    Poll::Pending => {}
                }
            }
            if has_deadline {
                sleep.as_mut().poll(cx).map(|()| Event::Progress)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        Pin::new(&mut self.stream).poll_read(cx, &mut read).map_ok(|()| {
            self.input.extend_from_slice(read.filled());
            read.filled().len()
        })
    }

    /// Ready when bytes have gone out and there may be room for more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let was_full = self.output.len() >= WRITE_BYTES_ENOUGH;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.output.advance(written);
                    self.wrote_at = Instant::now();
                    self.needs_flush = true;
                    Counters::add(&self.core.counters.bytes_out, written as u64);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if self.needs_flush {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.needs_flush = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        if was_full && self.output.len() < WRITE_BYTES_ENOUGH {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn poll_session(&self, cx: &Context<'_>) -> Poll<Event> {
        let mut state = self.cell.lock();
        match &state.attachment {
            Some(attachment) if attachment.client.connection == self.client.connection => {
                if let Some(cause) = attachment.close {
                    return Poll::Ready(Event::Close(cause.into()));
                }
            }
            _ => return Poll::Ready(Event::Close(DisconnectCause::TakenOver.into())),
        }
        if self.output.len() < WRITE_BYTES_ENOUGH && state.session.has_output() {
            return Poll::Ready(Event::Progress);
        }
        state.set_waker(cx.waker());
        Poll::Pending
    }

    fn is_reading(&self) -> bool {
        self.output.len() < WRITE_BYTES_ENOUGH
            && self.held_until.is_none()
            && self.needs_room.is_none()
            && !self.holds_back
    }

    /// Takes from the session what is to be sent.
    fn take_output(&mut self, now: Instant) {
        if self.output.is_empty() {
            self.wrote_at = now;
        }
        let tally = {
            let mut state = self.cell.lock();
            if !state.is_attached(self.client.connection) {
                return;
            }
            state.session.write_output(now, &mut self.output, WRITE_BYTES_ENOUGH);
            self.holds_back = state.session.holds_back();
            state.session.take_tally()
        };
        let counters = &self.core.counters;
        for (counter, n) in [
            (&counters.publishes_out, tally.sent),
            (&counters.expired, tally.expired),
            (&counters.above_client_maximum, tally.above_client_maximum),
        ] {
            if n > 0 {
                Counters::add(counter, n);
            }
        }
    }

    /// The first limit in time that has been reached.
    fn overdue(&self, now: Instant) -> Option<Close> {
        let config = &self.core.config;
        if !self.output.is_empty() && now >= self.wrote_at + config.write_timeout {
            return Some(DisconnectCause::SlowReader.into());
        }
        if !self.is_reading() {
            return None;
        }
        if self.partial.is_some_and(|packet| now >= packet.deadline(config)) {
            return Some(DisconnectCause::PartialPacketTimeout.into());
        }
        let silent_at = self.silent_at();
        silent_at
            .is_some_and(|at| now >= at)
            .then(|| DisconnectCause::KeepAliveTimeout.into())
    }

    /// When there has been no packet for too long. One that may take as long as a thin line needs is no silence while it comes.
    fn silent_at(&self) -> Option<Instant> {
        let comes = self.partial.is_some() && self.core.config.partial_packet_rate_min.is_some();
        (!comes).then(|| self.last_packet_at + self.silence_max)
    }

    /// When [`overdue`](Self::overdue) or the rate must be looked at again.
    fn deadline(&self) -> Option<Instant> {
        let config = &self.core.config;
        let write = (!self.output.is_empty()).then(|| self.wrote_at + config.write_timeout);
        let (packet, silence) = if self.is_reading() {
            (self.partial.map(|packet| packet.deadline(config)), self.silent_at())
        } else {
            (None, None)
        };
        [write, packet, silence, self.held_until].into_iter().flatten().min()
    }

    /// Handles the complete packets that may be handled now; returns how many.
    fn handle_input(&mut self, now: Instant) -> Result<usize, Close> {
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
        if self.needs_room.is_some_and(|bytes| self.quota.has_room(bytes, None)) {
            self.needs_room = None;
        }
        if !self.is_reading() {
            return Ok(0);
        }
        if std::mem::take(&mut self.was_paused) {
            self.last_packet_at = now;
            self.partial = None;
        }
        let mut input = std::mem::take(&mut self.input);
        let result = self.handle_packets(now, &mut input);
        self.input = input;
        if self.input.is_empty() {
            self.partial = None;
            self.input = BytesMut::new();
        } else {
            let (bytes, goes_on) = (self.input.len(), !matches!(result, Ok(handled) if handled > 0));
            let packet = self.partial.filter(|_| goes_on);
            let packet = self.partial.insert(packet.unwrap_or(Partial::begun(now, bytes)));
            packet.has(now, bytes);
        }
        self.was_paused = !self.is_reading();
        result
    }

    fn handle_packets(&mut self, now: Instant, input: &mut BytesMut) -> Result<usize, Close> {
        let mut handled = 0;
        while self.is_reading() {
            let frame = match codec::frame(input, self.core.config.packet_bytes_max) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return Err(self.refuse_packet(error)),
            };
            let share = if frame.is_publish() {
                let share = self.quota.reserve(frame.len);
                if share.is_none() {
                    self.needs_room = Some(frame.len);
                    Counters::one(&self.core.counters.rate_limited);
                    break;
                }
                share
            } else {
                None
            };
            if let Err(next) = self.quota.take_packet(frame.len, now) {
                self.held_until = Some(next);
                Counters::one(&self.core.counters.rate_limited);
                break;
            }
            let packet = frame
                .decode(input, self.protocol)
                .map_err(|error| self.refuse_packet(error))?;
            self.last_packet_at = now;
            self.handle_packet(now, packet, share)?;
            input.advance(frame.len);
            handled += 1;
        }
        Ok(handled)
    }

    fn refuse_packet(&self, error: DecodeError) -> Close {
        if let Some(left_out) = self.quota.log_line(&self.client, Instant::now()) {
            let Client { client_id, peer, .. } = &*self.client;
            tracing::info!(?client_id, %peer, left_out, %error, "packet refused");
        }
        error.cause().into()
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet<'_>, share: Option<Share>) -> Result<(), Close> {
        if matches!(packet, Packet::PingReq | Packet::Subscribe(_) | Packet::Unsubscribe(_)) {
            // Their answers are written at once; what is due for earlier packets goes before.
            self.take_output(now);
        }
        match packet {
            Packet::Publish(publish) => self.handle_publish(publish, share)?,
            Packet::Subscribe(packet) => {
                self.check_answer_to(packet.filters.len())?;
                let output = &mut self.output;
                let refused = subscribing::subscribe(&self.core, &self.cell, &self.client, now, &packet, output);
                self.log_refused_filters(now, &refused);
            }
            Packet::Unsubscribe(packet) => {
                self.check_answer_to(packet.filters.len())?;
                subscribing::unsubscribe(&self.core, &self.cell, &self.client, &packet, &mut self.output);
            }
            Packet::PubAck(ack) => self.cell.lock_for(&self.client)?.session.receive_puback(ack),
            Packet::PubRec(ack) => {
                let mut state = self.cell.lock_for(&self.client)?;
                state.session.receive_pubrec(ack, &mut self.output);
            }
            Packet::PubComp(ack) => self.cell.lock_for(&self.client)?.session.receive_pubcomp(ack),
            Packet::PubRel(Ack { packet_id, .. }) => {
                let reason = self.cell.lock_for(&self.client)?.session.receive_pubrel(packet_id);
                let ack = Ack { packet_id, reason };
                ack::write(&mut self.output, self.protocol, AckKind::Complete, ack);
            }
            Packet::PingReq => ack::write_pingresp(&mut self.output),
            Packet::Disconnect(disconnect) => return Err(self.handle_disconnect(disconnect)),
        }
        Ok(())
    }

    /// An answer that is larger than the client takes may not be sent (MQTT-3.1.2-24), nor left out.
    fn check_answer_to(&self, filters: usize) -> Result<(), Close> {
        let max = self.cell.lock_for(&self.client)?.session.packet_bytes_max();
        if self.protocol == Protocol::V5 && answer_len_v5(filters) > max {
            return Err(DisconnectCause::PacketTooLarge.into());
        }
        Ok(())
    }

    fn handle_disconnect(
        &self,
        Disconnect {
            reason,
            session_expiry_s,
        }: Disconnect,
    ) -> Close {
        if let Some(asked_s) = session_expiry_s {
            let session = self.cell.lock_for(&self.client);
            if let Err(cause) = session.and_then(|mut state| state.session.change_expiry(asked_s)) {
                return cause.into();
            }
        }
        // Only 0x00 discards the will (MQTT-3.14.4-3).
        if reason == 0 {
            DisconnectCause::Clean.into()
        } else {
            DisconnectCause::CleanWithWill.into()
        }
    }

    fn handle_publish(&mut self, packet: PublishPacket<'_>, share: Option<Share>) -> Result<(), Close> {
        let core = self.core.clone();
        Counters::one(&core.counters.publishes_in);
        let topic = self.resolve_topic(&packet)?;
        if !core
            .gatekeeper
            .authorize_publish(&self.client, &topic, packet.qos, packet.retain)
        {
            self.log_refused_publish(&topic, "it may not publish there");
            return Err(DisconnectCause::NotAuthorized.into());
        }
        if packet.retain && !core.gatekeeper.may_retain(&self.client) {
            self.log_refused_publish(&topic, "it may not retain");
            return Err(RETAIN_NOT_SUPPORTED);
        }
        let received = {
            let mut state = self.cell.lock_for(&self.client)?;
            let received = state.session.receive_publish(packet.qos, packet.packet_id);
            self.holds_back = state.session.holds_back();
            received
        };
        let ticket = match received {
            Received::New(ticket) => ticket,
            Received::Duplicate => return Ok(()),
            Received::AboveReceiveMaximum => return Err(RECEIVE_MAXIMUM_EXCEEDED),
        };
        let receipt = match ticket {
            Some(ticket) => Receipt::for_session(self.cell.clone(), ticket),
            None => Receipt::inert(),
        };
        let receipt = receipt.holding(share);
        let publish = Publish {
            topic,
            payload: bytes::Bytes::copy_from_slice(packet.payload),
            qos: packet.qos,
            retain: packet.retain,
            dup: packet.dup,
            properties: packet.properties,
        };
        if core.gatekeeper.deliver(&self.client, &publish, receipt) == Route::PassOn {
            self.pass_on.push(publish);
        }
        Ok(())
    }

    /// One line, however many there were.
    fn log_refused_filters(&self, now: Instant, refused: &RefusedFilters<'_>) {
        let Some((filter, why)) = refused.first else { return };
        if let Some(left_out) = self.quota.log_line(&self.client, now) {
            let (filter, count) = (printable(filter), refused.count);
            tracing::info!(client_id = ?self.client.client_id, filter, ?why, count, left_out, "subscriptions refused");
        }
    }

    fn log_refused_publish(&self, topic: &str, why: &str) {
        if let Some(left_out) = self.quota.log_line(&self.client, Instant::now()) {
            tracing::info!(client_id = ?self.client.client_id, ?topic, left_out, why, "publish refused");
        }
    }

    /// The topic that a PUBLISH names or has an alias for (MQTT5 3.3.2.3.4).
    fn resolve_topic(&mut self, packet: &PublishPacket<'_>) -> Result<Arc<str>, Close> {
        let slot = match packet.alias {
            None => None,
            Some(alias) if alias == 0 || alias > self.core.config.topic_alias_maximum => {
                return Err(TOPIC_ALIAS_INVALID);
            }
            Some(alias) => {
                let at = usize::from(alias) - 1;
                if self.aliases.len() <= at {
                    self.aliases.resize(at + 1, None);
                }
                Some(&mut self.aliases[at])
            }
        };
        if packet.topic.is_empty()
            && let Some(slot) = slot
        {
            // An alias that was never set up is a protocol error.
            return slot.clone().ok_or_else(|| DisconnectCause::ProtocolError.into());
        }
        if !self.core.topics.is_name(packet.topic) {
            return Err(DisconnectCause::TopicNameInvalid.into());
        }
        let topic: Arc<str> = packet.topic.into();
        if let Some(slot) = slot {
            *slot = Some(topic.clone());
        }
        Ok(topic)
    }

    /// Gives the router what the last packets left for it; waits while that is busy.
    async fn hand_on(&mut self) {
        if !self.pass_on.is_empty() {
            let batch = std::mem::take(&mut self.pass_on);
            Box::pin(self.core.pass_on(self.cell.serial, batch)).await;
        }
    }
}

/// Ends the stream such that the peer can read the last bytes: closing with unread input would reset the connection.
pub(super) async fn close_gently<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let drain = async {
        let mut rest = [0; 1024];
        let mut drained = 0;
        while drained < LINGER_BYTES {
            match stream.read(&mut rest).await {
                Ok(0) | Err(_) => break,
                Ok(read) => drained += read,
            }
        }
    };
    // Whoever has not closed by then has had the time to read.
    drop(tokio::time::timeout(LINGER, drain).await);
    Ok(())
}
