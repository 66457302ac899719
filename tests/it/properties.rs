//! What holds in every world.

use duramen::{ErrorMode, Outcome};
use proptest::prelude::*;

use super::agree::{compare, load, regressions_agree, worlds_agree};
use super::generate::{Tape, config, short_tape, tape};
use super::oracle::{Answer, Ask, World, reproduction, tunings};
use super::value::{EntityData, Record, uid};

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn the_answer_is_cedars(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        let Some((oracle, _)) = load(&world, || world.builder().build())? else {
            return Ok(());
        };
        let expected: Vec<Answer> = asks.iter().map(|ask| oracle.decide(ask)).collect();
        let digest = world.builder().build().unwrap().version().policies();
        for tuning in tunings() {
            let authorizer = world.builder().tuning(tuning).build().unwrap();
            prop_assert_eq!(authorizer.version().policies(), digest, "{:?}", tuning);
            for (ask, expected) in asks.iter().zip(&expected) {
                compare(&authorizer, &world, ask, expected)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(config(60))]

    /// The JSON form of policies can say in values what text says in expressions.
    #[test]
    fn what_values_mean_is_cedars(tape in tape()) {
        let (mut world, asks) = Tape::new(&tape).world();
        world.as_values = true;
        let Some((oracle, authorizer)) = load(&world, || world.builder().build())? else {
            return Ok(());
        };
        for ask in &asks {
            compare(&authorizer, &world, ask, &oracle.decide(ask))?;
        }
    }

    #[test]
    fn strict_modes_only_ever_deny(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        for mode in [ErrorMode::DenyOnForbidError, ErrorMode::DenyOnAnyError] {
            let Some((oracle, authorizer)) = load(&world, || world.builder().error_mode(mode).build())? else {
                return Ok(());
            };
            for ask in &asks {
                let mut expected = oracle.decide(ask);
                let mut spoiled = false;
                if let Answer::Decided { allowed, errors, .. } = &mut expected {
                    let counts = |policy: &str| mode == ErrorMode::DenyOnAnyError || oracle.is_forbid(policy);
                    spoiled = *allowed && errors.keys().any(|policy| counts(policy));
                    *allowed &= !spoiled;
                }
                compare(&authorizer, &world, ask, &expected)?;
                let outcome = ask.with_request(|request| authorizer.is_authorized(request).outcome());
                prop_assert_eq!(outcome == Outcome::EvaluationErrors, spoiled);
            }
        }
    }

    #[test]
    fn more_forbids_and_fewer_permits_never_allow(tape in tape(), more in short_tape()) {
        let (mut world, asks) = Tape::new(&tape).world();
        let Some((oracle, before)) = load(&world, || world.builder().build())? else {
            return Ok(());
        };
        let denied: Vec<&Ask> = asks
            .iter()
            .filter(|ask| !ask.with_request(|request| before.is_allowed(request)))
            .collect();
        // All but one permit stay, as Cedar writes them.
        let permits: Vec<_> = oracle.set.policies().filter(|policy| policy.effect() == cedar_policy::Effect::Permit).collect();
        if let Some(permit) = permits.first() {
            let rest = oracle.set.policies().filter(|policy| policy.id() != permit.id() && policy.template_id().is_none());
            let rest = cedar_policy::PolicySet::from_policies(rest.cloned()).unwrap();
            let fewer = world.builder().policies(rest).build().unwrap();
            // Links are gone as well; that only compares when there were none.
            if world.links.is_empty() {
                for ask in &denied {
                    prop_assert!(!ask.with_request(|request| fewer.is_allowed(request)), "{}", reproduction(&world, Some(ask), permit.id().as_ref()));
                }
            }
        }
        let mut forbid = String::new();
        Tape::new(&more).policy(&mut forbid);
        if forbid.contains('?') {
            return Ok(());
        }
        world.policies.push_str(&forbid.replacen("permit(", "forbid(", 1));
        let Some((_, after)) = load(&world, || world.builder().build())? else {
            return Ok(());
        };
        for ask in denied {
            prop_assert!(!ask.with_request(|request| after.is_allowed(request)), "{}", reproduction(&world, Some(ask), &forbid));
        }
    }

    #[test]
    fn nothing_is_allowed_without_policies(tape in tape()) {
        let (mut world, asks) = Tape::new(&tape).world();
        world.policies.clear();
        world.links.clear();
        let Some((_, authorizer)) = load(&world, || world.builder().build())? else {
            return Ok(());
        };
        for ask in &asks {
            ask.with_request(|request| {
                let response = authorizer.is_authorized(request);
                prop_assert!(matches!(response.outcome(), Outcome::NoPermit | Outcome::InvalidRequest));
                prop_assert_eq!(response.determining().len() + response.errors().len(), 0);
                prop_assert!(!authorizer.is_allowed(request));
                Ok(())
            })?;
        }
    }
}

/// Without a schema a request may name anything as its action, and anything may be below an action group: the
/// scope index once looked for members among the entities of type `Action` alone.
#[test]
fn an_action_may_be_any_entity() {
    let world = World {
        policies: r#"permit(principal, action in [Action::"all"], resource);"#.to_owned(),
        entities: vec![EntityData {
            uid: uid("User", "alice"),
            attrs: Record::new(),
            tags: Record::new(),
            parents: vec![uid("Action", "all")],
        }],
        ..World::default()
    };
    let ask = Ask::new(uid("User", "bob"), uid("User", "alice"), uid("Doc", "d"));
    let expected = world.oracle().unwrap().decide(&ask);
    assert!(matches!(expected, Answer::Decided { allowed: true, .. }));
    for tuning in tunings() {
        let authorizer = world.builder().tuning(tuning).build().unwrap();
        compare(&authorizer, &world, &ask, &expected).unwrap();
    }
}

/// The generator makes what it is meant to make: most worlds load, and every kind of answer comes up.
#[test]
fn worlds_are_worth_the_time() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut loaded, mut allowed, mut denied, mut invalid) = (0, 0, 0, 0);
    let mut kinds = std::collections::BTreeMap::new();
    const WORLDS: usize = 60;
    for _ in 0..WORLDS {
        let tree = tape().new_tree(&mut runner).unwrap();
        let (world, asks) = Tape::new(&proptest::strategy::ValueTree::current(&tree)).world();
        let oracle = match world.oracle() {
            Ok(oracle) => oracle,
            Err(error) => {
                println!("not loaded: {error}");
                continue;
            }
        };
        loaded += 1;
        for ask in asks {
            match oracle.decide(&ask) {
                Answer::Invalid => invalid += 1,
                Answer::Decided {
                    allowed: is_allowed,
                    errors,
                    ..
                } => {
                    if is_allowed {
                        allowed += 1;
                    } else {
                        denied += 1;
                    }
                    for kind in errors.into_values() {
                        *kinds.entry(kind).or_insert(0) += 1;
                    }
                }
            }
        }
    }
    let summary = format!(
        "{loaded} of {WORLDS} loaded; allowed {allowed}, denied {denied}, invalid {invalid}; {kinds:?}"
    );
    println!("{summary}");
    assert!(loaded > WORLDS * 3 / 4, "{summary}");
    assert!(allowed > 10 && denied > 10 && invalid > 2, "{summary}");
    assert!(kinds.len() >= 6, "{summary}");
}

