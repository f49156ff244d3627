//! Every key there is, and how its value is read: the one list that the file, the environment and the checks go by.

use super::{HeadOffice, Retention, check::Draft};
use domain::{
    pile::REMEMBERED_MAX,
    time::Wall,
    units::{Fen, Power},
};
use jiff::SignedDuration;
use protocol::key::{PublicKey, PublicKeys};
use service::{
    config::{Given, Key},
    http::serve::TCP_CONNECTIONS_MAX,
    keys,
};
use std::ops::RangeInclusive;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MONTH: SignedDuration = SignedDuration::from_hours(31 * 24);

/// A wait of seconds to minutes.
const SHORT: RangeInclusive<SignedDuration> = SECOND..=HOUR;
/// A wait that may take days.
const LONG: RangeInclusive<SignedDuration> = SECOND..=MONTH;
/// From one fen to a sum that no charging session costs.
const MONEY: RangeInclusive<Fen> = Fen(1)..=Fen(10_000_000);
/// From 1 W to 10 MW.
const POWER: RangeInclusive<Power> = Power(1)..=Power(10_000_000);
const CACHE_BYTES: RangeInclusive<usize> = 1 << 20..=4 << 30;
const SITE_NUMBER_MAX: u64 = 999_999;
const KEPT_DAYS: RangeInclusive<u32> = Retention::DAYS_MIN..=Retention::DAYS_MAX;
const RESERVE_BYTES: RangeInclusive<usize> = 1 << 20..=4 << 30;
const FREE_BYTES: RangeInclusive<usize> = 1 << 20..=64 << 30;
const QUARANTINE_BYTES: RangeInclusive<usize> = 1 << 20..=1 << 30;
const JOURNAL_BYTES: RangeInclusive<usize> = 1 << 20..=1 << 30;
const CONNECTIONS: RangeInclusive<usize> = 1..=65_536;

