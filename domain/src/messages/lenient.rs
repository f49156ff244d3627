//! What each kind of message needs, and what becomes of the rest where it is missing or cannot be read.
//! Required is what money and order of events hang on; everything else has a value for "unknown".

use super::{
    AMPERES_MAX, Boot, BootConnector, BufferedSample, CELSIUS, CONNECTORS_MAX, Common, ConnectorReport, Event,
    FAULTS_MAX, Heartbeat, Record, Reply, SAMPLES_MAX, Signed, StopReason, Swipe, Up, VOLTS_MAX,
    object::{Dropped, Fault, Object, kept_text},
};
use crate::{ids::ConnectorNo, json::Object as Nested, topics::UpKind, units::Energy};
use serde_json::value::RawValue;

pub(super) fn common<'a>(kind: UpKind, message: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<Common, Fault> {
    let boot_id = message.required("boot_id")?;
    let (msg_id, seq, mono_ms) = if kind == UpKind::Heartbeat {
        // Which of two heartbeats is the later one is told by `seq`, and how the clocks run by `mono_ms`.
        (
            message.optional_id("msg_id", dropped),
            message.required("seq")?,
            message.required("mono_ms")?,
        )
    } else {
        (
            Some(message.required("msg_id")?),
            message.optional("seq", dropped).unwrap_or(0),
            message.optional("mono_ms", dropped).unwrap_or(0),
        )
    };
    Ok(Common {
        boot_id,
        seq,
        mono_ms,
        ts: message.optional("ts", dropped),
        msg_id,
    })
}

pub(super) fn body<'a>(kind: UpKind, message: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<Up, Fault> {
    Ok(match kind {
        UpKind::Boot => Up::Boot(boot(message, dropped)?),
        UpKind::Heartbeat => Up::Heartbeat(heartbeat(message, dropped)?),
        UpKind::Reply => Up::Reply(reply(message, dropped)?),
        UpKind::Record => Up::Record(Box::new(record(message, dropped)?)),
        UpKind::Event => Up::Event(event(message, dropped)?),
        UpKind::Card => Up::Card(swipe(message)?),
    })
}

fn boot<'a>(message: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<Boot, Fault> {
    Ok(Boot {
        connectors: each_connector(message, dropped, boot_connector)?,
        vendor: message.text("vendor", dropped),
        model: message.text("model", dropped),
        firmware: message.text("firmware", dropped),
    })
}

fn heartbeat<'a>(message: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<Heartbeat, Fault> {
    Ok(Heartbeat {
        connectors: each_connector(message, dropped, report)?,
    })
}

/// What a message says of each connector. One that cannot be read is dropped alone, and silences no other; where none can
/// be read, neither can the message.
fn each_connector<'a, T>(
    message: &Object<'a>,
    dropped: &mut Dropped<'a>,
    read: impl Fn(&Object<'a>, &mut Dropped<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let (mut connectors, mut faults) = (Vec::new(), Vec::new());
    for (written, object) in message.required_objects("connectors", CONNECTORS_MAX)? {
        match object.and_then(|object| read(&object, dropped)) {
            Ok(connector) => connectors.push(connector),
            Err(fault) => faults.push((written, fault)),
        }
    }
    if connectors.is_empty() && !faults.is_empty() {
        return Err(faults.swap_remove(0).1);
    }
    for (written, fault) in faults {
        dropped.note(fault.path, written);
    }
    Ok(connectors)
}

fn boot_connector<'a>(connector: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<BootConnector, Fault> {
    Ok(BootConnector {
        no: required_connector(connector, "no")?,
        max_kw: connector.optional("max_kw", dropped),
        meter_kwh: required_register(connector, "meter_kwh")?,
        order_id: connector.optional_id("order_id", dropped),
    })
}

fn report<'a>(connector: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<ConnectorReport, Fault> {
    Ok(ConnectorReport {
        no: required_connector(connector, "no")?,
        status: connector.required("status")?,
        meter_kwh: required_register(connector, "meter_kwh")?,
        order_id: connector.optional_id("order_id", dropped),
        voltage_v: connector.optional_if("voltage_v", |volts| is_voltage(*volts), dropped),
        current_a: connector.optional_if("current_a", |amperes| is_current(*amperes), dropped),
        soc_pct: connector.optional_if("soc_pct", |percent| is_charge(*percent), dropped),
        temp_c: connector.optional_if("temp_c", |degrees| is_temperature(*degrees), dropped),
        faults: faults(connector, dropped),
    })
}

/// A fault is a text; one that is a number is still a fault, and is kept as it was written.
fn faults<'a>(connector: &Object<'a>, dropped: &mut Dropped<'a>) -> Vec<String> {
    let list: Vec<&'a RawValue> = connector.optional("faults", dropped).unwrap_or_default();
    let path = |i: usize| format!("{}[{i}]", connector.path_of("faults"));
    if let Some(beyond) = list.get(FAULTS_MAX) {
        dropped.note_many(path(FAULTS_MAX), beyond.get(), list.len() - FAULTS_MAX);
    }
    let mut faults = Vec::new();
    for (i, raw) in list.into_iter().take(FAULTS_MAX).enumerate() {
        if let Ok(text) = serde_json::from_str::<String>(raw.get()) {
            faults.push(kept_text(text, || path(i), raw.get(), dropped));
            continue;
        }
        dropped.note(path(i), raw.get());
        if serde_json::from_str::<serde_json::Number>(raw.get()).is_ok() {
            let text = raw.get().to_owned();
            faults.push(kept_text(text, || path(i), raw.get(), &mut Dropped::default()));
        }
    }
    faults
}

