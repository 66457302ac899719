//! Whole worlds, with optimisations and without: a search finds what deciding one by one allows, and what Cedar does.

use std::collections::BTreeSet;

use duramen::{RequestPart, Tuning};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::agree;
use super::super::entity_updates::{State, add, model};
use super::super::generate::{Tape, config, tape};
use super::super::many::{Run, of_bytes};
use super::super::oracle::{Answer, Ask, Oracle, Overlay, World, reproduction, tunings, uid_ref};
use super::super::value::record_json;
use super::*;

const TYPES: [&str; 9] = [
    "User",
    "Group",
    "Doc",
    "Folder",
    "NS::Thing",
    "Action",
    "NS::Action",
    "Ghost::Town",
    "Unheard::Of",
];

/// The open place.
#[derive(Clone, Copy, Debug)]
enum Open {
    Principal(&'static str),
    Action,
    Resource(&'static str),
}

fn opens() -> impl Iterator<Item = Open> {
    let typed = |ty| [Open::Principal(ty), Open::Resource(ty)];
    TYPES.into_iter().flat_map(typed).chain([Open::Action])
}

impl Open {
    fn search<'a>(self, ask: &'a Ask, context: &'a str) -> Search<'a> {
        let (principal, action, resource) = (
            uid_ref(&ask.principal),
            uid_ref(&ask.action),
            uid_ref(&ask.resource),
        );
        let search = match self {
            Self::Principal(ty) => Search::principals(ty, action, resource),
            Self::Action => Search::actions(principal, resource),
            Self::Resource(ty) => Search::resources(principal, action, ty),
        };
        if ask.typed {
            search.context(&ask.context)
        } else {
            search.context_json(context)
        }
    }

    fn with(self, ask: &Ask, candidate: &Uid) -> Ask {
        let mut ask = ask.clone();
        *match self {
            Self::Principal(_) => &mut ask.principal,
            Self::Action => &mut ask.action,
            Self::Resource(_) => &mut ask.resource,
        } = candidate.clone();
        ask
    }
}

/// Who is asked about, of those that may be found: what is stored.
fn expected(authorizer: &Authorizer, stored: &State, open: Open, ask: &Ask) -> BTreeSet<Uid> {
    let is_open = |uid: &Uid| match open {
        Open::Principal(ty) | Open::Resource(ty) => uid.0 == ty,
        Open::Action => uid.0.ends_with("Action"),
    };
    let candidates = stored.keys().filter(|uid| is_open(uid));
    candidates
        .filter(|uid| {
            open.with(ask, uid)
                .with_request(|request| authorizer.is_allowed(request))
        })
        .cloned()
        .collect()
}

fn compare(
    authorizer: &Authorizer,
    world: &World,
    oracle: Option<&Oracle>,
    stored: &State,
    ask: &Ask,
) -> Result<(), TestCaseError> {
    // Searches with entities of their own go another way.
    let without = Ask {
        overlay: None,
        ..ask.clone()
    };
    compare_with(authorizer, world, oracle, stored, &without, Overlay::None)?;
    if ask.overlay.is_none() {
        return Ok(());
    }
    ask.with_overlay(|overlay| compare_with(authorizer, world, oracle, stored, ask, overlay))
}

fn compare_with(
    authorizer: &Authorizer,
    world: &World,
    oracle: Option<&Oracle>,
    stored: &State,
    ask: &Ask,
    overlay: Overlay<'_>,
) -> Result<(), TestCaseError> {
    let pinned = authorizer.pin();
    let context = record_json(&ask.context).to_string();
    for open in opens() {
        let fail = |what: String| {
            let what = format!("{open:?}: {what}");
            Err(TestCaseError::fail(reproduction(world, Some(ask), &what)))
        };
        let search = open.search(ask, &context);
        let search = match overlay {
            Overlay::None => search,
            Overlay::Typed(entities) => search.entities(entities),
            Overlay::Json(entities) => search.entities_json(entities),
        };
        let found = match pinned.search(&search) {
            Ok(found) => owned(found),
            // As with deciding: what cannot be understood for one cannot be for another.
            Err(SearchError::Request(error)) if error.part() != RequestPart::Request => {
                let ask = open.with(ask, &uid("User", "u0"));
                if ask.with_request(|request| {
                    authorizer.is_authorized(request).request_error().is_some()
                }) {
                    continue;
                }
                return fail(format!("refused: {error}"));
            }
            Err(error) => return fail(error.to_string()),
        };
        let mut set: BTreeSet<Uid> = found.iter().cloned().collect();
        if set.len() != found.len() {
            return fail(format!("found twice: {found:?}"));
        }
        for (size, scan) in [(1, usize::MAX), (usize::MAX, 1), (3, 2)] {
            let paged = pages(&pinned, &search, size, scan);
            if paged != found {
                return fail(format!("paged {paged:?}, at once {found:?}"));
            }
        }
        if matches!(open, Open::Action) {
            // Also those that policies name.
            for action in set.iter().filter(|uid| !stored.contains_key(*uid)) {
                let ask = open.with(ask, action);
                prop_assert!(ask.with_request(|request| authorizer.is_allowed(request)));
                prop_assert!(world.policies.contains(&action.1));
            }
            set.retain(|uid| stored.contains_key(uid) && uid.0.ends_with("Action"));
        }
        let one_by_one = expected(authorizer, stored, open, ask);
        if set != one_by_one {
            return fail(format!("found {set:?}, one by one {one_by_one:?}"));
        }
        let Some(oracle) = oracle else { continue };
        for candidate in stored.keys() {
            let asked = match open {
                Open::Principal(ty) | Open::Resource(ty) => candidate.0 == ty,
                Open::Action => candidate.0.ends_with("Action"),
            };
            if asked {
                let allowed = matches!(
                    oracle.decide(&open.with(ask, candidate)),
                    Answer::Decided { allowed: true, .. }
                );
                if allowed != set.contains(candidate) {
                    return fail(format!(
                        "Cedar says {allowed} of {candidate:?}, found {set:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn state(world: &World) -> State {
    let entities = world.entities.iter();
    entities
        .map(|entity| (entity.uid.clone(), entity.clone()))
        .collect()
}

/// A world made from bytes, and changed: what is found in it, and what is decided.
pub(crate) fn worlds_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (tuning, numbers, seed) = of_bytes(bytes);
    let mut tape = Tape::new(&numbers);
    let (world, asks) = tape.world();
    let build = || world.builder().tuning(tuning).build();
    let Some((oracle, authorizer)) = agree::load(&world, build)? else {
        return Ok(());
    };
    let mut run = Run::of(world, oracle, authorizer, seed);
    // A search asks Cedar about every entity, so there is one at a time.
    for ask in asks.iter().take(3) {
        let stored = state(&run.world);
        compare(&run.authorizer, &run.world, Some(&run.oracle), &stored, ask)?;
        run.change(&tape.changes())?;
        for ask in &asks {
            agree::compare(&run.authorizer, &run.world, ask, &run.oracle.decide(ask))?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(15))]

    #[test]
    fn a_search_finds_what_cedar_allows(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        let (Ok(oracle), Ok(_)) = (world.oracle(), world.builder().build()) else { return Ok(()) };
        let stored = state(&world);
        for (number, tuning) in tunings().into_iter().enumerate() {
            let authorizer = world.builder().tuning(tuning).build().unwrap();
            for ask in &asks {
                compare(&authorizer, &world, (number == 0).then_some(&oracle), &stored, ask)?;
            }
        }
    }

    #[test]
    fn a_search_denies_what_strict_modes_deny(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        let stored = state(&world);
        for mode in [ErrorMode::DenyOnForbidError, ErrorMode::DenyOnAnyError] {
            for tuning in [Tuning::default(), Tuning::default().with_shared_expressions(false)] {
                let Ok(authorizer) = world.builder().error_mode(mode).tuning(tuning).build() else { return Ok(()) };
                for ask in &asks {
                    compare(&authorizer, &world, None, &stored, ask)?;
                }
            }
        }
    }

    #[test]
    fn a_search_sees_updates(tape in tape()) {
        let mut tape = Tape::new(&tape);
        let (mut world, asks) = tape.world();
        let Ok(authorizer) = world.builder().build() else { return Ok(()) };
        let mut stored = state(&world);
        for round in 0..4 {
            if round == 2 {
                // Policies in a second segment.
                let update = duramen::PolicyUpdate::new().add("extra", "permit(principal, action, resource == Doc::\"d0\");");
                authorizer.update_policies(update).unwrap();
                world.policies.push_str("permit(principal, action, resource == Doc::\"d0\");");
            }
            let changes = tape.changes();
            let mut next = stored.clone();
            let modelled = changes.iter().try_for_each(|change| model(&mut next, change));
            let update = changes.iter().fold(EntityUpdate::new(), add);
            if authorizer.update_entities(update).is_ok() && modelled.is_ok() {
                stored = next;
            }
            world.entities = stored.values().cloned().collect();
            let oracle = world.oracle().ok().filter(|_| world.links.is_empty());
            for ask in &asks {
                compare(&authorizer, &world, oracle.as_ref(), &stored, ask)?;
            }
        }
    }
}

/// What the fuzzer found once, and what it begins with.
#[test]
fn fuzzed_searches_agree() {
    crate::agree::regressions_agree("search", worlds_agree);
}
