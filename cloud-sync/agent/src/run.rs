//! The shell around the courier: a connection to the broker, requests to the station, and the clock.
//! It holds nothing that a restart would lose.

use crate::{
    courier::{Courier, Effect, Input, Progress},
    line::{Broker, Heard, Line},
    live::Watches,
    station::Station,
};
use domain::{ids::SiteId, time::Mono};
use protocol::{frame::Nonce, status::Hello};
use service::client::Failed;
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
};

/// The shortest and the longest pause before another connection is tried.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Speaks for one site.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Which.
    pub site: SiteId,
    /// Its station.
    pub station: Station,
    /// Head office's broker.
    pub broker: Broker,
}

/// What came of something that was done.
enum Done {
    Hello(Result<Hello, Failed>),
    Ping(Result<Nonce, Failed>),
    Page(Result<crate::courier::Page, Failed>),
    Handed(&'static str, Result<(), Failed>),
    Tail(Result<(), Failed>),
    Directive(Result<(), Failed>),
    Answered(u64, u16, Vec<u8>),
}

struct Shell {
    agent: Agent,
    courier: Courier,
    begun: Instant,
    line: Option<Line>,
    /// Since when the connection is up.
    up_since: Option<Instant>,
    hears: Option<mpsc::Receiver<Heard>>,
    /// How many connections have come to an end: each is tried at another node than the one before.
    tries: usize,
    /// When the next connection is tried, and how long the pause after that will be.
    next_try: Instant,
    pause: Duration,
    doing: JoinSet<Done>,
    fetching: Option<AbortHandle>,
    watches: Watches,
    told: watch::Sender<Progress>,
    trouble: Option<String>,
}

/// Runs until `shutdown` resolves. How far it is goes to `told`.
pub async fn run(agent: Agent, told: watch::Sender<Progress>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut shell = Shell {
        watches: Watches::of(&agent.station),
        agent,
        courier: Courier::new(),
        begun: Instant::now(),
        line: None,
        up_since: None,
        hears: None,
        tries: 0,
        next_try: Instant::now(),
        pause: PAUSES[0],
        doing: JoinSet::new(),
        fetching: None,
        told,
        trouble: None,
    };
    loop {
        let deadline = shell.wakes_at();
        let input = tokio::select! {
            () = &mut shutdown => break,
            heard = hear(&mut shell.hears) => shell.heard(heard),
            Some(done) = shell.doing.join_next() => shell.done(done),
            Some((order, frame)) = shell.watches.next() => Some(Input::Live(order, frame)),
            () = tokio::time::sleep_until(deadline.into()) => shell.woke(),
        };
        if let Some(input) = input {
            shell.give(input);
        }
        shell.tell();
    }
    if let Some(line) = shell.line.take() {
        line.say_goodbye().await;
    }
}

/// The next word of the connection; for ever nothing where there is none.
async fn hear(hears: &mut Option<mpsc::Receiver<Heard>>) -> Heard {
    match hears {
        Some(hears) => hears
            .recv()
            .await
            .unwrap_or_else(|| Heard::Down("its task ended".to_owned())),
        None => std::future::pending().await,
    }
}

impl Shell {
    fn now(&self) -> Mono {
        Mono(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn wakes_at(&self) -> Instant {
        let courier = self.courier.next_deadline();
        let courier = courier.map(|at| self.begun + Duration::from_millis(at.0));
        let line = self.line.is_none().then_some(self.next_try);
        let idle = Instant::now() + Duration::from_secs(3_600);
        courier.into_iter().chain(line).min().unwrap_or(idle)
    }

    fn woke(&mut self) -> Option<Input> {
        if self.line.is_none() && Instant::now() >= self.next_try {
            let Agent { site, broker, .. } = &self.agent;
            let (line, hears) = Line::open(site, broker, self.tries);
            (self.line, self.hears) = (Some(line), Some(hears));
        }
        Some(Input::Tick)
    }

    fn heard(&mut self, heard: Heard) -> Option<Input> {
        match heard {
            Heard::Up => {
                let (_, host, port) = self.agent.broker.node(self.tries);
                tracing::info!("connected to head office at {host}:{port}");
                self.up_since = Some(Instant::now());
                Some(Input::Connected)
            }
            Heard::Down(why) => {
                self.drop_line();
                let pause = self.next_try.saturating_duration_since(Instant::now());
                tracing::warn!("no connection to head office: {why}; the next try is in {pause:.0?}");
                Some(Input::Lost)
            }
            Heard::Message(kind, bytes) => Some(Input::Down(kind, bytes)),
        }
    }

    fn drop_line(&mut self) {
        if let Some(line) = self.line.take() {
            line.cut();
        }
        self.hears = None;
        // One that is ended again and again as soon as it is up is not hurried after.
        if self.up_since.take().is_some_and(|since| since.elapsed() >= PAUSES[1]) {
            self.pause = PAUSES[0];
        }
        self.tries += 1;
        self.next_try = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    fn give(&mut self, input: Input) {
        let now = self.now();
        for effect in self.courier.handle(now, input) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        let station = self.agent.station.clone();
        match effect {
            Effect::AskHello => {
                self.doing.spawn(async move { Done::Hello(station.hello().await) });
            }
            Effect::AskPing => {
                self.doing.spawn(async move { Done::Ping(station.ping().await) });
            }
            Effect::Fetch { after, limit, wait } => self.fetch(after, limit, wait),
            Effect::Send(kind, bytes) => {
                let taken = self.line.as_ref().is_none_or(|line| line.publish(kind, bytes));
                if !taken {
                    tracing::warn!("the connection to head office takes no more messages: it is made anew");
                    self.drop_line();
                    self.give(Input::Lost);
                }
            }
            Effect::HandAck(frame) => {
                self.doing
                    .spawn(async move { Done::Handed("ack", station.hand("ack", frame).await) });
            }
            Effect::HandPong(pong) => {
                self.doing
                    .spawn(async move { Done::Handed("pong", station.hand("pong", pong).await) });
            }
            Effect::HandTail(frame) => {
                self.doing
                    .spawn(async move { Done::Tail(station.hand("tail", frame).await) });
            }
            Effect::HandDirective(frame) => {
                self.doing
                    .spawn(async move { Done::Directive(station.hand("directive", frame).await) });
            }
            Effect::Get { id, path } => {
                self.doing.spawn(async move {
                    match station.get(&path).await {
                        Ok(answer) => Done::Answered(id, answer.status, answer.body.to_vec()),
                        Err(failed) => {
                            let detail = serde_json::json!({ "detail": failed.to_string() });
                            Done::Answered(id, 502, detail.to_string().into_bytes())
                        }
                    }
                });
            }
            Effect::Watch(order) => self.watches.begin(order),
            Effect::Unwatch(order) => self.watches.end(&order),
            Effect::Reconnect(why) => {
                tracing::warn!("the connection to head office is given up: {why}");
                self.drop_line();
            }
        }
    }

    /// Takes the place of the fetch before.
    fn fetch(&mut self, after: u64, limit: usize, wait: bool) {
        if let Some(fetching) = self.fetching.take() {
            fetching.abort();
        }
        let station = self.agent.station.clone();
        let fetch = async move { Done::Page(station.page(after, limit, wait).await) };
        let handle = self.doing.spawn(fetch);
        self.fetching = Some(handle);
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) -> Option<Input> {
        // A fetch that another one took the place of.
        let done = done.ok()?;
        match done {
            Done::Hello(Err(failed)) | Done::Page(Err(failed)) => {
                tracing::warn!("{failed}");
                Some(Input::StationAway)
            }
            // It is asked again by itself.
            Done::Ping(Err(failed)) => {
                tracing::warn!("{failed}");
                None
            }
            Done::Hello(Ok(hello)) if hello.site != self.agent.site => {
                let (is, named) = (&hello.site, &self.agent.site);
                tracing::error!("the station behind the socket is {is}, and this program speaks for {named}");
                None
            }
            Done::Hello(Ok(hello)) => Some(Input::Hello(Box::new(hello))),
            Done::Ping(Ok(nonce)) => Some(Input::Ping(nonce)),
            Done::Page(Ok(page)) => Some(Input::Page(page)),
            Done::Handed(_, Ok(())) => None,
            Done::Handed(what, Err(failed)) => {
                tracing::warn!("the station does not take head office's {what}: {failed}");
                None
            }
            Done::Tail(taken) => Some(Input::TailTaken(taken.map_err(|failed| failed.to_string()))),
            Done::Directive(taken) => Some(Input::DirectiveTaken(taken.map_err(|failed| failed.to_string()))),
            Done::Answered(id, status, body) => Some(Input::Answered { id, status, body }),
        }
    }

    fn tell(&mut self) {
        let progress = self.courier.progress();
        if progress.trouble != self.trouble {
            match &progress.trouble {
                Some(trouble) => tracing::error!("{trouble}"),
                None => tracing::info!("head office follows again"),
            }
            self.trouble.clone_from(&progress.trouble);
        }
        self.told.send_if_modified(|told| {
            let differs = *told != progress;
            *told = progress;
            differs
        });
    }
}
