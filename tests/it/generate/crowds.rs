//! Worlds that are crowded: hundreds of policies, a hundred actions that scopes tell apart, and conditions of one shape that
//! a value tells apart.
//!
//! What an index does beyond so many classes, literals or copies is done here by its own numbers, not by lowered ones.

use std::sync::LazyLock;

use super::policies::{entity_text, quoted};
use super::*;

const ACTIONS: usize = 100;
const ACTION_GROUPS: usize = 6;
const USERS: usize = 24;
const DOCS: usize = 16;
const TEAMS: usize = 8;

/// How many texts tell conditions apart.
const KEYS: usize = 48;

/// Entities beside those that all worlds have; later ones may be above earlier ones.
static CROWD: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let kinds = [
        ("User", "c", USERS),
        ("Doc", "c", DOCS),
        ("Group", "c", TEAMS),
        ("Action", "c", ACTIONS),
        ("Action", "cg", ACTION_GROUPS),
    ];
    let of_a_kind = |(type_name, prefix, count)| {
        (0..count).map(move |n| (type_name, &*format!("{prefix}{n}").leak()))
    };
    kinds.into_iter().flat_map(of_a_kind).collect()
});

/// All of them.
pub(super) fn uids() -> impl Iterator<Item = (&'static str, &'static str)> {
    CROWD.iter().copied()
}

impl Tape<'_> {
    /// Hundreds of policies and a hundred actions. The tape is to be [`crowded`](Self::crowded), and those for requests of
    /// this world and for its updates, too.
    pub(crate) fn crowded_world(&mut self) -> World {
        let mut entities = self.entities();
        entities.extend(self.crowd());
        let policies = 100 + self.below(300);
        self.world_of(entities, policies)
    }

    /// As [`new`](Self::new), for a crowded world if it `is` one.
    pub(crate) fn crowded(numbers: &Numbers, is: bool) -> Tape<'_> {
        Tape {
            crowd: is,
            ..Tape::new(numbers)
        }
    }

    /// One of the crowd's, of any kind or an action.
    pub(super) fn of_crowd(&mut self, action: bool) -> (&'static str, &'static str) {
        let actions = CROWD.len() - ACTIONS - ACTION_GROUPS;
        match action {
            true => CROWD[actions + self.below(ACTIONS + ACTION_GROUPS)],
            false => CROWD[self.below(actions)],
        }
    }

    /// One of the texts that tell conditions apart.
    pub(super) fn key(&mut self) -> String {
        format!("k{}", self.below(KEYS))
    }

    fn crowd(&mut self) -> Vec<EntityData> {
        let mut entities = Vec::new();
        for (rank, (type_name, id)) in uids().enumerate() {
            if self.chance(10) {
                continue;
            }
            let above: Vec<_> = uids()
                .skip(rank + 1)
                .filter(|above| is_action(above) == is_action(&(type_name, id)))
                .collect();
            // Few of the actions are in a group: each class of actions has its own groups.
            let parents = if is_action(&(type_name, id)) { 2 } else { 3 };
            let parents = (0..self.below(parents)).filter_map(|_| {
                let (of, id) = *above.get(self.below(above.len().max(1)))?;
                Some(uid(of, id))
            });
            entities.push(EntityData {
                uid: uid(type_name, id),
                parents: parents.collect(),
                attrs: self.record(1),
                tags: Record::new(),
            });
        }
        entities
    }

    /// A condition of one of a few shapes, which has a text, a number or an entity of its own.
    pub(super) fn common_condition(&mut self) -> String {
        let side = self.pick(&["context", "principal", "resource"]);
        match self.below(9) {
            0 => format!("{side}.s == {}", quoted(&self.key())),
            1 => format!("{side} has s && {side}.s == {}", quoted(&self.key())),
            2 => {
                let (first, second) = (self.key(), self.key());
                format!(
                    "context.s == {} && {side}.rec.s == {}",
                    quoted(&first),
                    quoted(&second)
                )
            }
            3 => {
                let keys = (0..1 + self.below(5)).map(|_| quoted(&self.key()));
                format!(
                    "[{}].contains({side}.s)",
                    keys.collect::<Vec<_>>().join(", ")
                )
            }
            4 => format!("{side}.e == {}", entity_text(self.uid_pair())),
            5 => format!("{side}.set.contains({})", quoted(&self.key())),
            6 => format!("{side}.n == {} && {side}.flag", self.below(4)),
            7 => {
                let keys = (0..1 + self.below(3)).map(|_| quoted(&self.key()));
                format!(
                    "{side}.set.containsAny([{}])",
                    keys.collect::<Vec<_>>().join(", ")
                )
            }
            _ => format!("{side} in {}", entity_text(self.uid_pair())),
        }
    }
}
