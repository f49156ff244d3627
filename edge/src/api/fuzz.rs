//! What must be so of everything that a caller sends: what is accepted is one JSON object with known fields alone, however it
//! is spelt, and what is refused is refused with a field and words.

use super::{
    body::{Checked, Nothing, parse},
    dto::{desk, display, pile, station},
    page::{LIMIT_MAX, Paging},
    problem::Problem,
    wire::{self, Switch, member, order, quarantine},
};
use axum::{
    extract::Query,
    http::{HeaderMap, HeaderValue, Uri, header},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::fmt::Debug;

/// The longest text about a fault, in characters: it goes into answers and logs.
const DETAIL_CHARS_MAX: usize = 2000;
const UNKNOWN: &str = "no_such_field";

/// A request: what it is in the first line, and the body, the query or the amount.
pub fn request(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let content = &data[at + 1..];
    match &data[..at] {
        b"nothing" => body::<Nothing>(content),
        b"place-order" => body::<order::PlaceOrder>(content),
        b"refund-order" => body::<order::RefundOrder>(content),
        b"decide-review" => body::<order::DecideReview>(content),
        b"correct-bill" => body::<order::CorrectBill>(content),
        b"withdraw-correction" => body::<order::WithdrawCorrection>(content),
        b"provision-pile" => body::<pile::ProvisionPile>(content),
        b"add-display" => body::<display::AddDisplay>(content),
        b"issue-certificate" => body::<pile::IssueCertificate>(content),
        b"clear-meter" => body::<pile::ClearMeter>(content),
        b"close-quarantine" => body::<quarantine::CloseQuarantine>(content),
        b"count-cash" => body::<desk::CountCash>(content),
        b"bank-cash" => body::<desk::BankCash>(content),
        b"acknowledge-journal" => body::<station::AcknowledgeJournal>(content),
        b"make-backup" => body::<station::MakeBackup>(content),
        b"make-token" => body::<station::MakeToken>(content),
        b"put-member" => body::<member::PutMember>(content),
        b"top-up" => body::<member::TopUp>(content),
        b"reverse-top-up" => body::<member::ReverseTopUp>(content),
        b"pay-debt" => body::<member::PayDebt>(content),
        b"put-card" => body::<member::PutCard>(content),
        b"switch" => body::<Switch>(content),
        b"page" => page(content),
        b"yuan" => amount::<wire::Yuan>(content),
        b"kwh" => amount::<wire::Kwh>(content),
        b"kw" => amount::<wire::Kw>(content),
        b"price" => amount::<wire::YuanPerKwh>(content),
        b"exact" => amount::<wire::ExactYuan>(content),
        b"at" => amount::<wire::At>(content),
        _ => {}
    }
}

fn body<T: DeserializeOwned + Checked + PartialEq + Debug>(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let read = |bytes: &[u8]| parse::<T>(&headers, bytes);
    let accepted = match read(bytes) {
        Ok(accepted) => accepted,
        Err(problem) => return is_told(&problem),
    };
    let fields = if bytes.is_empty() {
        Map::new()
    } else {
        serde_json::from_slice(bytes).expect("what is accepted is a JSON object")
    };
    let spelt_out = |fields: &Map<String, Value>| serde_json::to_vec(fields).expect("a JSON object can be written");
    assert_eq!(
        read(&spelt_out(&fields)).as_ref(),
        Ok(&accepted),
        "spelling changes nothing"
    );
    let mut more = fields.clone();
    more.insert(UNKNOWN.to_owned(), Value::Null);
    let refused = read(&spelt_out(&more)).expect_err("a field that nobody knows is refused");
    is_told(&refused);
    assert!(refused.details().detail.contains(UNKNOWN), "{refused:?}");
    for (name, value) in &fields {
        if let Value::Object(object) = value {
            let mut listed = fields.clone();
            listed.insert(name.clone(), object.values().cloned().collect());
            read(&spelt_out(&listed)).expect_err("a list does not stand for an object");
        }
    }
}

/// What a caller is told: a status of its own, a field, and words that fit into an answer.
fn is_told(problem: &Problem) {
    let details = problem.details();
    assert!((400..500).contains(&details.status), "{details:?}");
    assert!(details.path.is_some(), "{details:?}");
    assert!(!details.detail.is_empty() && !details.title.is_empty());
    let told = details.detail.chars().count() + details.path.iter().flat_map(|path| path.chars()).count();
    assert!(told <= DETAIL_CHARS_MAX, "{details:?}");
}

/// The query of a list: a page is bounded, and a cursor that is accepted is the number it says.
fn page(query: &[u8]) {
    let Some(uri) = std::str::from_utf8(query)
        .ok()
        .and_then(|query| format!("/?{query}").parse::<Uri>().ok())
    else {
        return;
    };
    let Ok(Query(paging)) = Query::<Paging>::try_from_uri(&uri) else {
        return;
    };
    match paging.limit() {
        Ok(limit) => assert!((1..=LIMIT_MAX).contains(&limit)),
        Err(problem) => is_told(&problem),
    }
    match paging.number() {
        Ok(Some(number)) => {
            let again = Paging::new(Some(number.to_string()), None).number();
            assert_eq!(again, Ok(Some(number)));
        }
        Ok(None) => {}
        Err(problem) => is_told(&problem),
    }
    if let Err(problem) = paging.name() {
        is_told(&problem);
    }
    let more: Uri = format!("{uri}&{UNKNOWN}=1").parse().expect("a query may be longer");
    assert!(
        Query::<Paging>::try_from_uri(&more).is_err(),
        "a parameter that nobody knows is refused"
    );
}

/// An amount or a time that is read and written again is the same.
fn amount<T: DeserializeOwned + Serialize + PartialEq + Debug>(json: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(json) {
        let written = serde_json::to_string(&read).expect("amounts are strings");
        let again: T = serde_json::from_str(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(again, read, "{written}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_body_is_shorter_than_the_longest_body() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let long = "x".repeat(100_000);
        for body in [format!(r#"{{"{long}":1}}"#), format!(r#"{{"member":"{long}"}}"#)] {
            is_told(&parse::<order::PlaceOrder>(&headers, body.as_bytes()).unwrap_err());
        }
    }

    #[test]
    fn a_list_does_not_stand_for_an_object_in_a_body() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let read = |until: &str| {
            let body = format!(r#"{{"member":"m","pile":"P","connector":1,"until":{until}}}"#);
            parse::<order::PlaceOrder>(&headers, body.as_bytes())
        };
        assert!(read(r#"{"fee":"1.00"}"#).is_ok());
        for list in [r#"["1.00",null,null,null]"#, "[]"] {
            let refused = read(list).unwrap_err();
            assert_eq!(refused.details().path.as_deref(), Some("until"), "{refused:?}");
        }
    }
}
