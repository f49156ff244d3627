//! Every key there is, and how its value is read: the one list that the file, the environment and the checks go by.

use super::{WebhookAddress, bills::mappings, check::Draft};
use crate::{alerts::smtp::Security, door};
use axum::http::Uri;
use domain::{time::Wall, units::Fen};
use jiff::SignedDuration;
use service::{
    config::{Given, Key, shortened},
    http::serve::TCP_CONNECTIONS_MAX,
    keys,
};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

/// From one fen to a sum that no charging session costs.
const MONEY: RangeInclusive<Fen> = Fen(1)..=Fen(10_000_000);

/// Every key, in the order of `central.toml`.
pub(super) const KEYS: &[Key<Draft>] = keys! {
    "process" => |draft, given| draft.config.process = process(given)?;
    "data_dir" => |draft, given| draft.config.data_dir = given.path(&draft.folder)?;
    "socket" => |draft, given| draft.config.socket = given.path(&draft.folder)?;
    "log" => |draft, given| draft.config.log = given.text()?.to_owned();

    "clock.demonstration" => |draft, given| draft.demonstration = given.boolean()?;
    "clock.start" => |draft, given| draft.config.clock_start = given.optional(|given| Wall::parse(given.time()?))?;

    "database.url" => |draft, given| draft.url = given.optional(|given| given.text().map(str::to_owned))?;
    "database.url_file" => |draft, given| draft.url_file = given.optional(|given| given.path(&draft.folder))?;

    "sites.listen" => |draft, given| draft.config.sites.listen = given.optional(Given::address)?;
    "sites.address" => |draft, given| draft.config.sites.addresses = hosts_and_ports(given)?;
    "sites.connections_per_address_max" => |draft, given|
        draft.config.sites.connections_per_address_max = given.integer(1..=door::CONNECTIONS_MAX)?;
    "sites.broker.address" => |draft, given| draft.broker = hosts_and_ports(given)?;
    "sites.broker.plain" => |draft, given| draft.broker_plain = given.boolean()?;
    "sites.broker.authority" => |draft, given|
        draft.broker_authority = given.optional(|given| given.path(&draft.folder))?;
    "sites.broker.user" => |draft, given| draft.broker_user = given.optional(|given| given.text().map(str::to_owned))?;
    "sites.broker.password_file" => |draft, given|
        draft.broker_password = given.optional(|given| given.path(&draft.folder))?;
    "sites.broker.certificate" => |draft, given|
        draft.broker_certificate = given.optional(|given| given.path(&draft.folder))?;
    "sites.broker.private_key" => |draft, given|
        draft.broker_private_key = given.optional(|given| given.path(&draft.folder))?;

    "http.listen" => |draft, given| draft.config.http.listen = given.optional(Given::address)?;
    "http.plain_beyond_loopback" => |draft, given| draft.plain_http_beyond_loopback = given.boolean()?;
    "http.connections_per_address_max" => |draft, given|
        draft.config.http.connections_per_address_max = given.integer(1..=TCP_CONNECTIONS_MAX)?;
    "http.tls.listen" => |draft, given| draft.config.http.tls_listen = given.optional(Given::address)?;
    "http.tls.address" => |draft, given| draft.config.http.address = given.optional(host_and_port)?;

    "tls.names" => |draft, given| draft.config.tls.names = given.names()?;
    "tls.certificate" => |draft, given| draft.certificate = given.optional(|given| given.path(&draft.folder))?;
    "tls.private_key" => |draft, given| draft.private_key = given.optional(|given| given.path(&draft.folder))?;

    "alerts.silent_after" => |draft, given| draft.config.alerts.thresholds.silent_after_ms = after_ms(given)?;
    "alerts.backlog_after" => |draft, given| draft.config.alerts.thresholds.backlog_after_ms = after_ms(given)?;
    "alerts.on_road_after" => |draft, given| draft.config.alerts.thresholds.on_road_after_ms = after_ms(given)?;
    "alerts.certificate_days" => |draft, given|
        draft.config.alerts.thresholds.certificate_days = given.integer(1..=365)?;
    "alerts.disk_free" => |draft, given|
        draft.config.alerts.thresholds.disk_free = given.bytes(1 << 20..=1 << 40)? as u64;
    "alerts.authority" => |draft, given|
        draft.config.alerts.authority = given.optional(|given| given.path(&draft.folder))?;
    "alerts.webhook.url" => |draft, given| draft.webhook = given.optional(webhook)?;
    "alerts.webhook.secret_file" => |draft, given|
        draft.webhook_secret = given.optional(|given| given.path(&draft.folder))?;
    "alerts.mail.server" => |draft, given| draft.mail_server = given.optional(host_and_port)?;
    "alerts.mail.security" => |draft, given| draft.mail_security = security(given)?;
    "alerts.mail.from" => |draft, given| draft.mail_from = given.optional(|given| mail_address(given.text()?))?;
    "alerts.mail.to" => |draft, given| draft.mail_to = mail_addresses(given)?;
    "alerts.mail.user" => |draft, given| draft.mail_user = given.optional(|given| given.text().map(str::to_owned))?;
    "alerts.mail.password_file" => |draft, given|
        draft.mail_password = given.optional(|given| given.path(&draft.folder))?;

    "after_sales.refund_second_person_above" => |draft, given|
        draft.config.after_sales.refund_second_person_above = given.amount("yuan", MONEY)?;
    "after_sales.bill_second_person_above" => |draft, given|
        draft.config.after_sales.bill_second_person_above = given.amount("yuan", MONEY)?;

    "mini_program.webhook.url" => |draft, given| draft.mini_program.url = given.optional(webhook)?;
    "mini_program.webhook.secret_file" => |draft, given|
        draft.mini_program.secret = given.optional(|given| given.path(&draft.folder))?;
    "mini_program.webhook.authority" => |draft, given|
        draft.mini_program.authority = given.optional(|given| given.path(&draft.folder))?;
    "mini_program.webhook.allow_private" => |draft, given| draft.mini_program.allow_private = given.boolean()?;
    "mini_program.webhook.try_for" => |draft, given| draft.mini_program.tried_ms = Some(tried_ms(given)?);

    "bills.folder" => |draft, given| draft.config.bills.folder = given.optional(|given| given.path(&draft.folder))?;
    "bills.csv" => |draft, given| draft.config.bills.csv = mappings(given)?;

    "reports.mail_to" => |draft, given| draft.config.reports.mail_to = mail_addresses(given)?;
    "reports.provisional" => |draft, given| draft.config.reports.provisional = given.boolean()?;
    "reports.webhook.url" => |draft, given| draft.reports_webhook = given.optional(webhook)?;
    "reports.webhook.secret_file" => |draft, given|
        draft.reports_webhook_secret = given.optional(|given| given.path(&draft.folder))?;
};

