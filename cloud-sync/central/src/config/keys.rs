//! Every key there is, and how its value is read: the one list that the file, the environment and the checks go by.

use super::check::Draft;
use service::{
    config::{Given, Key, shortened},
    http::serve::TCP_CONNECTIONS_MAX,
    keys,
};

/// Every key, in the order of `central.toml`.
pub(super) const KEYS: &[Key<Draft>] = keys! {
    "process" => |draft, given| draft.config.process = process(given)?;
    "data_dir" => |draft, given| draft.config.data_dir = given.path(&draft.folder)?;
    "socket" => |draft, given| draft.config.socket = given.path(&draft.folder)?;
    "log" => |draft, given| draft.config.log = given.text()?.to_owned();

    "database.url" => |draft, given| draft.url = given.optional(|given| given.text().map(str::to_owned))?;
    "database.url_file" => |draft, given| draft.url_file = given.optional(|given| given.path(&draft.folder))?;

    "sites.listen" => |draft, given| draft.config.sites.listen = given.optional(Given::address)?;
    "sites.address" => |draft, given| draft.config.sites.addresses = hosts_and_ports(given)?;
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
};

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
    match crate::config::split_address(text) {
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
