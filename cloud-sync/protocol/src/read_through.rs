//! Questions that head office has a station answer: a short list of the station's own GETs, carried over the line.
//! What is long comes in parts. Nothing here moves money, so neither question nor answer is signed.

use crate::frame::{Fields, Malformed};
use domain::ids::OrderId;
use serde::{Deserialize, Serialize};

/// The most bytes in one part of an answer.
pub const PART_MAX: usize = 256 * 1024;
/// The most parts in an answer.
pub const PARTS_MAX: u16 = 64;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Its number, chosen by head office; the answer's parts say it again.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub what: Question,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "get", rename_all = "snake_case")]
pub enum Question {
    /// The readings of a session.
    Curve {
        /// Whose.
        order: OrderId,
    },
    /// Everything that is known of an order.
    Log {
        /// Whose.
        order: OrderId,
    },
    /// The station's books, with every account.
    BalanceSheet,
    /// The station.
    Station,
    /// A quarantined message.
    Quarantine {
        /// Its number.
        item: u64,
    },
}

impl Question {
    /// The path of the station's API that answers it.
    pub fn path(&self) -> String {
        match self {
            Self::Curve { order } => format!("/v1/orders/{order}/curve"),
            Self::Log { order } => format!("/v1/orders/{order}/log"),
            Self::BalanceSheet => "/v1/balance-sheet?detail=true".to_owned(),
            Self::Station => "/v1/station".to_owned(),
            Self::Quarantine { item } => format!("/v1/quarantine/{item}"),
        }
    }
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPart {
    /// The question's number.
    pub id: u64,
    /// Which part, from 0.
    pub part: u16,
    /// How many parts there are.
    pub parts: u16,
    /// The status code of the station's answer.
    pub status: u16,
    /// This part of its body.
    pub body: Vec<u8>,
}

impl AnswerPart {
    /// An answer in parts.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`].
    pub fn split(id: u64, status: u16, body: &[u8]) -> Result<Vec<Self>, Malformed> {
        let parts = u16::try_from(body.len().div_ceil(PART_MAX).max(1)).ok();
        let parts = parts.filter(|parts| *parts <= PARTS_MAX);
        let parts = parts.ok_or(Malformed::TooLarge(body.len()))?;
        let piece = |part: u16| {
            let from = usize::from(part) * PART_MAX;
            let to = body.len().min(from + PART_MAX);
            Self {
                id,
                part,
                parts,
                status,
                body: body[from..to].to_vec(),
            }
        };
        Ok((0..parts).map(piece).collect())
    }

    /// `id:u64 part:u16 parts:u16 status:u16 body`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(14 + self.body.len());
        bytes.extend_from_slice(&self.id.to_be_bytes());
        for number in [self.part, self.parts, self.status] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::of(bytes, "answer", "")?;
        let id = fields.number()?;
        let (part, parts, status) = (fields.short()?, fields.short()?, fields.short()?);
        let body = fields.rest();
        if part >= parts || parts > PARTS_MAX {
            return Err(Malformed::Value(format!("it is part {part} of {parts}")));
        }
        if body.len() > PART_MAX {
            return Err(Malformed::TooLarge(body.len()));
        }
        Ok(Self {
            id,
            part,
            parts,
            status,
            body: body.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_in_parts_and_is_put_together_again() {
        for len in [0, 1, PART_MAX, PART_MAX + 1, 3 * PART_MAX] {
            let body: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let parts = AnswerPart::split(7, 200, &body).unwrap();
            let sent = parts
                .iter()
                .map(|part| AnswerPart::from_bytes(&part.to_bytes()).unwrap());
            assert_eq!(sent.collect::<Vec<_>>(), parts);
            assert_eq!(
                parts.iter().flat_map(|part| part.body.clone()).collect::<Vec<_>>(),
                body
            );
        }
        let too_long = vec![0; PART_MAX * usize::from(PARTS_MAX) + 1];
        assert!(AnswerPart::split(7, 200, &too_long).is_err());
    }

    #[test]
    fn a_question_is_read_as_it_is_written_and_no_other_is() {
        let ask = Ask {
            id: 5,
            what: Question::Curve {
                order: "A-1".parse().unwrap(),
            },
        };
        let text = serde_json::to_string(&ask).unwrap();
        assert_eq!(text, r#"{"id":5,"get":"curve","order":"A-1"}"#);
        assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask);
        assert!(serde_json::from_str::<Ask>(r#"{"id":5,"get":"tokens"}"#).is_err());
        assert!(serde_json::from_str::<Ask>(r#"{"id":5,"get":"curve","order":"../../tokens"}"#).is_err());
    }
}