/// For how long an event is tried.
fn tried_ms(given: &Given) -> Result<i64, String> {
    let ms = given.duration_ms(SignedDuration::from_hours(1)..=SignedDuration::from_hours(24 * 30))?;
    i64::try_from(ms).map_err(|error| error.to_string())
}

/// After how long something is the matter: not within the minute in which sites are noted as heard.
fn after_ms(given: &Given) -> Result<i64, String> {
    let ms = given.duration_ms(SignedDuration::from_mins(2)..=SignedDuration::from_hours(24 * 30))?;
    i64::try_from(ms).map_err(|error| error.to_string())
}

fn security(given: &Given) -> Result<Security, String> {
    let wanted = "\"starttls\", \"tls\" or, for a server on this machine, \"plain\"";
    match given.text_or(wanted)? {
        "starttls" => Ok(Security::StartTls),
        "tls" => Ok(Security::Tls),
        "plain" => Ok(Security::Plain),
        other => Err(format!("`{}` is not {wanted}", shortened(other))),
    }
}

/// An address of ASCII, without a name: it stands in commands and headers as it is.
fn mail_address(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>,;:\"()[]\\".contains(&byte);
    let is_address = text.len() <= 254
        && text.bytes().all(plain)
        && text
            .split_once('@')
            .is_some_and(|(who, host)| !who.is_empty() && !host.is_empty() && !host.contains('@'));
    match is_address {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "`{}` is not a mail address such as ops@example.com",
            shortened(text)
        )),
    }
}