fn reply<'a>(message: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<Reply, Fault> {
    Ok(Reply {
        command_id: message.required("command_id")?,
        ok: message.required("ok")?,
        code: message.optional("code", dropped).unwrap_or(0),
        message: message.text("message", dropped),
        meter_kwh: message.optional_if("meter_kwh", is_register, dropped),
    })
}

fn record<'a>(message: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<Record, Fault> {
    let is_lossy = dropped.is_lossy;
    Ok(Record {
        order_id: message.required("order_id")?,
        connector: required_connector(message, "connector")?,
        meter_start_kwh: required_register(message, "meter_start_kwh")?,
        meter_stop_kwh: required_register(message, "meter_stop_kwh")?,
        start_ts: message.optional("start_ts", dropped),
        stop_ts: message.optional("stop_ts", dropped),
        start_mono_ms: message.optional("start_mono_ms", dropped).unwrap_or(0),
        stop_mono_ms: message.optional("stop_mono_ms", dropped).unwrap_or(0),
        reason: reason(message, dropped),
        offline: message.optional("offline", dropped).unwrap_or(false),
        soc_start: message.optional_if("soc_start", |percent| is_whole_charge(*percent), dropped),
        soc_stop: message.optional_if("soc_stop", |percent| is_whole_charge(*percent), dropped),
        samples: samples(message, dropped),
        periods: message.optional("periods", dropped).map(|Nested(periods)| periods),
        card_id: message.optional_id("card_id", dropped),
        // A signature over other bytes than the meter signed proves nothing.
        signed: message
            .optional_if("signed", |Nested(signed)| !is_lossy || is_as_written(signed), dropped)
            .map(|Nested(signed)| signed),
        session_boot_id: message.optional_id("session_boot_id", dropped),
    })
}

fn reason<'a>(message: &Object<'a>, dropped: &mut Dropped<'a>) -> StopReason {
    let raw: Option<&'a RawValue> = message.optional("reason", dropped);
    let reason = raw.and_then(|raw| {
        let reason = Object::of(raw, message.path_of("reason"));
        reason.map_err(|fault| dropped.note(fault.path, raw.get())).ok()
    });
    StopReason {
        code: reason
            .as_ref()
            .and_then(|reason| reason.optional("code", dropped))
            .unwrap_or(StopReason::UNKNOWN),
        text: reason
            .as_ref()
            .map_or_else(String::new, |reason| reason.text("text", dropped)),
    }
}

fn samples<'a>(message: &Object<'a>, dropped: &mut Dropped<'a>) -> Vec<BufferedSample> {
    let list: Vec<&'a RawValue> = message.optional("samples", dropped).unwrap_or_default();
    let path = |i: usize| format!("{}[{i}]", message.path_of("samples"));
    let mut samples = Vec::new();
    for (i, raw) in list.iter().copied().take(SAMPLES_MAX).enumerate() {
        match sample(raw, path(i), dropped) {
            Ok(sample) => samples.push(sample),
            Err(_) => dropped.note(path(i), raw.get()),
        }
    }
    if let Some(beyond) = list.get(SAMPLES_MAX) {
        dropped.note_many(path(SAMPLES_MAX), beyond.get(), list.len() - SAMPLES_MAX);
    }
    samples
}

/// One buffered reading. It needs its uptime: that places it where the pile has no clock or set it since.
fn sample<'a>(raw: &'a RawValue, path: String, dropped: &mut Dropped<'a>) -> Result<BufferedSample, Fault> {
    let sample = Object::of(raw, path)?;
    Ok(BufferedSample {
        mono_ms: sample.required("mono_ms")?,
        meter_kwh: required_register(&sample, "meter_kwh")?,
        ts: sample.optional("ts", dropped),
    })
}

fn event<'a>(message: &Object<'a>, dropped: &mut Dropped<'a>) -> Result<Event, Fault> {
    Ok(Event {
        connector: required_connector(message, "connector")?,
        kind: message.required("kind")?,
        code: message.optional("code", dropped).unwrap_or(0),
        text: message.text("text", dropped),
    })
}

fn swipe(message: &Object<'_>) -> Result<Swipe, Fault> {
    Ok(Swipe {
        connector: required_connector(message, "connector")?,
        card_id: message.required("card_id")?,
    })
}

fn required_connector(object: &Object<'_>, name: &str) -> Result<ConnectorNo, Fault> {
    object.required_if(name, |no| {
        (!is_connector(no)).then_some("connectors are counted from 1")
    })
}

fn required_register(object: &Object<'_>, name: &str) -> Result<Energy, Fault> {
    object.required_if(name, |register| {
        (!is_register(register)).then_some("a register is never negative")
    })
}

// What types do not say. Comparisons with what is not a number are false.

pub(super) fn is_connector(no: &ConnectorNo) -> bool {
    no.0 > 0
}

pub(super) fn is_register(register: &Energy) -> bool {
    !register.is_negative()
}

pub(super) fn is_voltage(volts: f64) -> bool {
    (0.0..=VOLTS_MAX).contains(&volts)
}

pub(super) fn is_current(amperes: f64) -> bool {
    amperes.abs() <= AMPERES_MAX
}

pub(super) fn is_charge(percent: f64) -> bool {
    (0.0..=100.0).contains(&percent)
}

pub(super) fn is_whole_charge(percent: u8) -> bool {
    percent <= 100
}

pub(super) fn is_temperature(degrees: f64) -> bool {
    CELSIUS.contains(&degrees)
}

/// Of a message that is no UTF-8.
fn is_as_written(signed: &Signed) -> bool {
    !signed.data.contains(char::REPLACEMENT_CHARACTER)
}
