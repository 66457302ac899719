//! Bytes being written: a vector whose memory behind the end is initialized, so that small pieces are stored in place.
//!
//! A line of JSON is some 130 small pieces. Appended to a `Vec<u8>`, each is a call of `memcpy` and its quotes, colon and
//! comma are a test of the capacity each, which was half of what a line took.

use super::super::list::copy;

/// Bytes that are there, and room behind them.
#[derive(Debug, Default)]
pub(in super::super) struct Buffer {
    /// All initialized; what is behind `len` means nothing.
    bytes: Vec<u8>,
    len: usize,
}

/// The least that a buffer grows to: a short line.
const LEAST: usize = 1 << 10;

impl Buffer {
    pub(in super::super) fn len(&self) -> usize {
        self.len
    }

    pub(in super::super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What begins at `start`.
    pub(in super::super) fn since(&self, start: usize) -> &[u8] {
        self.bytes.get(start..self.len).unwrap_or_default()
    }

    pub(in super::super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Takes away what is behind `len` bytes.
    pub(in super::super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Gives back memory beyond `most` bytes, or beyond what is there.
    pub(in super::super) fn shrink_to(&mut self, most: usize) {
        let most = most.max(self.len);
        if self.bytes.len() > most {
            self.bytes.truncate(most);
            self.bytes.shrink_to(most);
        }
    }

    #[inline(always)]
    pub(in super::super) fn push(&mut self, byte: u8) {
        if let Some([place]) = self.room() {
            *place = byte;
            self.len += 1;
        }
    }

    /// Puts `end` in the place of a comma that is last, or else behind what is there, and a comma behind it.
    #[inline(always)]
    pub(in super::super) fn close(&mut self, end: u8) {
        self.ensure(2);
        let last = self.len.wrapping_sub(1);
        let is_comma = self.bytes.get(last) == Some(&b',');
        let at = self.len - usize::from(is_comma);
        if let Some([first, second, ..]) = self.bytes.get_mut(at..) {
            (*first, *second) = (end, b',');
            self.len = at + 2;
        }
    }

    /// Puts `with` in the place of the last byte.
    pub(super) fn replace_last(&mut self, with: u8) {
        if let Some(last) = self.bytes.get_mut(self.len.wrapping_sub(1)) {
            *last = with;
        }
    }

    /// A constant.
    #[inline(always)]
    pub(in super::super) fn piece<const N: usize>(&mut self, piece: &[u8; N]) {
        if let Some(place) = self.room() {
            *place = *piece;
            self.len += N;
        }
    }

    /// Plain text of at most 28 bytes between quotes, and what is behind it; `false`, and nothing is written, if it is longer.
    /// For constants, of which this is a few stores.
    #[inline(always)]
    pub(super) fn constant(&mut self, text: &[u8], behind: u8) -> bool {
        let len = text.len();
        if len > 28 {
            return false;
        }
        let Some([quote, place @ ..]) = self.room::<32>() else {
            return false;
        };
        *quote = b'"';
        if let Some((place, rest)) = place.split_at_mut_checked(len) {
            copy(place, text);
            if let [end, last, ..] = rest {
                (*end, *last) = (b'"', behind);
            }
        }
        self.len += len + 3;
        true
    }

    /// Text of at most 16 bytes between quotes, and what is behind it; `false`, and nothing is written, if it needs to be
    /// escaped or is longer.
    ///
    /// Most texts of a record are as short. They are looked at and stored in two words, whatever their length is.
    #[inline(always)]
    pub(super) fn short_text(&mut self, text: &[u8], behind: u8) -> bool {
        let Some(words) = Words::of(text) else {
            return false;
        };
        if words.needs_escape() {
            return false;
        }
        let len = text.len();
        let Some([quote, place @ ..]) = self.room::<19>() else {
            return false;
        };
        *quote = b'"';
        let (halves, _) = place.as_chunks_mut::<8>();
        if let [low, high] = halves {
            (*low, *high) = (words.low.to_le_bytes(), words.high.to_le_bytes());
        }
        if let Some([end, last, ..]) = place.get_mut(len..) {
            (*end, *last) = (b'"', behind);
        }
        self.len += len + 3;
        true
    }

    /// The next `N` bytes, to be written; what of them counts, the length says afterwards.
    #[inline(always)]
    fn room<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.ensure(N);
        self.bytes.get_mut(self.len..)?.first_chunk_mut()
    }

    #[inline(always)]
    fn ensure(&mut self, room: usize) {
        // As what comes next asks it, so that the compiler asks but once.
        if (self.bytes.get(self.len..)).is_none_or(|free| free.len() < room) {
            self.grow(room);
        }
    }

    #[inline(always)]
    pub(in super::super) fn extend(&mut self, bytes: &[u8]) {
        copy(self.space(bytes.len()), bytes);
    }

    /// A number, in decimal digits.
    pub(in super::super) fn digits(&mut self, mut number: u64) {
        if number < 10 {
            return self.push(b'0' + number as u8);
        }
        let len = number.ilog10() as usize + 1;
        for place in self.space(len).rchunks_mut(2) {
            let pair = (number % 100) as u8;
            number /= 100;
            match place {
                [tens, ones] => (*tens, *ones) = (b'0' + pair / 10, b'0' + pair % 10),
                [ones] => *ones = b'0' + pair,
                _ => {}
            }
        }
    }

    /// The next `len` bytes, to be written.
    #[inline(always)]
    pub(in super::super) fn space(&mut self, len: usize) -> &mut [u8] {
        self.ensure(len);
        let start = self.len;
        let end = start.saturating_add(len);
        self.len = end;
        self.bytes.get_mut(start..end).unwrap_or_default()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, room: usize) {
        let least = self.len.saturating_add(room);
        let len = least.max(self.bytes.len().saturating_mul(2)).max(LEAST);
        self.bytes.resize(len, 0);
    }
}

/// A text of at most 16 bytes in two words, zeros behind it.
#[derive(Clone, Copy)]
struct Words {
    low: u64,
    high: u64,
    /// The same without the zeros: each byte is one of the text's, or a space.
    seen: [u64; 2],
}

impl Words {
    /// Pieces that overlap cover every length: where they do, they have the same bytes.
    #[inline(always)]
    fn of(text: &[u8]) -> Option<Self> {
        let eight = |piece: Option<&[u8; 8]>| piece.map_or(0, |piece| u64::from_le_bytes(*piece));
        let four = |piece: Option<&[u8; 4]>| {
            piece.map_or(0, |piece| u64::from(u32::from_le_bytes(*piece)))
        };
        Some(match (text.len(), text) {
            (8..=16, _) => {
                let low = eight(text.first_chunk());
                let last = eight(text.last_chunk());
                // In two steps, as all 64 bits cannot be shifted out at once.
                let out = 8 * (16 - text.len());
                let high = (last >> (out / 2)) >> (out / 2);
                let seen = [low, last];
                Self { low, high, seen }
            }
            (4..=7, _) => {
                let first = four(text.first_chunk());
                let last = four(text.last_chunk());
                let low = first | (last << (8 * (text.len() - 4)));
                let seen = [first | (last << 32), SPACES];
                Self { low, high: 0, seen }
            }
            (len, [first, .., last]) if len < 4 => {
                let middle = text.get(len / 2).copied().unwrap_or_default();
                let low = u64::from(*first)
                    | (u64::from(middle) << (8 * (len / 2)))
                    | (u64::from(*last) << (8 * (len - 1)));
                let seen = [low | (SPACES << (8 * len)), SPACES];
                Self { low, high: 0, seen }
            }
            (_, [one]) => {
                let low = u64::from(*one);
                let seen = [low | (SPACES << 8), SPACES];
                Self { low, high: 0, seen }
            }
            (_, []) => Self {
                low: 0,
                high: 0,
                seen: [SPACES; 2],
            },
            _ => return None,
        })
    }

    /// A byte is below the space, a quote or a backslash. Subtracting borrows only from beside a byte that is, and what has
    /// its top bit set is none.
    #[inline(always)]
    fn needs_escape(self) -> bool {
        let found = |word: u64| {
            let control = word.wrapping_sub(SPACES);
            let quote = (word ^ each(b'"')).wrapping_sub(each(1));
            let backslash = (word ^ each(b'\\')).wrapping_sub(each(1));
            (control | quote | backslash) & !word
        };
        let [low, high] = self.seen;
        (found(low) | found(high)) & each(0x80) != 0
    }
}

const SPACES: u64 = each(b' ');

/// A word of which each byte is the same.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}
