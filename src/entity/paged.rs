//! A persistent vector: clones share what neither has changed.

use std::sync::Arc;

/// Items by number, some of them absent, in a tree of fixed height: root, branches, leaves.
///
/// Cloning is one reference count. Changing an item of a clone copies the root, one branch and one leaf: at a million
/// entities some 4 kB and 400 reference counts. The root is a list and not a node, so that a look-up is three loads
/// whatever the size; it has one pointer for each 8,192 items, and would be the larger part of a change from some
/// thirty million items on.
#[derive(Debug)]
pub(super) struct Paged<T> {
    root: Arc<[Node<Branch<T>>]>,
}

type Node<T> = Option<Arc<T>>;
type Branch<T> = [Node<Leaf<T>>; 1 << BRANCH_BITS];
type Leaf<T> = [Option<T>; 1 << LEAF_BITS];

const LEAF_BITS: usize = 6;
const BRANCH_BITS: usize = 7;

/// The way to an item: in the root, in the branch, in the leaf.
#[inline]
fn path(index: usize) -> (usize, usize, usize) {
    (
        index >> (BRANCH_BITS + LEAF_BITS),
        (index >> LEAF_BITS) & ((1 << BRANCH_BITS) - 1),
        index & ((1 << LEAF_BITS) - 1),
    )
}

impl<T> Clone for Paged<T> {
    fn clone(&self) -> Self {
        Self {
            root: Arc::clone(&self.root),
        }
    }
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { root: Arc::new([]) }
    }
}

impl<T> Paged<T> {
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (root, branch, leaf) = path(index);
        self.root.get(root)?.as_ref()?[branch].as_ref()?[leaf].as_ref()
    }

    /// The items that are there, with their numbers, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.iter_from(0)
    }

    /// The same from an item on.
    pub(super) fn iter_from(&self, first: usize) -> impl Iterator<Item = (usize, &T)> {
        let (first_root, first_branch, first_leaf) = path(first);
        let first_page = first >> LEAF_BITS;
        let root = self.root.iter().enumerate().skip(first_root);
        let leaves = root.flat_map(move |(root, branch)| {
            let skipped = if root == first_root { first_branch } else { 0 };
            let leaves = branch
                .iter()
                .flat_map(move |branch| branch.iter().enumerate().skip(skipped));
            leaves.map(move |(branch, leaf)| ((root << BRANCH_BITS) + branch, leaf))
        });
        leaves.flat_map(move |(page, leaf)| {
            let skipped = if page == first_page { first_leaf } else { 0 };
            let items = leaf
                .iter()
                .flat_map(move |leaf| leaf.iter().enumerate().skip(skipped));
            items.filter_map(move |(at, item)| Some(((page << LEAF_BITS) + at, item.as_ref()?)))
        })
    }

    /// Whether both are one and the same vector.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }
}

impl<T: Clone> Paged<T> {
    pub(super) fn set(&mut self, index: usize, item: Option<T>) {
        let (root, branch, leaf) = path(index);
        if root >= self.root.len() {
            if item.is_none() {
                return;
            }
            let longer = self.root.iter().cloned();
            self.root = longer
                .chain((self.root.len()..=root).map(|_| None))
                .collect();
        }
        let nodes = Arc::make_mut(&mut self.root);
        let branches = nodes[root].get_or_insert_with(|| Arc::new(std::array::from_fn(|_| None)));
        let leaves = Arc::make_mut(branches)[branch]
            .get_or_insert_with(|| Arc::new(std::array::from_fn(|_| None)));
        Arc::make_mut(leaves)[leaf] = item;
    }

    /// Changes every item.
    pub(super) fn update_all(&mut self, mut change: impl FnMut(&mut T)) {
        for node in Arc::make_mut(&mut self.root).iter_mut().flatten() {
            for leaf in Arc::make_mut(node).iter_mut().flatten() {
                for item in Arc::make_mut(leaf).iter_mut().flatten() {
                    change(item);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_clone_leaves_the_original() {
        let mut first = Paged::default();
        let indices = [0, 1, 63, 64, 8_191, 8_192, 100_000, 1_000_000];
        for index in indices {
            first.set(index, Some(index));
        }
        let mut second = first.clone();
        second.set(64, None);
        second.set(5, Some(55));
        second.set(2_000_000, Some(7));
        second.set(3_000_000, None);
        assert!(first.iter().eq(indices.iter().map(|index| (*index, index))));
        let found: Vec<_> = second.iter().map(|(index, item)| (index, *item)).collect();
        assert_eq!(found[..4], [(0, 0), (1, 1), (5, 55), (63, 63)]);
        assert_eq!(second.get(64), None);
        assert_eq!(second.get(2_000_000), Some(&7));
        assert_eq!(second.get(usize::MAX), None);
        assert_eq!(first.get(2_000_000), None);
        for from in [
            0, 1, 2, 63, 64, 65, 8_191, 8_192, 8_193, 99_999, 1_000_000, 1_000_001,
        ] {
            let expected = indices.iter().copied().filter(|index| *index >= from);
            let found = first.iter_from(from).map(|(index, _)| index);
            assert!(found.eq(expected), "from {from}");
        }
        assert!(first.is_same(&first.clone()) && !first.is_same(&second));
    }
}
