//! Hierarchies from a tape, wide ones and chains, and requests that bring a large part of one along.

use super::*;

/// Entities that are no actions; the actions come after them.
pub(crate) const THINGS: usize = 40;
const NODES: usize = THINGS + 8;

pub(crate) fn nodes() -> impl Iterator<Item = Uid> {
    (0..NODES).map(node)
}

/// Half of the things are users: a policy tells the type.
fn node(number: usize) -> Uid {
    let of = match number {
        THINGS.. => "Action",
        _ if number.is_multiple_of(2) => "User",
        _ => "Group",
    };
    uid(of, &number.to_string())
}

/// What is below what.
#[derive(Clone, Copy)]
struct Shape {
    /// How far above an entity its parents are: with one it is a chain.
    span: usize,
    /// Whether anything may be above anything.
    loose: bool,
}

impl Tape<'_> {
    /// What is stored: no cycles, but most entities.
    pub(crate) fn hierarchy(&mut self) -> Vec<EntityData> {
        let shape = self.shape(false);
        let numbers: Vec<usize> = (0..NODES).filter(|_| !self.chance(10)).collect();
        let entity = |number| self.node_with_parents(number, shape, 0);
        numbers.into_iter().map(entity).collect()
    }

    /// A request with none to some thirty entities of its own. One in three may have cycles.
    pub(crate) fn ask_with_hierarchy(&mut self) -> Ask {
        let thing = |tape: &mut Self| node(tape.below(THINGS));
        let [principal, resource, other] = [0; 3].map(|_| thing(self));
        let action = match self.chance(4) {
            true => thing(self),
            false => node(THINGS + self.below(NODES - THINGS)),
        };
        let set = (0..self.below(4)).map(|_| Val::Entity(thing(self)));
        let set = Val::Set(set.collect());
        Ask {
            context: Record::from([
                ("x".to_owned(), Val::Entity(other)),
                ("set".to_owned(), set),
            ]),
            overlay: self.chance(90).then(|| self.part_of_hierarchy()),
            typed: self.chance(50),
            ..Ask::new(principal, action, resource)
        }
    }

    /// Changes of what is stored.
    pub(crate) fn changes_of_hierarchy(&mut self) -> Vec<Change> {
        let shape = self.shape(false);
        let mut change = || {
            let number = self.below(NODES);
            let above = self.above(number, shape);
            match self.below(6) {
                0 => Change::Remove(node(number)),
                1 => Change::RemoveParent(node(number), above),
                2 => {
                    let entity = self.node_with_parents(number, shape, 2);
                    Change::Upsert(entity, self.chance(50))
                }
                _ => Change::AddParent(node(number), above),
            }
        };
        (0..6).map(|_| change()).collect()
    }

    fn part_of_hierarchy(&mut self) -> Vec<EntityData> {
        let loose = self.chance(33);
        let shape = self.shape(loose);
        let most = [0, 3, 10, 30][self.below(4)];
        let mut entities: Vec<EntityData> = Vec::new();
        for _ in 0..self.below(most + 1) {
            let number = self.below(NODES);
            // One that comes twice is refused, which Cedar's upsert does not.
            if entities.iter().all(|entity| entity.uid != node(number)) {
                entities.push(self.node_with_parents(number, shape, 1));
            }
        }
        entities
    }

    fn shape(&mut self, loose: bool) -> Shape {
        let span = [1, 2, 6, THINGS][self.below(4)];
        Shape { span, loose }
    }

    fn node_with_parents(&mut self, number: usize, shape: Shape, n: i64) -> EntityData {
        // Chains shall be long.
        let count = match self.chance(8) {
            true => 0,
            false => 1 + self.below(3),
        };
        let parents = (0..count).map(|_| self.above(number, shape));
        let parents = parents.filter(|parent| *parent != node(number)).collect();
        let record = |key: &str| Record::from([(key.to_owned(), Val::Long(n))]);
        EntityData {
            uid: node(number),
            attrs: record("n"),
            tags: record("t"),
            parents,
        }
    }

    /// What may be above: an action above an action, a thing above a thing. At the top it is the entity itself.
    fn above(&mut self, number: usize, Shape { span, loose }: Shape) -> Uid {
        let (first, end) = match number {
            THINGS.. => (THINGS, NODES),
            _ => (0, THINGS),
        };
        match loose {
            true => node(first + self.below(end - first)),
            false => node((number + 1 + self.below(span)).min(end - 1)),
        }
    }
}
