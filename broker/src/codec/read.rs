//! A cursor over the body of one packet that cannot run past its end.
//! Every reader of a packet is built on it, so no length that a peer claims can index out of bounds.

use super::DecodeError;

#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

const SHORT: DecodeError = DecodeError::Malformed("packet shorter than its contents");

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(SHORT)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.bytes.split_first().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(first)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(u16::from_be_bytes(*taken))
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(u32::from_be_bytes(*taken))
    }

    /// Variable byte integer (MQTT5 1.5.5).
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte == 0 && shift > 0 {
                return Err(DecodeError::Malformed(
                    "variable byte integer in more bytes than it needs (MQTT-1.5.5-1)",
                ));
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed(
            "variable byte integer of more than 4 bytes (MQTT-1.5.5)",
        ))
    }

    /// Binary data with a two-byte length (MQTT5 1.5.6).
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// UTF-8 string without U+0000 (MQTT-1.5.3-1, -2; MQTT5 1.5.4-1, -2).
    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("string is not UTF-8"))?;
        if bytes.contains(&0) {
            return Err(DecodeError::Malformed("string contains U+0000"));
        }
        Ok(text)
    }

    /// Packet identifier, never 0 (MQTT-2.3.1-1).
    pub(super) fn packet_id(&mut self) -> Result<u16, DecodeError> {
        match self.u16()? {
            0 => Err(DecodeError::Protocol("packet identifier 0 (MQTT-2.3.1-1)")),
            id => Ok(id),
        }
    }

    pub(super) fn expect_end(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Malformed("packet longer than its contents"))
        }
    }
}
