//! Texts between quotes, escaped where they have to be.

use std::fmt::{self, Write};

use super::super::list::copy;
use super::Buffer;

impl Buffer {
    /// Any text, and what is behind it.
    #[inline(never)]
    pub(in super::super) fn text(&mut self, text: &[u8], behind: u8) {
        if !self.short_text(text, behind) {
            self.long_text(text, behind);
        }
    }

    #[inline(never)]
    pub(super) fn long_text(&mut self, text: &[u8], behind: u8) {
        if is_plain(text) {
            self.plain(text, behind);
        } else {
            self.escaped(text, behind);
        }
    }

    /// Text that needs no escaping.
    #[inline(always)]
    pub(super) fn plain(&mut self, text: &[u8], behind: u8) {
        if let [quote, place @ .., end, last] = self.space(text.len() + 3) {
            *quote = b'"';
            copy(place, text);
            *end = b'"';
            *last = behind;
        }
    }

    #[cold]
    #[inline(never)]
    fn escaped(&mut self, text: &[u8], behind: u8) {
        self.push(b'"');
        escape(text, self);
        self.extend(&[b'"', behind]);
    }
}

/// Whether nothing in the text needs escaping. Of a constant, the compiler knows.
#[inline(always)]
pub(super) fn is_plain(text: &[u8]) -> bool {
    // Without branches, so that it becomes a few instructions on as many bytes at once. What is no multiple of the size is
    // covered by two pieces that overlap.
    fn all<const N: usize>(piece: Option<&[u8; N]>) -> bool {
        piece.is_none_or(|piece| {
            piece
                .iter()
                .fold(true, |all, byte| all & !needs_escape(*byte))
        })
    }
    match text.len() {
        0..4 => !text.iter().copied().any(needs_escape),
        4..8 => all::<4>(text.first_chunk()) & all::<4>(text.last_chunk()),
        8..16 => all::<8>(text.first_chunk()) & all::<8>(text.last_chunk()),
        _ => {
            let (pieces, _) = text.as_chunks::<16>();
            pieces.iter().all(|piece| all(Some(piece))) & all::<16>(text.last_chunk())
        }
    }
}

#[inline(always)]
fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Appends text as it stands between quotes.
fn escape(mut text: &[u8], out: &mut Buffer) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    loop {
        let plain = text.iter().position(|byte| needs_escape(*byte));
        let (plain, rest) = text
            .split_at_checked(plain.unwrap_or(text.len()))
            .unwrap_or_default();
        out.extend(plain);
        let Some((byte, rest)) = rest.split_first() else {
            return;
        };
        match byte {
            b'"' | b'\\' => out.extend(&[b'\\', *byte]),
            0x08 => out.extend(b"\\b"),
            0x0c => out.extend(b"\\f"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            control => {
                let digits = [control >> 4, control & 15].map(|digit| DIGITS[usize::from(digit)]);
                out.extend(b"\\u00");
                out.extend(&digits);
            }
        }
        text = rest;
    }
}

/// `Display` text, escaped as it comes.
pub(super) struct Escaping<'o>(pub(super) &'o mut Buffer);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_plain(text.as_bytes()) {
            self.0.extend(text.as_bytes());
        } else {
            escape(text.as_bytes(), self.0);
        }
        Ok(())
    }
}
