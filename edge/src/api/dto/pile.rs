//! Piles: what is kept of them, and what they say just now.

use crate::{
    api::{
        body::{Checked, check_reason},
        problem::Problem,
        wire::{At, Kw, Kwh, described},
    },
    credentials::Credentials,
};
use domain::{
    ids::{Outlet, PileId},
    messages::ConnectorReport,
    pile::Pile,
    policy::Policy,
    site::{DoubtKind, OutletLive, RegisterDoubt, Site},
    time::Now,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A pile to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProvisionPile {
    /// Its id, which is also its MQTT user name.
    #[schema(value_type = described::PileId)]
    pub id: PileId,
}

impl Checked for ProvisionPile {}

/// A pile's secret: shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PileSecret {
    /// The pile.
    pub id: String,
    /// Its MQTT password. `null` in a repeated answer: it is not kept; rotate it if it was lost.
    #[schema(required)]
    pub secret: Option<String>,
}

/// A certificate to be made for a pile.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueCertificate {
    /// For how many days it is valid.
    #[serde(default = "IssueCertificate::days")]
    #[schema(minimum = 1, maximum = 7300, default = 1095)]
    pub days: i64,
    /// The certificates before it count no more at once, and the pile's connections are closed: for one that was lost.
    /// Otherwise the one before counts until the pile comes with the new one.
    #[serde(default)]
    pub revoke: bool,
}

impl IssueCertificate {
    fn days() -> i64 {
        1_095
    }
}

impl Checked for IssueCertificate {
    fn check(&self) -> Result<(), Problem> {
        if (1..=7_300).contains(&self.days) {
            Ok(())
        } else {
            Err(Problem::field("days", "from 1 to 7300"))
        }
    }
}

/// A certificate for a pile: its key is shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PileCertificateView {
    /// The pile, and the certificate's common name.
    pub id: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM (PKCS #8). `null` in a repeated answer: it is not kept; make another if it was lost.
    #[schema(required)]
    pub private_key: Option<String>,
    /// The certificate of the authority by which the pile knows the station, PEM. `null` where the station shows one
    /// that it did not make itself.
    #[schema(required)]
    pub authority: Option<String>,
    /// When it ends.
    pub expires: At,
}

/// The station's own certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuthorityView {
    /// Its certificate, PEM.
    pub certificate: String,
}

/// A pile (桩).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PileView {
    /// Its id and MQTT user name.
    pub id: String,
    /// Let in no more; its history stays.
    pub removed: bool,
    /// Connected now.
    pub online: bool,
    /// For how long it has been connected, in seconds.
    #[schema(required)]
    pub online_for_s: Option<u64>,
    /// How long ago it last said anything, in seconds; `null` if not since the station started.
    #[schema(required)]
    pub heard_ago_s: Option<u64>,
    /// Maker, as the pile says.
    pub vendor: String,
    /// Model, as the pile says.
    pub model: String,
    /// Firmware, as the pile says.
    pub firmware: String,
    /// Its last start.
    #[schema(required)]
    pub boot_id: Option<String>,
    /// Why it takes no orders; `null` if it does.
    #[schema(required)]
    pub maintenance: Option<MaintenanceView>,
    /// Its meter and the orders disagreed in an energy report (计量异常); it goes on working. `null` if not, or once a
    /// person has cleared it.
    #[schema(required)]
    pub meter_abnormal: Option<MeterAbnormalView>,
    /// Faults within the window that decides about maintenance.
    pub recent_faults: usize,
    /// Drops off the network within the same window.
    pub recent_drops: usize,
    /// By how much its clock is behind the station's, in milliseconds; `null` if it has no clock or none was heard.
    #[schema(required)]
    pub clock_behind_ms: Option<i64>,
    /// Its clock is off by more than five minutes.
    pub clock_suspect: bool,
    /// When the latest certificate that the station issued to it ends; `null` if it has none.
    #[schema(required)]
    pub certificate_expires: Option<At>,
    /// Its connectors.
    pub connectors: Vec<ConnectorView>,
    /// Within the last hour two devices were noticed that use its identity: a start of it that had been replaced went on,
    /// or connections pushed each other out.
    pub two_devices: bool,
}

