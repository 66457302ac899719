//! Which texts are entity type names.

use crate::value::text::is_reserved;

/// Whether `text` is an entity type name in normalised form: identifiers joined by `::`, without whitespace or
/// comments (RFC 9). Cedar accepts exactly these wherever a type name stands in data.
pub(crate) fn is_normalized_type_name(text: &str) -> bool {
    let mut rest = text.as_bytes();
    loop {
        let (identifier, after) = split_identifier(rest);
        if identifier.is_empty() || is_reserved(identifier) {
            return false;
        }
        match after {
            [] => return true,
            [b':', b':', more @ ..] => rest = more,
            _ => return false,
        }
    }
}

/// The identifier that `text` begins with, which may be empty, and what follows it.
fn split_identifier(text: &[u8]) -> (&[u8], &[u8]) {
    if text.first().is_none_or(u8::is_ascii_digit) {
        return (&[], text);
    }
    let end = text
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}
