//! What the types of a request do not say by themselves, for the document: which texts are ids, and which amounts are taken.
//! Nothing is read or written by these types; a test holds their patterns to what the server takes.

use utoipa::ToSchema;

/// A site's id.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,32}$", example = "s01")]
pub struct SiteId(());

/// A pile's id.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,32}$", example = "P01")]
pub struct PileId(());

/// A display's id.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,32}$", example = "price-board")]
pub struct DisplayId(());

/// A member's id.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,32}$", example = "m-1001")]
pub struct MemberId(());

/// The name of a tariff version.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,32}$", example = "2026-summer")]
pub struct TariffId(());

/// What is on a card; `:` and spaces divide it and count for nothing, nor does case.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[ :]*([A-Za-z0-9_-][ :]*){1,32}$", example = "04A35B")]
pub struct CardId(());

/// An order's number.
#[derive(ToSchema)]
#[schema(
    value_type = String,
    pattern = "^[A-Za-z0-9_.:~-]{1,96}$",
    example = "01957c3e-7d5a-7b1e-8c35-2f6b4a1d9e07",
)]
pub struct OrderId(());

/// Money in yuan above zero, as a string of at most two places.
#[derive(ToSchema)]
#[schema(
    value_type = String,
    pattern = r"^(\d*[1-9]\d*(\.\d{1,2})?|\d+\.(\d?[1-9]|[1-9]\d))$",
    example = "12.34",
)]
pub struct PositiveYuan(());

/// Money in yuan, zero or more, as a string of at most two places.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^\d+(\.\d{1,2})?$", example = "12.34")]
pub struct YuanOrNone(());

/// Energy in kWh above zero, as a string of at most four places.
#[derive(ToSchema)]
#[schema(
    value_type = String,
    pattern = r"^(\d*[1-9]\d*(\.\d{1,4})?|\d+\.(\d{0,3}[1-9]|\d{0,2}[1-9]\d|\d?[1-9]\d\d|[1-9]\d{3}))$",
    example = "12.5",
)]
pub struct PositiveKwh(());

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        ids,
        units::{Energy, Fen},
    };
    use regex_lite::Regex;
    use serde_json::Value;

    /// Holds the pattern of `T` to what is taken.
    fn agree<T: utoipa::PartialSchema>(texts: &[&str], is_taken: impl Fn(&str) -> bool) {
        let schema: Value = serde_json::to_value(T::schema()).unwrap();
        let pattern = Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
        for text in texts {
            assert_eq!(pattern.is_match(text), is_taken(text), "{pattern}: {text:?}");
        }
        assert!(pattern.is_match(schema["example"].as_str().unwrap()));
    }

    #[test]
    fn the_patterns_of_ids_are_what_is_taken() {
        let (longest, too_long) = ("x".repeat(32), "x".repeat(33));
        let (order, too_long_order) = ("x".repeat(96), "x".repeat(97));
        let divided = "AB:".repeat(16);
        let texts = [
            "",
            "P01",
            "m-1001",
            "a_b",
            "a.b",
            "a:b",
            "a b",
            " 04 a3",
            "04:A3:5B",
            "::",
            "桩",
            "a/b",
            "~",
            "x~1",
            &longest,
            &too_long,
            &order,
            &too_long_order,
            &divided,
        ];
        agree::<SiteId>(&texts, |text| ids::SiteId::new(text).is_ok());
        agree::<PileId>(&texts, |text| ids::PileId::new(text).is_ok());
        agree::<DisplayId>(&texts, |text| ids::DisplayId::new(text).is_ok());
        agree::<MemberId>(&texts, |text| ids::MemberId::new(text).is_ok());
        agree::<TariffId>(&texts, |text| ids::TariffId::new(text).is_ok());
        agree::<CardId>(&texts, |text| ids::CardId::new(text).is_ok());
        agree::<OrderId>(&texts, |text| ids::OrderId::new(text).is_ok());
    }

    #[test]
    fn the_patterns_of_amounts_are_what_is_taken() {
        let texts = [
            "", "0", "00", "0.0", "0.00", "0.01", "0.10", "0.1", "1", "10", "10.00", "10.0", "1.234", "01.50", "-1",
            "-0.01", "+1", ".5", "5.", "1e3", "100", "0.001", "0.0001", "0.0010", "0.0100", "0.1000", "0.00001",
            "0.0000", "7.1234",
        ];
        // Zeros beyond the last place are taken too, and the document does not say so.
        let places = |text: &str| text.split_once('.').map_or(0, |(_, places)| places.len());
        let fen = |text: &str| text.parse::<Fen>().ok().filter(|_| places(text) <= 2);
        agree::<PositiveYuan>(&texts, |text| fen(text).is_some_and(|amount| amount > Fen::ZERO));
        agree::<YuanOrNone>(&texts, |text| fen(text).is_some_and(|amount| amount >= Fen::ZERO));
        let kwh = |text: &str| text.parse::<Energy>().ok().filter(|_| places(text) <= 4);
        agree::<PositiveKwh>(&texts, |text| kwh(text).is_some_and(|energy| energy > Energy::ZERO));
    }
}
