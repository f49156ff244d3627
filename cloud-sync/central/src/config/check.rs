//! What no single value shows: whether the configuration fits together. Here a draft becomes a [`Config`].

use super::{Broker, Config, Mail, MiniProgram, Webhook, WebhookAddress};
use crate::{alerts::smtp::Security, store::Place};
use service::{
    config::{Found, shortened, split_address},
    public::is_public,
    tls::CertificateFiles,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tracing_subscriber::EnvFilter;

/// For how long an event is tried where the file says nothing, in milliseconds: 3 days.
const TRIED_MS: i64 = 3 * 86_400_000;

/// What the mini-program's back end is told by, while it is read.
#[derive(Default)]
pub(super) struct MiniProgramDraft {
    pub(super) url: Option<WebhookAddress>,
    pub(super) secret: Option<PathBuf>,
    pub(super) authority: Option<PathBuf>,
    pub(super) allow_private: bool,
    pub(super) tried_ms: Option<i64>,
}

/// The configuration while it is read.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) demonstration: bool,
    pub(super) url: Option<String>,
    pub(super) url_file: Option<PathBuf>,
    pub(super) broker: Vec<String>,
    pub(super) broker_plain: bool,
    pub(super) broker_authority: Option<PathBuf>,
    pub(super) broker_user: Option<String>,
    pub(super) broker_password: Option<PathBuf>,
    pub(super) broker_certificate: Option<PathBuf>,
    pub(super) broker_private_key: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
    pub(super) plain_http_beyond_loopback: bool,
    pub(super) webhook: Option<WebhookAddress>,
    pub(super) webhook_secret: Option<PathBuf>,
    pub(super) mail_server: Option<String>,
    pub(super) mail_security: Security,
    pub(super) mail_from: Option<String>,
    pub(super) mail_to: Vec<String>,
    pub(super) mail_user: Option<String>,
    pub(super) mail_password: Option<PathBuf>,
    pub(super) mini_program: MiniProgramDraft,
    pub(super) reports_webhook: Option<WebhookAddress>,
    pub(super) reports_webhook_secret: Option<PathBuf>,
    /// The folder of the file: relative paths count from here.
    pub(super) folder: PathBuf,
}

