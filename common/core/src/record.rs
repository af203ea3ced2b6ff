//! Records on disk: one header line with a checksum, then JSON. A reader tells a whole record
//! from a torn or foreign one, and says which.
//!
//! ```text
//! a2arun spawn 1 8f3c01aa 412
//! {"…": …}
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The kinds of record and their versions. A reader knows its own version only; fields may be
/// added within a version, readers ignore what they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A run: who it belongs to.
    Run,
    /// One spawn of an instance.
    Spawn,
    /// The end of an instance.
    Exit,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Spawn => "spawn",
            Self::Exit => "exit",
        }
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file is cut short, was overwritten, or is something else.
    #[error("torn or foreign record: {0}")]
    Torn(&'static str),
    /// Written by a version that this one does not know.
    #[error("record version {0} is not known here")]
    Version(u32),
    /// The checksum holds but the content does not fit.
    #[error("record content does not fit")]
    Content(#[source] serde_json::Error),
}

const VERSION: u32 = 1;

/// Encodes a record.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn encode<T: Serialize>(kind: Kind, value: &T) -> Result<Vec<u8>, RecordError> {
    let body = serde_json::to_vec(value).map_err(RecordError::Content)?;
    let mut bytes =
        format!("a2arun {} {VERSION} {:08x} {}\n", kind.word(), crc32(&body), body.len())
            .into_bytes();
    bytes.extend_from_slice(&body);
    bytes.push(b'\n');
    Ok(bytes)
}

/// Decodes a record that [`encode`] wrote.
///
/// # Errors
/// When it is torn, of another kind or version, or its content does not fit.
pub fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, RecordError> {
    let line_end =
        bytes.iter().position(|b| *b == b'\n').ok_or(RecordError::Torn("no header line"))?;
    let header = std::str::from_utf8(&bytes[..line_end])
        .map_err(|_| RecordError::Torn("the header is no text"))?;
    let mut words = header.split(' ');
    if words.next() != Some("a2arun") || words.next() != Some(kind.word()) {
        return Err(RecordError::Torn("the header is of another kind"));
    }
    let version: u32 = words
        .next()
        .and_then(|w| w.parse().ok())
        .ok_or(RecordError::Torn("the header has no version"))?;
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    let sum = words
        .next()
        .and_then(|w| u32::from_str_radix(w, 16).ok())
        .ok_or(RecordError::Torn("the header has no checksum"))?;
    let len: usize = words
        .next()
        .and_then(|w| w.parse().ok())
        .ok_or(RecordError::Torn("the header has no length"))?;
    let body = bytes
        .get(line_end + 1..)
        .and_then(|rest| rest.get(..len))
        .ok_or(RecordError::Torn("the content is cut short"))?;
    if crc32(body) != sum {
        return Err(RecordError::Torn("the checksum differs"));
    }
    serde_json::from_slice(body).map_err(RecordError::Content)
}

/// CRC-32 as in IEEE 802.3 (reflected, polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0u32; 256];
        let mut index = 0;
        let mut start = 0u32;
        while index < 256 {
            let mut value = start;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
            start += 1;
        }
        table
    };
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        let index = (sum ^ u32::from(*byte)) & 0xff;
        (sum >> 8) ^ TABLE[index as usize]
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in ".*", number in any::<u64>()) {
            let bytes = encode(Kind::Spawn, &(text.clone(), number)).unwrap();
            prop_assert_eq!(decode::<(String, u64)>(Kind::Spawn, &bytes).unwrap(), (text, number));
        }

        #[test]
        fn a_cut_record_is_torn(text in ".{1,40}", cut in 0usize..200) {
            let bytes = encode(Kind::Exit, &text).unwrap();
            // The last byte is the closing newline, which nothing depends on.
            prop_assume!(cut < bytes.len() - 1);
            prop_assert!(decode::<String>(Kind::Exit, &bytes[..cut]).is_err());
        }

        #[test]
        fn a_flipped_bit_is_noticed(text in "[a-z]{1,40}", at in 0usize..200, bit in 0u8..8) {
            let mut bytes = encode(Kind::Exit, &text).unwrap();
            prop_assume!(at < bytes.len() - 1);
            bytes[at] ^= 1 << bit;
            // A flipped case bit in a hexadecimal digit means the same number.
            match decode::<String>(Kind::Exit, &bytes) {
                Err(_) => {}
                Ok(read) => prop_assert_eq!(read, text),
            }
        }

        #[test]
        fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode::<String>(Kind::Run, &bytes).is_err());
        }
    }
}
