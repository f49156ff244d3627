//! Money, energy, power and prices: integers in the smallest unit, decimal strings on the wire.
//! No float ever touches them, not even where JSON gives a number.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
    str::FromStr,
};

/// The most units that are read of any amount, either way: what is more can be written, and not be read again.
pub const UNITS_MAX: i64 = 100_000_000_000_000;

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not a plain decimal number.
    #[error("`{0}` is not a decimal number such as \"12.34\"")]
    NotDecimal(String),
    /// More decimal places than the unit has.
    #[error("`{text}` has more than {places} decimal places")]
    TooPrecise {
        /// What was given.
        text: String,
        /// The places the unit has.
        places: u32,
    },
    /// Larger than anything a station can mean.
    #[error("`{0}` is out of range")]
    OutOfRange(String),
}

/// Reads `[-]digits[.digits]` exactly into units of `10^-places`, at most [`UNITS_MAX`] of them either way.
///
/// Trailing zeros beyond `places` are harmless; any other digit there is an error rather than a rounding. Exponents,
/// signs other than `-`, spaces and `NaN` are refused.
fn parse_scaled(text: &str, places: u32) -> Result<i64, InvalidAmount> {
    let shown = || text.chars().take(40).collect::<String>();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty()
        || fraction.is_empty()
        || digits.len() > 64
        || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
    {
        return Err(InvalidAmount::NotDecimal(shown()));
    }
    let (kept, beyond) = fraction.split_at(fraction.len().min(places as usize));
    if beyond.bytes().any(|b| b != b'0') {
        return Err(InvalidAmount::TooPrecise { text: shown(), places });
    }
    let padding = std::iter::repeat_n(b'0', places as usize - kept.len());
    let mut units: i64 = 0;
    for digit in whole.bytes().chain(kept.bytes()).chain(padding) {
        units = units
            .checked_mul(10)
            .and_then(|units| units.checked_add(i64::from(digit - b'0')))
            .filter(|units| *units <= UNITS_MAX)
            .ok_or_else(|| InvalidAmount::OutOfRange(shown()))?;
    }
    Ok(if negative { -units } else { units })
}

fn format_scaled(units: i64, places: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let scale = 10_u64.pow(places);
    let (sign, magnitude) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    let width = places as usize;
    write!(f, "{sign}{}.{:0width$}", magnitude / scale, magnitude % scale)
}

/// Reads a JSON string or number without ever making it a float: the raw text is what counts.
fn read_decimal<'de, D: Deserializer<'de>, T: FromStr<Err = InvalidAmount>>(deserializer: D) -> Result<T, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    let text = raw.get();
    let read = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        // Thousands of these are read for one page of bills: where nothing is escaped, the text stands there as it is.
        Some(plain) if !plain.contains('\\') => plain.parse(),
        Some(_) => serde_json::from_str::<String>(text).map_err(de::Error::custom)?.parse(),
        None => text.parse(),
    };
    read.map_err(de::Error::custom)
}

macro_rules! scaled {
    ($(#[$doc:meta])* $name:ident, $places:literal, $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub i64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);

            /// The same number in the unit people read, exactly.
            pub fn to_decimal(self) -> Decimal {
                Decimal::new(self.0, $places)
            }

            /// Less than nothing.
            pub fn is_negative(self) -> bool {
                self.0 < 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                format_scaled(self.0, $places, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self} {}", $unit)
            }
        }

        impl FromStr for $name {
            type Err = InvalidAmount;
            fn from_str(text: &str) -> Result<Self, InvalidAmount> {
                parse_scaled(text, $places).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// From a decimal string, or from a JSON number read by its digits.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_decimal(deserializer)
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(self.0.saturating_neg())
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, Add::add)
            }
        }
    };
}

scaled!(
    /// Money in fen (分, ¥0.01). On the wire a string in yuan with two places: `"12.34"`.
    Fen, 2, "yuan");
scaled!(
    /// Energy, or a register reading, in 0.1 Wh. On the wire a string in kWh with four places: `"1234.5678"`.
    Energy, 4, "kWh");
scaled!(
    /// Power in watts. On the wire a string in kW with three places: `"7.000"`.
    Power, 3, "kW");
scaled!(
    /// A price per kWh in 10⁻⁵ yuan. On the wire a string with five places: `"0.55000"`.
    Price, 5, "yuan/kWh");

impl Fen {
    /// `amount` yuan, rounded half away from zero to the fen; `None` beyond what the ledger can hold.
    pub fn round(amount: Decimal) -> Option<Self> {
        let rounded = amount.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        let fen = rounded.checked_mul(Decimal::ONE_HUNDRED)?;
        i64::try_from(fen.trunc().mantissa() / 10_i128.pow(fen.trunc().scale()))
            .ok()
            .map(Self)
    }
}

impl Price {
    /// What `energy` costs at this price: exact, nine places.
    pub fn amount(self, energy: Energy) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(self.0) * i128::from(energy.0), 9)
    }
}

impl Power {
    /// What this power delivers in `ms` milliseconds, rounded up to 0.1 Wh.
    pub fn energy_in_ms(self, ms: i64) -> Energy {
        let watt_ms = i128::from(self.0) * i128::from(ms.max(0));
        let deci_wh = (watt_ms + 359_999) / 360_000;
        Energy(i64::try_from(deci_wh).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_strings_and_numbers_are_read_by_their_digits() {
        let read = |json: &str| serde_json::from_str::<Energy>(json);
        assert_eq!(read("\"1234.5678\"").unwrap(), Energy(12_345_678));
        assert_eq!(read("1234.5678").unwrap(), Energy(12_345_678));
        assert_eq!(
            read("\"1234\\u002e5678\"").unwrap(),
            Energy(12_345_678),
            "escapes are read too"
        );
        assert_eq!(read("1234").unwrap(), Energy(12_340_000));
        assert_eq!(
            read("\"1.50000\"").unwrap(),
            Energy(15_000),
            "trailing zeros say nothing more"
        );
        for bad in [
            "1234.50000001",
            "\"NaN\"",
            "1e3",
            "\"\"",
            "\"1.\"",
            "\".5\"",
            "\"+1\"",
            "null",
            "true",
            "\" 1\"",
            "[1]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("\"99999999999999999999\"").is_err());
    }

    #[test]
    fn money_has_two_places_and_prints_them() {
        assert_eq!("12.3".parse::<Fen>().unwrap(), Fen(1230));
        assert_eq!(Fen(-5).to_string(), "-0.05");
        assert_eq!("-0.05".parse::<Fen>().unwrap(), Fen(-5));
        assert!(matches!(
            "12.345".parse::<Fen>(),
            Err(InvalidAmount::TooPrecise { places: 2, .. })
        ));
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        let round = |text: &str| Fen::round(text.parse().unwrap()).unwrap().0;
        assert_eq!(
            [round("0.005"), round("0.0049999"), round("-0.005"), round("2.675")],
            [1, 0, -1, 268]
        );
    }

    #[test]
    fn a_price_times_energy_is_exact() {
        let price: Price = "0.12345".parse().unwrap();
        assert_eq!(price.amount(Energy(12_345)).to_string(), "0.152399025");
    }

    #[test]
    fn power_gives_energy_rounded_up() {
        assert_eq!(
            "7.0".parse::<Power>().unwrap().energy_in_ms(3_600_000),
            "7".parse().unwrap()
        );
        assert_eq!(Power(1).energy_in_ms(1), Energy(1));
        assert_eq!(Power(7_000).energy_in_ms(-5), Energy::ZERO);
    }
}