impl Draft {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            ..Self::default()
        }
    }

    /// Checks what the values mean together.
    pub(super) fn check(mut self, found: &mut Found) -> Option<Config> {
        if let Err(error) = EnvFilter::try_new(&self.config.log) {
            let given = shortened(&self.config.log);
            let advice = "give a level (error, warn, info, debug, trace), or levels for parts of the program such as \"info,broker=debug\"";
            found.fault("log", format!("`{given}` is not a log filter ({error}); {advice}"));
        }
        if self.config.clock_start.is_some() && !self.demonstration {
            found.fault(
                "clock.start",
                "money would be booked at a time that is not so. For a demonstration set `demonstration = true` under `[clock]`; \
                 otherwise remove it",
            );
        }
        self.check_database(found);
        self.check_listeners(found);
        self.check_broker(found);
        self.check_webhook(found);
        self.check_mail(found);
        self.check_mini_program(found);
        self.check_reports(found);
        self.config.tls.own = pair(
            found,
            ["tls.certificate", "tls.private_key"],
            (self.certificate.take(), self.private_key.take()),
        );
        Some(self.config)
    }

    /// A password stands in a file of its own rather than where everybody who may read the configuration sees it.
    fn check_database(&mut self, found: &mut Found) {
        let url = match (self.url.take(), self.url_file.take()) {
            (Some(_), Some(_)) => {
                found.fault(
                    "database.url_file",
                    "is given beside `url`; remove one of them: the file is for an address with a password",
                );
                return;
            }
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(text.trim().to_owned()),
                Err(error) => {
                    let path = path.display();
                    found.fault("database.url_file", format!("{path} cannot be read: {error}"));
                    return;
                }
            },
            (url, None) => url,
        };
        self.config.database = match url {
            Some(url) => Place::Postgres(url),
            None => Place::File(self.config.data_dir.join("central.sqlite")),
        };
    }

    fn check_listeners(&self, found: &mut Found) {
        let (sites, http) = (&self.config.sites, &self.config.http);
        let beyond = |address: &&SocketAddr| !address.ip().is_loopback();
        if let Some(address) = http.listen.as_ref().filter(beyond)
            && !self.plain_http_beyond_loopback
        {
            let message = format!(
                "{address} would carry access tokens over the network in the clear; let callers use HTTPS (`[http.tls]`), or set `plain_beyond_loopback = true` under `[http]` for a network that you trust"
            );
            found.fault("http.listen", message);
        }
        let all = [
            ("sites.listen", sites.listen),
            ("http.listen", http.listen),
            ("http.tls.listen", http.tls_listen),
        ];
        // Port 0 is another one each time.
        let fixed = |address: &SocketAddr| address.port() != 0;
        for (index, (key, address)) in all.iter().enumerate() {
            let before = all[..index].iter().find(|(_, other)| other == address);
            if let Some(address) = address.filter(fixed)
                && let Some((other, _)) = before
            {
                found.fault(key, format!("{address} is `{other}` too; give another port"));
            }
        }
    }

    fn check_webhook(&mut self, found: &mut Found) {
        self.config.alerts.webhook = webhook(
            found,
            ["alerts.webhook.url", "alerts.webhook.secret_file"],
            (self.webhook.take(), self.webhook_secret.take()),
        );
    }

    fn check_mini_program(&mut self, found: &mut Found) {
        let MiniProgramDraft {
            url,
            secret,
            authority,
            allow_private,
            tried_ms,
        } = std::mem::take(&mut self.mini_program);
        let keys = ["mini_program.webhook.url", "mini_program.webhook.secret_file"];
        if url.is_none() && secret.is_none() && authority.is_some() {
            found.fault(keys[0], "is missing; `authority` is of no use without it");
        }
        let Some(webhook) = webhook(found, keys, (url, secret)) else {
            return;
        };
        let inside = webhook.address.ip().filter(|ip| !allow_private && !is_public(*ip));
        if let Some(ip) = inside {
            let way_out = format!(
                "{ip} is inside of a private network; set `allow_private = true` if the mini-program's back end is there"
            );
            found.fault(keys[0], way_out);
        }
        self.config.mini_program = Some(MiniProgram {
            webhook,
            authority,
            allow_private,
            tried_ms: tried_ms.unwrap_or(TRIED_MS),
        });
    }

    fn check_mail(&mut self, found: &mut Found) {
        let user = user(
            found,
            ["alerts.mail.user", "alerts.mail.password_file"],
            (self.mail_user.take(), self.mail_password.take()),
        );
        let (from, to) = (self.mail_from.take(), std::mem::take(&mut self.mail_to));
        let Some(address) = self.mail_server.take() else {
            if user.is_some() || from.is_some() || !to.is_empty() {
                let way_out = "is missing; without it the other keys under `[alerts.mail]` are of no use";
                found.fault("alerts.mail.server", way_out);
            }
            return;
        };
        let Some((host, port)) = split_address(&address) else {
            return;
        };
        let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if self.mail_security == Security::Plain && !is_here {
            let way_out =
                "would send mail, and a password, over the network in the clear; give \"starttls\" or \"tls\"";
            found.fault("alerts.mail.security", way_out);
        }
        let Some(from) = from else {
            found.fault("alerts.mail.from", "is missing; give the address that mail is from");
            return;
        };
        if to.is_empty() {
            found.fault("alerts.mail.to", "is empty; give the addresses of those who get mail");
        }
        self.config.alerts.mail = Some(Mail {
            host: host.to_owned(),
            port,
            security: self.mail_security,
            from,
            to,
            user,
        });
    }

    /// After the mail server of alerts, by which reports go.
    fn check_reports(&mut self, found: &mut Found) {
        self.config.reports.webhook = webhook(
            found,
            ["reports.webhook.url", "reports.webhook.secret_file"],
            (self.reports_webhook.take(), self.reports_webhook_secret.take()),
        );
        let reports = &self.config.reports;
        if !reports.mail_to.is_empty() && self.config.alerts.mail.is_none() {
            let way_out =
                "needs a mail server: give `server` and `from` under `[alerts.mail]`, by which reports go too";
            found.fault("reports.mail_to", way_out);
        }
        if reports.provisional && reports.mail_to.is_empty() && reports.webhook.is_none() {
            let way_out =
                "is of no use without somebody who gets reports: give `mail_to`, or `url` under `[reports.webhook]`";
            found.fault("reports.provisional", way_out);
        }
    }

    fn check_broker(&mut self, found: &mut Found) {
        let certificate = pair(
            found,
            ["sites.broker.certificate", "sites.broker.private_key"],
            (self.broker_certificate.take(), self.broker_private_key.take()),
        );
        let user = user(
            found,
            ["sites.broker.user", "sites.broker.password_file"],
            (self.broker_user.take(), self.broker_password.take()),
        );
        let authority = self.broker_authority.take();
        let told = std::mem::take(&mut self.broker);
        if told.is_empty() {
            if user.is_some() || certificate.is_some() || authority.is_some() || self.broker_plain {
                found.fault(
                    "sites.broker.address",
                    "is missing; without it the other keys under `[sites.broker]` are of no use: sites come to head office's own listener",
                );
            }
            return;
        }
        let addresses = told.iter().filter_map(|address| split_address(address));
        let addresses = addresses.map(|(host, port)| (host.to_owned(), port)).collect();
        if self.config.sites.addresses.is_empty() {
            self.config.sites.addresses = told;
        }
        // Sites meet head office there, and nowhere else.
        self.config.sites.listen = None;
        self.config.sites.broker = Some(Broker {
            addresses,
            plain: self.broker_plain,
            authority,
            user,
            certificate,
        });
    }
}

