//! An exact amount of money, before it is rounded: kWh to four places times a price to five.
//! Every digit of it is printed, so that a bill can be checked with pencil and paper.

use crate::units::{Energy, Fen, Price};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, iter::Sum, str::FromStr};

const PLACES: usize = 9;
const PER_YUAN: u128 = 1_000_000_000;
const PER_FEN: i128 = 10_000_000;

/// Money in 10⁻⁹ yuan. On the wire a string in yuan with nine places: `"0.152399025"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub i128);

impl Amount {
    /// What `energy` costs at `price`, exactly.
    pub fn of(energy: Energy, price: Price) -> Self {
        Self(i128::from(energy.0) * i128::from(price.0))
    }

    /// Rounded half away from zero to the fen; clamped to what [`Fen`] can hold.
    pub fn to_fen(self) -> Fen {
        let half = if self.0 < 0 { -PER_FEN / 2 } else { PER_FEN / 2 };
        let fen = self.0.saturating_add(half) / PER_FEN;
        Fen(i64::try_from(fen).unwrap_or(if fen < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.fold(0, |sum, amount| sum.saturating_add(amount.0)))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, magnitude) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:0PLACES$}", magnitude / PER_YUAN, magnitude % PER_YUAN)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} yuan")
    }
}

impl FromStr for Amount {
    type Err = String;
    /// Reads what [`Amount`] prints: exactly nine places.
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "`{}` is not an amount with nine places",
                text.chars().take(40).collect::<String>()
            )
        };
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').ok_or_else(invalid)?;
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() != PLACES || whole.len() > 20 {
            return Err(invalid());
        }
        let [whole, fraction] = [whole, fraction].map(|digits| digits.parse::<i128>().map_err(|_| invalid()));
        let magnitude = whole? * PER_YUAN as i128 + fraction?;
        Ok(Self(if negative { -magnitude } else { magnitude }))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
