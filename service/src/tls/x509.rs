//! The dates and the name in a certificate. A reader for just that much DER, which cannot index past its end: what is
//! believed of a certificate is up to rustls.

use domain::time::Wall;

/// From when to when a certificate says it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) not_before: Wall,
    pub(super) not_after: Wall,
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;

/// The dates in a certificate; `None` if it is none.
pub(super) fn dates(certificate_der: &[u8]) -> Option<Dates> {
    let (certificate, _) = expect(certificate_der, SEQUENCE)?;
    let (mut to_be_signed, _) = expect(certificate, SEQUENCE)?;
    if to_be_signed.first() == Some(&VERSION) {
        (_, _, to_be_signed) = element(to_be_signed)?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        (_, _, to_be_signed) = element(to_be_signed)?;
    }
    let (validity, _) = expect(to_be_signed, SEQUENCE)?;
    let (not_before, validity) = time(validity)?;
    let (not_after, _) = time(validity)?;
    Some(Dates { not_before, not_after })
}

/// A time as RFC 5280 §4.1.2.5 allows it: in UTC, to the second. Beyond what is counted here it is the last year of that.
fn time(der: &[u8]) -> Option<(Wall, &[u8])> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let (tag, text, rest) = element(der)?;
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let (year, text) = match tag {
        UTC_TIME => {
            let year: i16 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 10)?;
    let two = |at: usize| digits.get(at..at + 2)?.parse::<i8>().ok();
    let last = Wall(Wall::RANGE.end.0 - 1);
    if year >= 2200 {
        return Some((last, rest));
    }
    let at = jiff::civil::DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some((Wall(at.as_millisecond()), rest))
}

/// The one common name in the subject; `None` if there is none, several, or one in an exotic encoding.
pub fn common_name(certificate_der: &[u8]) -> Option<String> {
    const SET: u8 = 0x31;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

    let (certificate, _) = expect(certificate_der, SEQUENCE)?;
    let (mut to_be_signed, _) = expect(certificate, SEQUENCE)?;
    if to_be_signed.first() == Some(&VERSION) {
        (_, _, to_be_signed) = element(to_be_signed)?;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        (_, _, to_be_signed) = element(to_be_signed)?;
    }
    let (mut subject, _) = expect(to_be_signed, SEQUENCE)?;
    let mut found = None;
    while !subject.is_empty() {
        let (mut names, rest) = expect(subject, SET)?;
        subject = rest;
        while !names.is_empty() {
            let (attribute, rest) = expect(names, SEQUENCE)?;
            names = rest;
            let (oid, value) = expect(attribute, OBJECT_IDENTIFIER)?;
            if oid == COMMON_NAME && found.replace(text(value)?).is_some() {
                return None;
            }
        }
    }
    found
}

fn text(der: &[u8]) -> Option<String> {
    const UTF8_STRING: u8 = 0x0C;
    const PRINTABLE_STRING: u8 = 0x13;
    const IA5_STRING: u8 = 0x16;
    let (tag, value, _) = element(der)?;
    match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => std::str::from_utf8(value).ok().map(str::to_owned),
        _ => None,
    }
}

/// (contents, what follows) of an element with this tag.
fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, contents, rest) = element(der)?;
    (found == tag).then_some((contents, rest))
}

/// (tag, contents, what follows) of the first element: definite lengths of up to 4 bytes, low tag numbers.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            let len = bytes.iter().fold(0usize, |len, byte| (len << 8) | usize::from(*byte));
            (len, rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn certificate(from: i32, to: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["station.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 3, 4), date_time_ymd(to, 12, 31));
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn dates_are_read_in_both_forms() {
        // RFC 5280: UTCTime through 2049, GeneralizedTime from 2050.
        for (from, to) in [(1999, 2049), (2020, 2050), (2051, 2199)] {
            let expected = Dates {
                not_before: Wall::parse(&format!("{from}-03-04T00:00:00Z")).unwrap(),
                not_after: Wall::parse(&format!("{to}-12-31T00:00:00Z")).unwrap(),
            };
            assert_eq!(dates(&certificate(from, to)), Some(expected));
        }
        let for_ever = dates(&certificate(2020, 9999)).unwrap();
        assert_eq!(for_ever.not_after, Wall(Wall::RANGE.end.0 - 1));
    }

    #[test]
    fn the_one_common_name_is_found() {
        let named = |names: &[&str]| {
            let mut params = CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params
                .distinguished_name
                .push(rcgen::DnType::OrganizationName, "Station");
            for name in names {
                params.distinguished_name.push(rcgen::DnType::CommonName, *name);
            }
            let key = KeyPair::generate().unwrap();
            common_name(params.self_signed(&key).unwrap().der())
        };
        assert_eq!(named(&["pile-桩-7"]).as_deref(), Some("pile-桩-7"));
        assert_eq!(named(&[]), None);
        assert_eq!(common_name(b""), None);
    }

    #[test]
    fn bent_certificates_never_panic() {
        let der = certificate(2020, 2050);
        for at in 0..der.len() {
            let mut bent = der.clone();
            bent[at] ^= 0xff;
            let _any = (
                dates(&bent),
                dates(&der[..at]),
                common_name(&bent),
                common_name(&der[..at]),
            );
        }
        assert_eq!(dates(b""), None);
    }
}
