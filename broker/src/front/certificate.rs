//! The subject common name of a client certificate, for gatekeepers that know clients by it.
//! A reader for just that much DER; rustls has verified the certificate before, and nothing here can index past its end.

/// The one common name in the subject; `None` if there is none, several, or one in an exotic encoding.
pub fn common_name(certificate_der: &[u8]) -> Option<String> {
    const SEQUENCE: u8 = 0x30;
    const SET: u8 = 0x31;
    const VERSION: u8 = 0xA0;
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
            (
                bytes.iter().fold(0usize, |len, byte| (len << 8) | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(common_name: Option<&str>) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Station");
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn the_common_name_is_found() {
        assert_eq!(
            common_name(&certificate(Some("pile-桩-7"))).as_deref(),
            Some("pile-桩-7")
        );
        assert_eq!(common_name(&certificate(None)), None);
        assert_eq!(common_name(b""), None);
    }

    proptest! {
        #[test]
        fn bent_certificates_never_panic(at in any::<prop::sample::Index>(), value in any::<u8>()) {
            static DER: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| certificate(Some("P1")));
            let mut der = DER.clone();
            let at = at.index(der.len());
            der[at] = value;
            drop(common_name(&der));
            drop(common_name(&der[..at]));
        }
    }
}