/// What the fuzzer found once, and what it begins with.
#[test]
fn fuzzed_worlds_agree() {
    regressions_agree("decide", worlds_agree);
}

/// `fuzz/narrow` lowers thresholds by their names.
#[test]
fn thresholds_that_are_lowered_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = std::fs::read_to_string(root.join("fuzz/narrow")).unwrap();
    let (_, lines) = script.split_once("<<'LOWERED'\n").unwrap();
    let lines: Vec<&str> = lines
        .lines()
        .take_while(|line| *line != "LOWERED")
        .collect();
    assert!(lines.len() > 20);
    for line in lines {
        let parts: Vec<&str> = line.split(' ').collect();
        let [file, name, _] = parts[..] else {
            panic!("{line}")
        };
        let text = std::fs::read_to_string(root.join("src").join(file)).unwrap();
        assert!(text.contains(&format!("const {name}: usize = ")), "{line}");
    }
}

/// The package `fuzz` is compiled by whoever fuzzes, and is made of modules of these tests: what one of them imports has to be
/// there too.
#[test]
fn what_fuzzed_modules_import_is_fuzzed_too() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let library = read("fuzz/src/lib.rs");
    let (_, modules) = library.split_once("mod it {\n").unwrap();
    let (modules, _) = modules.split_once("\n}\n").unwrap();
    // By themselves: of `evidence` there is a part only.
    let modules: Vec<&str> = modules
        .lines()
        .filter_map(|line| line.strip_prefix("    pub(crate) mod ")?.strip_suffix(';'))
        .collect();
    assert!(modules.len() > 8, "{modules:?}");
    let mut imports = 0;
    for module in &modules {
        let file = format!("tests/it/{module}.rs");
        let folder = format!("tests/it/{module}/mod.rs");
        let text = if root.join(&file).exists() {
            read(&file)
        } else {
            read(&folder)
        };
        for line in text.lines() {
            if let Some(import) = line.strip_prefix("use super::") {
                let imported = import.split([':', ';']).next().unwrap();
                assert!(
                    modules.contains(&imported),
                    "fuzz/src/lib.rs lacks {imported}: {file}: {line}"
                );
                imports += 1;
            }
        }
    }
    assert!(imports > 10, "{imports}");
}