/// Every key, in the order of `edge.toml`.
pub(super) const KEYS: &[Key<Draft>] = keys! {
    "site" => |draft, given| draft.site = Some(given.parsed()?);
    "time_zone" => |draft, given| draft.config.time_zone = given.text()?.to_owned();
    "data_dir" => |draft, given| draft.config.data_dir = given.path(&draft.folder)?;
    "socket" => |draft, given| draft.config.socket = given.path(&draft.folder)?;
    "sync_socket" => |draft, given|
        draft.config.sync_socket = given.optional(|given| given.path(&draft.folder))?;
    "cache" => |draft, given| draft.config.cache_bytes = given.bytes(CACHE_BYTES)?;
    "log" => |draft, given| draft.config.log = given.text()?.to_owned();
    "first_tariff" => |draft, given| draft.config.first_tariff = given.optional(|given| given.path(&draft.folder))?;

    "mqtt.listen" => |draft, given| draft.config.mqtt.listen = given.addresses()?;
    "mqtt.plain_beyond_loopback" => |draft, given| draft.plain_mqtt_beyond_loopback = given.boolean()?;
    "mqtt.connections_max" => |draft, given| draft.config.mqtt.connections_max = given.integer(CONNECTIONS)?;
    "mqtt.connections_per_address_max" => |draft, given|
        draft.config.mqtt.connections_per_address_max = given.integer(CONNECTIONS)?;
    "mqtt.tls.listen" => |draft, given| draft.config.mqtt.tls_listen = given.optional(Given::address)?;
    "mqtt.tls.names" => |draft, given| draft.config.tls.names = given.names()?;
    "mqtt.tls.certificate" => |draft, given| draft.certificate = given.optional(|given| given.path(&draft.folder))?;
    "mqtt.tls.private_key" => |draft, given| draft.private_key = given.optional(|given| given.path(&draft.folder))?;
    "mqtt.tls.client_ca" => |draft, given| draft.config.tls.client_ca = given.optional(|given| given.path(&draft.folder))?;

    "http.listen" => |draft, given| draft.config.http.listen = given.optional(Given::address)?;
    "http.plain_beyond_loopback" => |draft, given| draft.plain_http_beyond_loopback = given.boolean()?;
    "http.connections_per_address_max" => |draft, given|
        draft.config.http.connections_per_address_max = given.integer(1..=TCP_CONNECTIONS_MAX)?;
    "http.tls.listen" => |draft, given| draft.config.http.tls_listen = given.optional(Given::address)?;

    "disk.reserve" => |draft, given| draft.config.reserve_bytes = given.bytes(RESERVE_BYTES)? as u64;
    "disk.telemetry_below" => |draft, given|
        draft.config.policy.telemetry_below_bytes = given.bytes(FREE_BYTES)? as u64;
    "disk.orders_below" => |draft, given| draft.config.policy.orders_below_bytes = given.bytes(FREE_BYTES)? as u64;

    "clock.trusted" => |draft, given| draft.config.clock.trusted = given.boolean()?;
    "clock.demonstration" => |draft, given| draft.demonstration = given.boolean()?;
    "clock.rate" => |draft, given| draft.config.clock.rate = given.integer(1..=3_600)?;
    "clock.start" => |draft, given| draft.config.clock.start = given.optional(|given| Wall::parse(given.time()?))?;

    "retention.days" => |draft, given| draft.config.retention.days = given.integer(KEPT_DAYS)?;
    "retention.samples_days" => |draft, given| draft.config.retention.samples_days = given.integer(KEPT_DAYS)?;
    "retention.until_acknowledged" => |draft, given| draft.config.retention.until_acknowledged = given.boolean()?;

    "head_office.public_key" => |draft, given| draft.config.head_office.public_keys = head_office_keys(given)?;

    "head_office.site_number" => |draft, given|
        draft.config.head_office.site_number = given.optional(|given| given.integer(1..=SITE_NUMBER_MAX))?;

    "policy.start_timeout" => |draft, given| draft.config.policy.start_timeout_ms = given.duration_ms(SHORT)?;
    "policy.prepay_min" => |draft, given| draft.config.policy.prepay_min = given.amount("yuan", MONEY)?;
    "policy.prepay_max" => |draft, given| draft.config.policy.prepay_max = given.amount("yuan", MONEY)?;
    "policy.prepay_default" => |draft, given| draft.config.policy.prepay_default = given.amount("yuan", MONEY)?;
    "policy.open_orders_max" => |draft, given| draft.config.policy.open_orders_max = given.integer(1..=100)?;
    "policy.review_above" => |draft, given| draft.config.policy.review_above = given.amount("yuan", MONEY)?;
    "policy.notice" => |draft, given| draft.config.policy.notice_ms = given.duration_ms(SHORT)?;
    "policy.power_default" => |draft, given| draft.config.policy.power_default = given.amount("kW", POWER)?;
    "policy.record_request" => |draft, given| draft.config.policy.record_request_ms = given.duration_ms(LONG)?;
    "policy.record_overdue" => |draft, given| draft.config.policy.record_overdue_ms = given.duration_ms(LONG)?;
    "policy.remainder" => |draft, given| draft.config.policy.remainder_ms = given.duration_ms(LONG)?;
    "policy.gone" => |draft, given| draft.config.policy.gone_ms = given.duration_ms(LONG)?;
    "policy.faults_max" => |draft, given| draft.config.policy.faults_max = given.integer(1..=REMEMBERED_MAX)?;
    "policy.drops_max" => |draft, given| draft.config.policy.drops_max = given.integer(1..=REMEMBERED_MAX)?;
    "policy.sick_window" => |draft, given| draft.config.policy.sick_window_ms = given.duration_ms(LONG)?;
    "policy.fake_charging_window" => |draft, given|
        draft.config.policy.fake_charging_window_ms = given.duration_ms(SHORT)?;
    "policy.fake_charging_pct" => |draft, given| draft.config.policy.fake_charging_pct = given.integer(1..=100)?;
    "policy.offline_sessions" => |draft, given| draft.config.policy.offline_sessions = given.boolean()?;
    "policy.offline_session_cap" => |draft, given|
        draft.config.policy.offline_session_cap = given.amount("yuan", MONEY)?;
    "policy.quarantine_max" => |draft, given|
        draft.config.policy.quarantine_bytes_max = given.bytes(QUARANTINE_BYTES)? as u64;
    "policy.journal_per_pile_max" => |draft, given|
        draft.config.policy.journal_bytes_max = given.bytes(JOURNAL_BYTES)? as u64;
    "policy.clock_step" => |draft, given| draft.config.policy.clock_step_ms = given.duration_ms(SHORT)?;
    "policy.silent" => |draft, given| draft.config.policy.silent_ms = given.duration_ms(LONG)?;
    "policy.stop_unordered" => |draft, given| draft.config.policy.stop_unordered = given.boolean()?;
    "policy.second_person_above" => |draft, given|
        draft.config.policy.second_person_above = given.amount("yuan", MONEY)?;
};

/// One key, or several of which each counts; none for the empty text and the empty list.
fn head_office_keys(given: &Given) -> Result<PublicKeys, String> {
    let texts: Vec<&str> = match given {
        Given::List(items) => items.iter().map(Given::text).collect::<Result<_, _>>()?,
        given => given.text()?.split(',').map(str::trim).collect(),
    };
    let texts = texts.into_iter().filter(|text| !text.is_empty());
    let keys: Vec<PublicKey> = texts
        .map(|text| text.parse().map_err(|error| format!("{error}")))
        .collect::<Result<_, String>>()?;
    if keys.len() > HeadOffice::KEYS_MAX {
        let most = HeadOffice::KEYS_MAX;
        return Err(format!("has {} keys; at most {most} count at a time", keys.len()));
    }
    Ok(PublicKeys(keys))
}
