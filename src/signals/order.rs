//! What happened last, and which tokens were there.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use sha2::{Digest, Sha256};

use crate::id::EntityUid;

/// How many tokens are remembered.
const TOKENS: usize = 1 << 16;

/// Of how many pairs of entity and attribute it is remembered when they were last set.
const PLACES: usize = 1 << 20;

/// When something happens that is for good, and that the store says, too.
pub(super) const FOR_GOOD: i64 = i64::MAX;

/// The same of what only the order of events says.
pub(super) const FOR_GOOD_HERE: i64 = FOR_GOOD - 1;

/// Which of two values that were set at one moment stays: the greater. Stricter values are greater.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    pub(super) severity: i64,
    /// Where no value is stricter than the other, it has to be one of them all the same.
    pub(super) text: String,
    /// Whether the value only takes away.
    pub(super) restricts: bool,
}

/// An attribute that is to be set.
#[derive(Debug)]
pub(super) struct Place {
    key: (EntityUid, String),
    at: i64,
    rank: Rank,
}

impl Place {
    pub(super) fn new(uid: &EntityUid, attribute: &str, at: i64, rank: Rank) -> Self {
        Self {
            key: (uid.clone(), attribute.to_owned()),
            at,
            rank,
        }
    }
}

/// A token's issuer and id, hashed: an id is as long as a transmitter likes.
type TokenHash = [u8; 32];

fn token_hash(issuer: &str, jti: &str) -> TokenHash {
    // Of fixed length, so that no end of an issuer is the beginning of an id.
    let issuer = Sha256::digest(issuer);
    let hash = Sha256::new().chain_update(issuer).chain_update(jti);
    hash.finalize().into()
}

#[derive(Debug)]
pub(super) struct Order {
    seen: HashSet<TokenHash>,
    oldest_first: VecDeque<TokenHash>,
    places: HashMap<(EntityUid, String), (i64, Rank)>,
    by_time: BTreeSet<(i64, (EntityUid, String))>,
    /// What was forgotten happened at this time or before.
    floor: i64,
    capacity: (usize, usize),
}

impl Default for Order {
    fn default() -> Self {
        Self::with_capacity(TOKENS, PLACES)
    }
}

impl Order {
    fn with_capacity(tokens: usize, places: usize) -> Self {
        Self {
            seen: HashSet::new(),
            oldest_first: VecDeque::new(),
            places: HashMap::new(),
            by_time: BTreeSet::new(),
            floor: i64::MIN,
            capacity: (tokens, places),
        }
    }

    pub(super) fn start_at(&mut self, at: i64) {
        self.floor = self.floor.max(at);
    }

    pub(super) fn has_seen(&self, issuer: &str, jti: &str) -> bool {
        self.seen.contains(&token_hash(issuer, jti))
    }

    pub(super) fn see(&mut self, issuer: &str, jti: &str) {
        let token = token_hash(issuer, jti);
        if self.seen.insert(token) {
            self.oldest_first.push_back(token);
        }
        if self.oldest_first.len() > self.capacity.0
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }

    /// Whether nothing later is known. `undone` is whether the store does not say what it did that was for good.
    pub(super) fn admits(&self, place: &Place, undone: bool) -> Result<(), &'static str> {
        let known = self.places.get(&place.key);
        match known.filter(|(at, _)| !undone || *at < FOR_GOOD) {
            // The host may have taken back what was for good, and nobody would know.
            Some((FOR_GOOD_HERE, _)) if place.rank.restricts => Ok(()),
            Some((at, rank)) if (*at, rank) > (place.at, &place.rank) => {
                Err("something later is known")
            }
            Some((at, rank)) if (*at, rank) == (place.at, &place.rank) => Err("it is known"),
            // Also of a place that is known: it may be there because something restricted, long ago.
            _ if place.at > self.floor || place.rank.restricts => Ok(()),
            _ => Err("it is older than what is remembered"),
        }
    }

    pub(super) fn take(&mut self, place: Place) {
        let Place { key, at, rank } = place;
        if matches!(self.places.get(&key), Some((FOR_GOOD_HERE, _))) {
            return;
        }
        if let Some((old, _)) = self.places.insert(key.clone(), (at, rank)) {
            self.by_time.remove(&(old, key.clone()));
        }
        self.by_time.insert((at, key));
        if self.places.len() > self.capacity.1
            && let Some((at, key)) = self.by_time.pop_first()
        {
            self.places.remove(&key);
            // What is for good the store has, too. With this as the floor nothing would ever be loosened again.
            if at < FOR_GOOD {
                self.floor = self.floor.max(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: &str, at: i64, severity: i64) -> Place {
        let rank = Rank {
            severity,
            text: String::new(),
            restricts: severity > 0,
        };
        Place::new(&EntityUid::new("User", id), "enabled", at, rank)
    }

    #[test]
    fn what_is_forgotten_is_forgotten_on_the_safe_side() {
        let mut order = Order::with_capacity(2, 2);
        for (id, at) in [("a", 10), ("b", 20), ("c", 30)] {
            assert_eq!(order.admits(&place(id, at, 0), false), Ok(()));
            order.take(place(id, at, 0));
        }
        assert_eq!(order.places.len(), 2);
        assert_eq!(order.by_time.len(), 2);
        // Of a nothing is known any more but that it is from 10 or before.
        assert!(order.admits(&place("a", 10, 0), false).is_err());
        assert_eq!(order.admits(&place("a", 5, 1), false), Ok(()));
        assert_eq!(order.admits(&place("a", 11, 0), false), Ok(()));
        assert!(order.admits(&place("b", 20, 0), false).is_err());
        assert_eq!(order.admits(&place("b", 20, 1), false), Ok(()));
    }

    #[test]
    fn what_is_for_good_and_forgotten_does_not_stop_everything_else() {
        let mut order = Order::with_capacity(2, 2);
        for id in ["a", "b", "c"] {
            order.take(place(id, FOR_GOOD, 1));
        }
        assert_eq!(order.places.len(), 2);
        assert_eq!(order.admits(&place("x", 10, 0), false), Ok(()));
        order.take(place("x", 10, 0));
        assert!(order.admits(&place("y", 10, 0), false).is_err());
        assert_eq!(order.admits(&place("y", 11, 0), false), Ok(()));
    }

    #[test]
    fn as_many_tokens_are_remembered_as_there_is_room_for() {
        let mut order = Order::with_capacity(2, 2);
        for jti in ["1", "2", "2", "3"] {
            order.see("iss", jti);
        }
        assert!(!order.has_seen("iss", "1"));
        assert!(order.has_seen("iss", "2") && order.has_seen("iss", "3"));
        assert!(!order.has_seen("other", "3"));
        assert_eq!(order.seen.len(), order.oldest_first.len());
    }
}
