//! Lists in memory that is used again, which are written without being read.

use std::fmt;

/// A list of which the first few items stand in the list itself.
///
/// What a deciding thread writes for another thread is in that one's cache when it is written again. The processor does not
/// wait for what it stores there, but for what it loads: the length, place and room of a vector. A record of six vectors took
/// 490 nanoseconds to copy, as many lines of the cache that are stored to only, 60. So a list that is cleared and then filled
/// is not looked at, unless it has more than its few items.
#[derive(Debug)]
#[repr(C)]
pub(super) struct List<T, const FEW: usize> {
    many: Vec<T>,
    /// Up to `FEW`, the items are in `few`; with more, all are in `many`. Beside the first of the few, in the same line.
    len: usize,
    few: [T; FEW],
}

impl<T: Copy, const FEW: usize> List<T, FEW> {
    /// An empty list. What the filler is does not matter.
    pub(super) const fn new(filler: T) -> Self {
        Self {
            many: Vec::new(),
            len: 0,
            few: [filler; FEW],
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    #[inline]
    pub(super) fn push(&mut self, item: T) {
        match self.few.get_mut(self.len) {
            Some(place) => {
                *place = item;
                self.len += 1;
            }
            None => self.add_to_many(&[item]),
        }
    }

    #[inline]
    pub(super) fn extend_from_slice(&mut self, items: &[T]) {
        let end = self.len.saturating_add(items.len());
        match self.few.get_mut(self.len..end) {
            Some(places) => {
                copy(places, items);
                self.len = end;
            }
            None => self.add_to_many(items),
        }
    }

    #[cold]
    fn add_to_many(&mut self, items: &[T]) {
        if let Some(few) = self.few.get(..self.len) {
            self.many.clear();
            self.many.extend_from_slice(few);
        }
        self.many.extend_from_slice(items);
        self.len = self.many.len();
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[T] {
        self.few.get(..self.len).unwrap_or(&self.many)
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<T> {
        self.as_slice().get(at).copied()
    }

    pub(super) fn set(&mut self, at: usize, item: T) {
        let items = match self.few.get_mut(..self.len) {
            Some(few) => few,
            None => &mut self.many,
        };
        if let Some(place) = items.get_mut(at) {
            *place = item;
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How much memory the items take.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// How much memory there is for items, whether or not there are any.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        size_of_val(&self.few) + self.many.capacity() * size_of::<T>()
    }
}

/// A list of bytes takes any text.
impl<const FEW: usize> fmt::Write for List<u8, FEW> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Copies to a place of the same length. Short ones as two pieces that may overlap, without a call: most texts are.
#[inline(always)]
pub(super) fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    #[inline(always)]
    fn pieces<T: Copy, const N: usize>(to: &mut [T], from: &[T]) {
        if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
            *to = *from;
        }
        if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
            *to = *from;
        }
    }
    match from.len() {
        0 => {}
        1 => pieces::<T, 1>(to, from),
        2..4 => pieces::<T, 2>(to, from),
        4..8 => pieces::<T, 4>(to, from),
        8..16 => pieces::<T, 8>(to, from),
        16..=32 => pieces::<T, 16>(to, from),
        len if len == to.len() => to.copy_from_slice(from),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is done to it, a list holds what a vector holds to which the same is done.
        #[test]
        fn a_list_is_a_vector(steps in proptest::collection::vec((0..5_u8, any::<u8>(), 0..7_usize), 0..60)) {
            let mut list = List::<u8, 5>::new(0);
            let mut vector = Vec::new();
            for (step, item, count) in steps {
                match step {
                    0 => {
                        list.clear();
                        vector.clear();
                    }
                    1 => {
                        list.extend_from_slice(&vec![item; count]);
                        vector.resize(vector.len() + count, item);
                    }
                    2 => {
                        list.set(count, item);
                        if let Some(place) = vector.get_mut(count) {
                            *place = item;
                        }
                    }
                    _ => {
                        list.push(item);
                        vector.push(item);
                    }
                }
                prop_assert_eq!(list.as_slice(), &vector[..]);
                prop_assert_eq!(list.len(), vector.len());
                prop_assert_eq!(list.bytes(), vector.len());
                prop_assert_eq!(list.get(count), vector.get(count).copied());
            }
        }
    }
}
