//! Who is below whom, for readers: made when a search first asks for it, and shared by all that have the same
//! hierarchy.
//!
//! Not the writer's [`Children`](super::Children): those are ordered sets, made to be changed, with twelve times the
//! memory. These are two flat lists that take some 15 ms and 8 MB to make for a million entities.

use crate::id::Uid;

use super::snapshot::Snapshot;

/// The children of every group, by group.
#[derive(Debug)]
pub(crate) struct Members {
    /// By uid: where its children begin. One entry more than there are uids.
    starts: Vec<u32>,
    /// Of one group after the other, each sorted.
    children: Vec<Uid>,
    /// Group and child, where the child is a group as well; sorted.
    groups: Vec<(Uid, Uid)>,
}

impl Members {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut starts = vec![0_u32; snapshot.names.extent().uids + 1];
        // Counted one place further on, so that the sums are where each group begins.
        for (_, data) in snapshot.iter() {
            for parent in data.parents() {
                if let Some(count) = starts.get_mut(parent.index() + 1) {
                    *count += 1;
                }
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut next = starts.clone();
        let mut children = vec![Uid::FIRST; total as usize];
        let mut groups = Vec::new();
        for (child, data) in snapshot.iter() {
            let is_group = snapshot.closure(child).is_some();
            for parent in data.parents() {
                let Some(next) = next.get_mut(parent.index()) else {
                    continue;
                };
                if let Some(place) = children.get_mut(*next as usize) {
                    *place = child;
                    *next += 1;
                }
                if is_group {
                    groups.push((*parent, child));
                }
            }
        }
        groups.sort_unstable();
        Self {
            starts,
            children,
            groups,
        }
    }

    /// The entities whose parent is `group`, sorted.
    pub(crate) fn of_group(&self, group: Uid) -> &[Uid] {
        let bounds = (
            self.starts.get(group.index()),
            self.starts.get(group.index() + 1),
        );
        let (Some(start), Some(end)) = bounds else {
            return &[];
        };
        self.children
            .get(*start as usize..*end as usize)
            .unwrap_or_default()
    }

    /// Those of them that are groups themselves.
    pub(crate) fn groups_of(&self, group: Uid) -> impl Iterator<Item = Uid> {
        let start = self.groups.partition_point(|(above, _)| *above < group);
        let below = self.groups.get(start..).unwrap_or_default().iter();
        below
            .take_while(move |(above, _)| *above == group)
            .map(|(_, child)| *child)
    }
}