/// Why a pile takes no orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MaintenanceView {
    /// Words for people.
    pub reason: String,
    /// Who; `holdfast` for the rule about faults and drops.
    pub by: String,
    /// Since when.
    pub since: At,
}

/// What an energy report found about a pile's meter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeterAbnormalView {
    /// The business day whose report it was.
    #[schema(example = "2026-03-01")]
    pub day: String,
    /// Words for people.
    pub reason: String,
    /// When it was found.
    pub since: At,
}

/// A register that was found lower than it had been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RollbackView {
    /// Known before.
    pub known_kwh: Kwh,
    /// Found.
    pub found_kwh: Kwh,
}

/// A doubt about where a connector's register is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RegisterDoubtView {
    /// `lower` or `jumped`: it was found elsewhere, and the next session waits for a person. `waiting`: the pile keeps saying
    /// what cannot be, and what was known counts. `left`: it was found elsewhere, and a session has been looked at since.
    pub kind: String,
    /// Known before.
    pub known_kwh: Kwh,
    /// Found.
    pub found_kwh: Kwh,
    /// What to do.
    pub to_do: String,
}

impl RegisterDoubtView {
    fn of(doubt: RegisterDoubt) -> Self {
        let (kind, to_do) = match doubt.kind {
            DoubtKind::Lower => (
                "lower",
                "see which meter is there, then: holdfast-edge pile meter-cleared",
            ),
            DoubtKind::Jumped => (
                "jumped",
                "read the meter; if it shows this: holdfast-edge pile meter-cleared",
            ),
            DoubtKind::Waiting => (
                "waiting",
                "read the meter; if it shows this: holdfast-edge pile meter-cleared",
            ),
            DoubtKind::Left => ("left", "read the meter, then: holdfast-edge pile meter-cleared"),
        };
        Self {
            kind: kind.to_owned(),
            known_kwh: Kwh(doubt.known),
            found_kwh: Kwh(doubt.found),
            to_do: to_do.to_owned(),
        }
    }
}

/// A pile's meter is believed again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClearMeter {
    /// What was found and done, such as `meter replaced, certificate 4711`.
    pub reason: String,
}

impl Checked for ClearMeter {
    fn check(&self) -> Result<(), Problem> {
        check_reason("reason", &self.reason)
    }
}

/// A connector (枪).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConnectorView {
    /// Counted from 1.
    pub no: u8,
    /// The most it can deliver, as the pile says.
    #[schema(required)]
    pub max_kw: Option<Kw>,
    /// The register outside sessions.
    #[schema(required)]
    pub register_kwh: Option<Kwh>,
    /// When the pile started, its register was lower than it had been: another meter, or one that ran backwards. The next
    /// session waits for a person. `null` if not, or once that has come or a person has cleared it.
    #[schema(required)]
    pub register_lower: Option<RollbackView>,
    /// Why it is not certain where its register is; `null` if it is. `POST /v1/piles/{id}/meter-cleared` ends it.
    #[schema(required)]
    pub register_doubt: Option<RegisterDoubtView>,
    /// At fault: it takes no orders.
    pub faulted: bool,
    /// Its emergency stop is pressed, as far as is known.
    pub emergency_stop: bool,
    /// The order that occupies it.
    #[schema(required)]
    pub order: Option<String>,
    /// What it last said; `null` if nothing was heard.
    #[schema(required)]
    pub report: Option<ReportView>,
    /// It charges without an order of this station; `null` if not.
    #[schema(required)]
    pub unordered: Option<UnorderedView>,
}

/// Charging without an order, while it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnorderedView {
    /// When that was noted.
    pub since: At,
    /// The register when it was first seen.
    pub from_kwh: Kwh,
    /// The session that the pile names.
    #[schema(required)]
    pub named: Option<String>,
}

/// What a connector last said.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportView {
    /// `idle`, `plugged`, `charging`, `finished`, `fault` or `unavailable`.
    #[schema(example = "charging")]
    pub status: String,
    /// The session it is in.
    #[schema(required)]
    pub order: Option<String>,
    /// Volts; `null` where the pile did not say, or said what cannot be.
    #[schema(required)]
    pub voltage_v: Option<f64>,
    /// Amperes, likewise.
    #[schema(required)]
    pub current_a: Option<f64>,
    /// The car's state of charge in per cent.
    #[schema(required)]
    pub soc_pct: Option<f64>,
    /// Degrees Celsius at the plug.
    #[schema(required)]
    pub temp_c: Option<f64>,
    /// Its register.
    pub meter_kwh: Kwh,
    /// Fault texts, empty when all is well.
    pub faults: Vec<String>,
    /// When it was received.
    pub as_of: At,
    /// How old it is, in seconds.
    pub age_s: u64,
}

