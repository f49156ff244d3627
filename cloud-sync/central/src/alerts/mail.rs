//! Alerts by mail, one mail for each beginning and each end; and what else is to be told by mail, with a file or without.

use super::{
    Event,
    smtp::{Envelope, Server},
};
use crate::{config, store::outbox::Message};
use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::time::Wall;
use jiff::{Timestamp, fmt::rfc2822};
use rustls::ClientConfig;
use std::{fmt::Write, sync::Arc};

/// The longest line of base64 in a body, in characters (RFC 2045).
const LINE_CHARS: usize = 76;
/// So many bytes of a header are in one encoded word, which has at most 75 characters (RFC 2047).
const WORD_BYTES: usize = 42;

/// The line that parts of a mail are between: none of base64 is like it.
const BOUNDARY: &str = "=_part-of-a-report";

/// A file that goes with a mail.
#[derive(Debug, Clone, Copy)]
pub struct Attachment<'a> {
    /// Its name, plain ASCII.
    pub name: &'a str,
    /// What it is.
    pub media_type: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Who gets mail.
#[derive(Debug, Clone)]
pub struct Mail {
    server: Server,
    from: String,
    to: Vec<String>,
}

impl Mail {
    /// By this configuration.
    ///
    /// # Errors
    /// The file with the password cannot be read.
    pub fn open(given: &config::Mail, believed: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let user = match &given.user {
            None => None,
            Some((user, file)) => {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                Some((user.clone(), text.trim_end_matches(['\r', '\n']).to_owned()))
            }
        };
        Ok(Self {
            server: Server {
                host: given.host.clone(),
                port: given.port,
                security: given.security,
                believed,
                user,
            },
            from: given.from.clone(),
            to: given.to.clone(),
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The server did not take it, and why, in words.
    pub async fn send(&self, message: &Message, now: Wall) -> Result<(), String> {
        let event: Event = serde_json::from_str(&message.body).map_err(|error| error.to_string())?;
        let (subject, text) = words_of(&event);
        self.send_text((&message.id, &self.to), (&subject, &text), None, now)
            .await
    }

    /// Sends a text under a subject, and a file with it; under an id that is the same at every try.
    ///
    /// # Errors
    /// The server did not take it, and why, in words.
    pub async fn send_text(
        &self,
        (id, to): (&str, &[String]),
        (subject, text): (&str, &str),
        attachment: Option<Attachment<'_>>,
        now: Wall,
    ) -> Result<(), String> {
        let from = self.from.as_str();
        let mail = mail_of((id, from, to), (subject, text), attachment, now)?;
        self.server.send(Envelope { from, to }, &mail).await
    }
}

/// What is said of an alert: the subject and the text.
fn words_of(event: &Event) -> (String, String) {
    let alert = &event.data;
    let (subject, opening) = match alert.ended_at {
        None => (format!("[Holdfast] {}: {}", alert.subject, alert.kind), "It begins"),
        Some(_) => (
            format!("[Holdfast] over: {}: {}", alert.subject, alert.kind),
            "It is over",
        ),
    };
    let mut text = format!("{}\n\n{opening}: {}\n", alert.words, event.timestamp.0);
    if alert.ended_at.is_some() {
        let _infallible = writeln!(text, "It began: {}", alert.begun_at.0);
    }
    let _infallible = write!(text, "\n{}\n", alert.id);
    (subject, text)
}

/// The mail, whose lines end with CR LF (RFC 5322, RFC 2045).
fn mail_of(
    (id, from, to): (&str, &str, &[String]),
    (subject, text): (&str, &str),
    attachment: Option<Attachment<'_>>,
    now: Wall,
) -> Result<String, String> {
    const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n";
    let at = Timestamp::from_millisecond(now.0).map_err(|error| error.to_string())?;
    let date = rfc2822::DateTimePrinter::new()
        .timestamp_to_string(&at)
        .map_err(|error| error.to_string())?;
    let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let to: Vec<String> = to.iter().map(|whom| format!("<{whom}>")).collect();
    let mut mail = format!(
        "Date: {date}\r\nFrom: <{from}>\r\nTo: {}\r\nMessage-ID: <{id}@{domain}>\r\nSubject: {}\r\nMIME-Version: 1.0\r\n\
         Auto-Submitted: auto-generated\r\n",
        to.join(",\r\n "),
        header(subject),
    );
    let text = text.replace('\n', "\r\n");
    let Some(Attachment {
        name,
        media_type,
        bytes,
    }) = attachment
    else {
        mail.push_str(TEXT);
        mail.push_str("\r\n");
        encoded(&mut mail, text.as_bytes());
        return Ok(mail);
    };
    let _infallible = write!(
        mail,
        "Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\n\r\n--{BOUNDARY}\r\n{TEXT}\r\n"
    );
    encoded(&mut mail, text.as_bytes());
    let _infallible = write!(
        mail,
        "--{BOUNDARY}\r\nContent-Type: {media_type}\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n"
    );
    encoded(&mut mail, bytes);
    let _infallible = write!(mail, "--{BOUNDARY}--\r\n");
    Ok(mail)
}

/// Bytes in base64, in lines.
fn encoded(mail: &mut String, bytes: &[u8]) {
    // Of whole groups of three bytes: so a line ends where one of its own text would.
    for line in bytes.chunks(LINE_CHARS / 4 * 3) {
        STANDARD.encode_string(line, mail);
        mail.push_str("\r\n");
    }
}

/// A header's text: as it is where it is short and plain, otherwise in encoded words (RFC 2047).
fn header(text: &str) -> String {
    let is_plain = text.len() <= 60 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !text.contains("=?");
    if is_plain {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for letter in text.chars() {
        let is_full = words
            .last()
            .is_some_and(|word| word.len() + letter.len_utf8() > WORD_BYTES);
        if is_full {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    let encoded = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
    encoded.collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_any_length_and_in_any_language_is_ascii_in_short_lines() {
        assert_eq!(header("[Holdfast] s1: site_silent"), "[Holdfast] s1: site_silent");
        let long = header(&"场站失联，".repeat(20));
        assert!(long.is_ascii());
        let mut back = Vec::new();
        for line in long.split("\r\n ") {
            assert!(line.len() <= 75, "{line}");
            let word = line
                .strip_prefix("=?utf-8?B?")
                .and_then(|line| line.strip_suffix("?="))
                .unwrap();
            back.extend(STANDARD.decode(word).unwrap());
        }
        assert_eq!(String::from_utf8(back).unwrap(), "场站失联，".repeat(20));
        assert!(
            !header("a\r\nBcc: <x@y>").contains("Bcc"),
            "nothing breaks out of its line"
        );
    }
}
