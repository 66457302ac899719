//! Bytes being written: a vector whose memory behind the end is initialized, so that small pieces are stored in place.
//!
//! A line of JSON is some 130 small pieces. Appended to a `Vec<u8>`, each is a call of `memcpy` and its quotes, colon and
//! comma are a test of the capacity each, which was half of what a line took.

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
    pub(in super::super) fn last_mut(&mut self) -> Option<&mut u8> {
        self.bytes.get_mut(self.len.wrapping_sub(1))
    }

    #[inline(always)]
    pub(in super::super) fn push(&mut self, byte: u8) {
        if let [place] = self.space(1) {
            *place = byte;
        }
    }

    #[inline(always)]
    pub(in super::super) fn extend(&mut self, bytes: &[u8]) {
        copy(self.space(bytes.len()), bytes);
    }

    /// A number, in decimal digits.
    pub(in super::super) fn digits(&mut self, mut number: u64) {
        // As many as 64 bits have.
        let mut digits = [0; 20];
        let mut first = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            first = at;
            if number == 0 {
                break;
            }
        }
        self.extend(digits.get(first..).unwrap_or_default());
    }

    /// The next `len` bytes, to be written.
    #[inline(always)]
    pub(in super::super) fn space(&mut self, len: usize) -> &mut [u8] {
        let start = self.len;
        let end = start.saturating_add(len);
        if end > self.bytes.len() {
            self.grow(end);
        }
        self.len = end;
        self.bytes.get_mut(start..end).unwrap_or_default()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, least: usize) {
        let len = least.max(self.bytes.len().saturating_mul(2)).max(LEAST);
        self.bytes.resize(len, 0);
    }
}

/// Copies to a place of the same length. Short ones as two pieces that may overlap, without a call.
#[inline(always)]
pub(super) fn copy(to: &mut [u8], from: &[u8]) {
    #[inline(always)]
    fn pieces<const N: usize>(to: &mut [u8], from: &[u8]) {
        if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
            *to = *from;
        }
        if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
            *to = *from;
        }
    }
    match from.len() {
        0 => {}
        1 => pieces::<1>(to, from),
        2..4 => pieces::<2>(to, from),
        4..8 => pieces::<4>(to, from),
        8..16 => pieces::<8>(to, from),
        16..=32 => pieces::<16>(to, from),
        len if len == to.len() => to.copy_from_slice(from),
        _ => {}
    }
}