impl ReportView {
    fn of(live: &OutletLive, now: Now) -> Self {
        let ConnectorReport {
            status,
            order_id,
            voltage_v,
            current_a,
            soc_pct,
            temp_c,
            meter_kwh,
            faults,
            ..
        } = &live.report;
        Self {
            status: crate::api::wire::word(status),
            order: order_id.as_ref().map(ToString::to_string),
            voltage_v: *voltage_v,
            current_a: *current_a,
            soc_pct: *soc_pct,
            temp_c: *temp_c,
            meter_kwh: Kwh(*meter_kwh),
            faults: faults.clone(),
            as_of: At(live.as_of),
            age_s: now.mono.ms_since(live.received) / 1000,
        }
    }
}

impl PileView {
    /// The same with what is known of its certificate.
    pub(in crate::api) fn certified(mut self, credentials: &Credentials) -> Self {
        let pile = PileId::new(&self.id).ok();
        self.certificate_expires = pile.and_then(|pile| credentials.certificate_expires(&pile)).map(At);
        self
    }

    pub(in crate::api) fn of(pile: &Pile, site: &Site, now: Now) -> Self {
        let presence = site.presence(&pile.id);
        let online_since = presence.and_then(|presence| presence.online_since);
        let age_s = |at: domain::time::Mono| now.mono.ms_since(at) / 1000;
        let Policy { sick_window_ms, .. } = site.policy();
        let recent = |times: &[domain::time::Mono]| {
            let within = times.iter().filter(|at| now.mono.ms_since(**at) < *sick_window_ms);
            within.count()
        };
        let connectors = pile.connectors.iter().map(|(no, connector)| {
            let outlet = Outlet {
                pile: pile.id.clone(),
                connector: *no,
            };
            ConnectorView {
                no: no.0,
                max_kw: connector.power_max.map(Kw),
                register_kwh: connector.register.map(Kwh),
                register_lower: connector.rollback.map(|rollback| RollbackView {
                    known_kwh: Kwh(rollback.known),
                    found_kwh: Kwh(rollback.found),
                }),
                register_doubt: site.register_doubt(&outlet).map(RegisterDoubtView::of),
                faulted: connector.fault.is_at_fault(),
                emergency_stop: connector.fault.is_stopped(),
                order: site.order_at(&outlet).map(|order| order.id.to_string()),
                report: site.outlet(&outlet).map(|live| ReportView::of(live, now)),
                unordered: connector.unordered.as_ref().map(|seen| UnorderedView {
                    since: At(seen.since),
                    from_kwh: Kwh(seen.from),
                    named: seen.named.as_ref().map(ToString::to_string),
                }),
            }
        });
        Self {
            id: pile.id.to_string(),
            removed: pile.removed,
            online: online_since.is_some(),
            online_for_s: online_since.map(age_s),
            heard_ago_s: presence.and_then(|presence| presence.heard_at).map(age_s),
            vendor: pile.make.vendor.clone(),
            model: pile.make.model.clone(),
            firmware: pile.make.firmware.clone(),
            boot_id: pile.boot_id.as_ref().map(ToString::to_string),
            maintenance: pile.fenced_off().map(|fenced| MaintenanceView {
                reason: fenced.reason,
                by: fenced.by,
                since: At(fenced.since),
            }),
            meter_abnormal: pile.meter_abnormal.as_ref().map(|abnormal| MeterAbnormalView {
                day: abnormal.day.to_string(),
                reason: abnormal.reason.clone(),
                since: At(abnormal.since),
            }),
            recent_faults: recent(&pile.faults),
            recent_drops: recent(&pile.drops),
            clock_behind_ms: presence.and_then(|presence| presence.clock.correction_ms()),
            clock_suspect: presence.is_some_and(|presence| presence.clock.is_suspect()),
            certificate_expires: None,
            connectors: connectors.collect(),
            two_devices: presence.is_some_and(|presence| presence.has_two_devices(now.mono)),
        }
    }
}