/// A server that is told of something with the file of the secret, or neither.
fn webhook(found: &mut Found, keys: [&str; 2], given: (Option<WebhookAddress>, Option<PathBuf>)) -> Option<Webhook> {
    match given {
        (Some(address), Some(secret_file)) => Some(Webhook { address, secret_file }),
        (None, None) => None,
        (Some(_), None) => {
            let way_out = "is missing; `url` needs the file that holds the secret which messages are signed with";
            found.fault(keys[1], way_out);
            None
        }
        (None, Some(_)) => {
            found.fault(keys[0], "is missing; `secret_file` is of no use without it");
            None
        }
    }
}

/// A user with the file of their password, or neither.
fn user(found: &mut Found, keys: [&str; 2], given: (Option<String>, Option<PathBuf>)) -> Option<(String, PathBuf)> {
    match given {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) => {
            found.fault(keys[1], "is missing; `user` needs the file that holds its password");
            None
        }
        (None, Some(_)) => {
            found.fault(keys[0], "is missing; `password_file` is of no use without it");
            None
        }
    }
}

/// A certificate with its key, or neither.
fn pair(found: &mut Found, keys: [&str; 2], files: (Option<PathBuf>, Option<PathBuf>)) -> Option<CertificateFiles> {
    let alone = |given: &str| format!("is missing; `{given}` needs it, or leave both out");
    match files {
        (Some(certificate), Some(private_key)) => Some(CertificateFiles {
            certificate,
            private_key,
        }),
        (None, None) => None,
        (Some(_), None) => {
            found.fault(keys[1], alone(keys[0]));
            None
        }
        (None, Some(_)) => {
            found.fault(keys[0], alone(keys[1]));
            None
        }
    }
}