fn mail_addresses(given: &Given) -> Result<Vec<String>, String> {
    const ADDRESSES_MAX: usize = 16;
    let texts: Vec<&str> = match given {
        Given::List(items) => items.iter().map(Given::text).collect::<Result<_, _>>()?,
        Given::Loose(text) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(),
        other => {
            return Err(format!(
                "is {}; give a list such as [\"ops@example.com\"]",
                other.what()
            ));
        }
    };
    if texts.len() > ADDRESSES_MAX {
        return Err(format!(
            "has {} addresses; at most {ADDRESSES_MAX} are allowed",
            texts.len()
        ));
    }
    texts.into_iter().map(mail_address).collect()
}

/// `https://…`; on this machine also `http://…`: what is told is nobody else's business.
fn webhook(given: &Given) -> Result<WebhookAddress, String> {
    let wanted = "an address such as \"https://alerts.example/holdfast\"; without TLS only on this machine, as in \
                  \"http://127.0.0.1:9000/holdfast\"";
    let text = given.text_or(wanted)?;
    let wrong = || format!("`{}` is not {wanted}", shortened(text));
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    let (scheme, authority) = uri.scheme_str().zip(authority).ok_or_else(wrong)?;
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let host = authority.host();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    match scheme {
        "https" => Ok(WebhookAddress::Https {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(443),
            path,
        }),
        "http" => {
            let ip = if host == "localhost" { "127.0.0.1" } else { host };
            let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
            let at = SocketAddr::new(ip, authority.port_u16().unwrap_or(80));
            if ip.is_loopback() {
                Ok(WebhookAddress::Plain { at, path })
            } else {
                Err(wrong())
            }
        }
        _ => Err(wrong()),
    }
}

/// The name of a process: it stands in the database, in logs and as an MQTT client's id.
fn process(given: &Given) -> Result<String, String> {
    let text = given.text()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    let shown = shortened(text);
    Err(format!(
        "`{shown}` is not a name for a process; give 1 to 32 of A-Z a-z 0-9 _ -, such as \"head-office-2\""
    ))
}

/// `host:port`, as other machines reach it.
fn host_and_port(given: &Given) -> Result<String, String> {
    let wanted = "a host name or address and a port in quotes, such as \"head-office.example:8884\"";
    let text = given.text_or(wanted)?;
    match service::config::split_address(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("`{}` is not {wanted}", shortened(text))),
    }
}

/// `host:port` of one broker, or a list with that of each of its nodes; none for the empty text.
fn hosts_and_ports(given: &Given) -> Result<Vec<String>, String> {
    const NODES_MAX: usize = 16;
    let addresses: Vec<String> = match given {
        Given::List(items) => items.iter().map(host_and_port).collect::<Result<_, _>>()?,
        Given::Text(text) | Given::Loose(text) if text.is_empty() => Vec::new(),
        // An environment variable has no lists.
        Given::Loose(text) => {
            let parts = text.split(',').map(|part| Given::Text(part.trim().to_owned()));
            parts.map(|part| host_and_port(&part)).collect::<Result<_, _>>()?
        }
        one => vec![host_and_port(one)?],
    };
    match addresses.len() {
        0..=NODES_MAX => Ok(addresses),
        many => Err(format!("has {many} addresses; at most {NODES_MAX} are allowed")),
    }
}
