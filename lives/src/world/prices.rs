//! The world's own idea of what energy costs, written without `domain::rating` and without `domain::tariff`.
//!
//! A bill prints which energy fell into which period. The world does not believe the sums under it: it looks each period
//! up in a table of its own, multiplies and rounds for itself, and compares what fell into each period with what the
//! simulated meter counted in that time. Rating the physical curve directly would need a tolerance in fen, because the
//! station may be some seconds off; so the times are compared with a tolerance, and the money to the fen.

use domain::{rating::BillSegment, time::Wall};

/// The tariff as the station gets it, in Asia/Shanghai.
pub(super) const TARIFF: &str = r#"
id = "world-1"
effective_from = 2026-01-01T00:00:00+08:00
currency = "CNY"
[prices]
sharp  = { electricity = "1.18255", service = "0.45000" }
peak   = { electricity = "0.97680", service = "0.45000" }
flat   = { electricity = "0.64370", service = "0.40000" }
valley = { electricity = "0.29830", service = "0.30000" }
[[schedules]]
periods = [
    { from = "00:00", to = "06:00", kind = "valley" },
    { from = "06:00", to = "08:00", kind = "flat" },
    { from = "08:00", to = "11:30", kind = "peak" },
    { from = "11:30", to = "13:00", kind = "sharp" },
    { from = "13:00", to = "18:00", kind = "flat" },
    { from = "18:00", to = "19:00", kind = "peak" },
    { from = "19:00", to = "21:30", kind = "sharp" },
    { from = "21:30", to = "24:00", kind = "valley" },
]
"#;

/// From which half hour on which prices hold: electricity and service, in 0.00001 yuan per kWh.
const TABLE: [(i64, i64, i64); 8] = [
    (0, 29_830, 30_000),
    (12, 64_370, 40_000),
    (16, 97_680, 45_000),
    (23, 118_255, 45_000),
    (26, 64_370, 40_000),
    (36, 97_680, 45_000),
    (38, 118_255, 45_000),
    (43, 29_830, 30_000),
];

const HALF_HOUR_MS: i64 = 1_800_000;

/// Electricity and service at that time. China has one offset all year.
fn price(at: Wall) -> (i64, i64) {
    let half_hour = (at.0 + 16 * HALF_HOUR_MS).rem_euclid(48 * HALF_HOUR_MS) / HALF_HOUR_MS;
    let found = TABLE.iter().rev().find(|(from, _, _)| *from <= half_hour);
    let (_, electricity, service) = found.expect("the table begins at midnight");
    (*electricity, *service)
}

/// What these segments cost, electricity and service in fen; or which of them has a price that does not hold then.
pub(super) fn cost(segments: &[BillSegment]) -> Result<(i64, i64), String> {
    let (mut electricity, mut service) = (0_i128, 0_i128);
    for segment in segments {
        let price = price(segment.from);
        let mut at = segment.from;
        while at < segment.to {
            if self::price(at) != price {
                return Err(format!(
                    "a segment from {} to {} has more than one price",
                    segment.from, segment.to
                ));
            }
            at = Wall(at.0 - at.0.rem_euclid(HALF_HOUR_MS) + HALF_HOUR_MS);
        }
        if (segment.electricity_price.0, segment.service_price.0) != price {
            return Err(format!("the prices from {} are not those of the table", segment.from));
        }
        electricity += i128::from(segment.energy.0) * i128::from(price.0);
        service += i128::from(segment.energy.0) * i128::from(price.1);
    }
    Ok((to_fen(electricity), to_fen(service)))
}

/// From 0.1 Wh × 0.00001 yuan per kWh, half away from zero.
fn to_fen(amount: i128) -> i64 {
    const FEN: i128 = 10_000_000;
    let rounded = (amount.abs() + FEN / 2) / FEN * amount.signum();
    i64::try_from(rounded).expect("a fee is an i64")
}
