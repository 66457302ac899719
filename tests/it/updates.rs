//! Changing policies one by one: as loading the result at once, or no change at all.

use std::collections::{BTreeSet, HashMap};

use cedar_policy as cedar;
use duramen::{Authorizer, Policies, PolicyUpdate, Request, Response};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::generate::{Tape, config, tape};
use super::oracle::{Ask, Oracle, World, cedar_uid, ours, uid_ref};
use super::value::{Uid, entities_json};

/// Policies that match nothing: with them a set has layers.
fn filler(count: usize) -> String {
    (0..count)
        .map(|i| format!("permit(principal == Filler::\"{i}\", action, resource);\n"))
        .collect()
}

/// What one update would do to stock Cedar's set, and the same for us.
pub(crate) struct Trial {
    pub(crate) set: cedar::PolicySet,
    pub(crate) update: PolicyUpdate,
    /// Why Cedar refuses it, if it does.
    pub(crate) refused: Option<String>,
    /// Ids that were given a text.
    texts: BTreeSet<String>,
}

impl Trial {
    pub(crate) fn new(set: &cedar::PolicySet) -> Self {
        Self {
            set: set.clone(),
            update: PolicyUpdate::new(),
            refused: None,
            texts: BTreeSet::new(),
        }
    }

    fn result<T, E: std::fmt::Display>(&mut self, result: Result<T, E>) {
        if let (Err(error), None) = (result, &self.refused) {
            self.refused = Some(error.to_string());
        }
    }

    pub(crate) fn step(&mut self, tape: &mut Tape<'_>) {
        const IDS: [&str; 9] = [
            "a", "b", "c", "d", "e", "policy0", "policy1", "policy2", "policy7",
        ];
        const TEMPLATES: [&str; 3] = ["s", "t", "a"];
        let id = tape.pick(&IDS).to_owned();
        let template = tape.pick(&TEMPLATES).to_owned();
        let cedar_id = cedar::PolicyId::new(&id);
        match tape.below(9) {
            0..=3 if self.texts.insert(id.clone()) => {
                let mut text = String::new();
                tape.policy(&mut text);
                let replace = self.set.policy(&cedar_id).is_some() && tape.chance(70);
                let parsed = cedar::Policy::parse(Some(cedar_id.clone()), &text);
                let update = std::mem::take(&mut self.update);
                if replace {
                    self.update = update.replace(id, text);
                    let removed = self.set.remove_static(cedar_id);
                    self.result(removed);
                } else {
                    self.update = update.add(id, text);
                }
                match parsed {
                    Ok(policy) => {
                        let added = self.set.add(policy);
                        self.result(added);
                    }
                    Err(error) => self.result(Err::<(), _>(error)),
                }
            }
            4 => {
                self.update = std::mem::take(&mut self.update).remove(id);
                let removed = self.set.remove_static(cedar_id);
                self.result(removed);
            }
            5 if self.texts.insert(template.clone()) => {
                let cedar_id = cedar::PolicyId::new(&template);
                let text =
                    "permit(principal in ?principal, action, resource) when { context.a == 1 };";
                self.update = std::mem::take(&mut self.update).add_template(template, text);
                let parsed = cedar::Template::parse(Some(cedar_id), text).unwrap();
                let added = self.set.add_template(parsed);
                self.result(added);
            }
            6 => {
                let cedar_id = cedar::PolicyId::new(&template);
                self.update = std::mem::take(&mut self.update).remove_template(template);
                let removed = self.set.remove_template(cedar_id);
                self.result(removed);
            }
            7 => {
                let uid: Uid = tape.ask().principal;
                let wrong_slot = tape.chance(5);
                let (principal, resource) = match wrong_slot {
                    true => (None, Some(uid_ref(&uid))),
                    false => (Some(uid_ref(&uid)), None),
                };
                let slot = match wrong_slot {
                    true => cedar::SlotId::resource(),
                    false => cedar::SlotId::principal(),
                };
                let values = HashMap::from([(slot, cedar_uid(&uid))]);
                let cedar_template = cedar::PolicyId::new(&template);
                let update = std::mem::take(&mut self.update);
                self.update = update.link(template, id, principal, resource);
                let linked = self.set.link(cedar_template, cedar_id, values);
                self.result(linked);
            }
            _ => {
                self.update = std::mem::take(&mut self.update).unlink(id);
                let unlinked = self.set.unlink(cedar_id);
                self.result(unlinked);
            }
        }
    }
}

/// The answers are those of stock Cedar, in the order of the policies.
fn compare(authorizer: &Authorizer, oracle: &Oracle, asks: &[Ask]) -> Result<(), TestCaseError> {
    for ask in asks {
        let expected = oracle.decide(ask);
        ask.with_request(|request| {
            let response = authorizer.is_authorized(request);
            prop_assert_eq!(ours(&response), expected.clone());
            prop_assert_eq!(authorizer.is_allowed(request), response.is_allowed());
            Ok(())
        })?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(15))]

    #[test]
    fn an_update_is_as_loading_the_result(tape in tape(), layered in any::<bool>()) {
        let mut tape = Tape::new(&tape);
        let (world, asks) = tape.world();
        let world = World { policies: filler(if layered { 300 } else { 3 }), links: Vec::new(), ..world };
        let (Ok(mut oracle), Ok(authorizer)) = (world.oracle(), world.builder().build()) else {
            return Ok(());
        };
        let mut session = authorizer.session();
        for _ in 0..12 {
            let mut trial = Trial::new(&oracle.set);
            for _ in 0..1 + tape.below(4) {
                trial.step(&mut tape);
            }
            let before = (authorizer.version(), authorizer.policy_count());
            match (authorizer.update_policies(trial.update.clone()), trial.refused) {
                (Ok(changes), None) => {
                    prop_assert_eq!(changes.version(), authorizer.version());
                    prop_assert_eq!(changes.version().epoch(), before.0.epoch() + 1);
                    oracle.set = trial.set;
                }
                (Err(_), Some(_)) => {
                    prop_assert_eq!(before, (authorizer.version(), authorizer.policy_count()));
                }
                (ours, cedar) => {
                    let what = format!("{:?}\nCedar says {cedar:?}, Duramen says {ours:?}", trial.update);
                    return Err(TestCaseError::fail(what));
                }
            }
            compare(&authorizer, &oracle, &asks)?;
            for ask in &asks {
                let expected = oracle.decide(ask);
                ask.with_request(|request| {
                    prop_assert_eq!(ours(&session.is_authorized(request)), expected);
                    Ok(())
                })?;
            }
            let mut others = oracle.set.clone();
            let mut anew = Policies::new();
            // Those of the filler that are still there, as text, which loads faster.
            if (0..300).all(|i| {
                let id = cedar::PolicyId::new(format!("policy{i}"));
                    others.policy(&id).is_some_and(|policy| policy.to_string().contains("Filler"))
                    && others.remove_static(id).is_ok()
            }) {
                anew = anew.text(filler(300));
            } else {
                others = oracle.set.clone();
            }
            let anew = Authorizer::builder()
                .policies(anew.policy_set(others))
                .entities(entities_json(&world.entities).as_str())
                .build()
                .unwrap();
            prop_assert_eq!(anew.version().policies(), authorizer.version().policies());
            prop_assert_eq!(anew.policy_count(), authorizer.policy_count());
        }
    }
}

fn ids(response: &Response<'_>) -> Vec<String> {
    let determining = response.determining();
    determining.map(|policy| policy.id().to_string()).collect()
}

/// Through all layers: the tail fills up, is joined with the middle, and that with the base.
#[test]
fn many_small_updates() {
    let authorizer = Authorizer::builder()
        .policies(filler(1500).as_str())
        .build()
        .unwrap();
    let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p"));
    let permit =
        |i: usize| format!("permit(principal, action, resource) unless {{ context has no{i} }};");
    for i in 0..1200 {
        let update = PolicyUpdate::new().add(format!("new{i}"), permit(i));
        authorizer.update_policies(update).unwrap();
        if i % 3 == 2 {
            let update = PolicyUpdate::new()
                .remove(format!("new{}", i - 1))
                .replace(format!("new{}", i - 2), permit(i - 2));
            authorizer.update_policies(update).unwrap();
        }
        if i % 97 != 0 {
            continue;
        }
        let expected: Vec<String> = expected_order(i)
            .iter()
            .map(|i| format!("new{i}"))
            .collect();
        assert_eq!(ids(&authorizer.is_authorized(&request)), expected);
    }
    let mut anew = filler(1500);
    for i in expected_order(1199) {
        anew += &format!("@id(\"new{i}\") {}\n", permit(i));
    }
    // The annotation is part of the meaning, so the digests differ; the answers do not.
    let anew = Authorizer::builder()
        .policies(Policies::new().text(anew).ids_from_annotations())
        .build()
        .unwrap();
    assert_eq!(anew.policy_count(), authorizer.policy_count());
    assert_eq!(
        ids(&anew.is_authorized(&request)),
        ids(&authorizer.is_authorized(&request))
    );
    // All gone again: what was loaded is left.
    let all = expected_order(1199);
    let update = all.iter().fold(PolicyUpdate::new(), |update, i| {
        update.remove(format!("new{i}"))
    });
    authorizer.update_policies(update).unwrap();
    let loaded = Authorizer::builder()
        .policies(filler(1500).as_str())
        .build()
        .unwrap();
    assert_eq!(authorizer.version().policies(), loaded.version().policies());
    assert!(!authorizer.is_allowed(&request));
}

/// The numbers of the policies that `many_small_updates` has added up to `last`, in order.
fn expected_order(last: usize) -> Vec<usize> {
    let mut order = Vec::new();
    for i in 0..=last {
        order.push(i);
        if i % 3 == 2 {
            order.retain(|other| *other != i - 1 && *other != i - 2);
            order.push(i - 2);
        }
    }
    order
}

#[test]
fn refused_updates_name_everything() {
    let policies = Policies::new()
        .text("permit(principal, action, resource);\nforbid(principal == ?principal, action, resource);")
        .link("policy1", "link", Some(("User", "eve").into()), None);
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();
    let before = authorizer.version();
    let permit = "permit(principal, action, resource);";
    let template = "permit(principal == ?principal, action, resource);";
    let cases = [
        (
            PolicyUpdate::new().add("policy0", permit),
            "policy0",
            "policy or template with this id",
        ),
        (
            PolicyUpdate::new().add("policy1", permit),
            "policy1",
            "policy or template with this id",
        ),
        (
            PolicyUpdate::new().add("link", permit),
            "link",
            "policy or template with this id",
        ),
        (
            PolicyUpdate::new().add("new", "permit(principal"),
            "new",
            "unexpected end of input",
        ),
        (PolicyUpdate::new().add("new", ""), "new", "there are 0"),
        (
            PolicyUpdate::new().add("new", format!("{permit}{permit}")),
            "new",
            "column 37: policy new: one policy is expected, and there are 2",
        ),
        (PolicyUpdate::new().add("new", template), "new", "template"),
        (
            PolicyUpdate::new().add_template("new", permit),
            "new",
            "no slots",
        ),
        (
            PolicyUpdate::new().replace("new", permit),
            "new",
            "no such policy",
        ),
        (
            PolicyUpdate::new().replace("link", permit),
            "link",
            "template link",
        ),
        (PolicyUpdate::new().remove("new"), "new", "no such policy"),
        (PolicyUpdate::new().remove("link"), "link", "template link"),
        (
            PolicyUpdate::new().remove("policy1"),
            "policy1",
            "`remove_template`",
        ),
        (
            PolicyUpdate::new().unlink("policy0"),
            "policy0",
            "not a template link",
        ),
        (
            PolicyUpdate::new().remove_template("policy1"),
            "policy1",
            "has links",
        ),
        (
            PolicyUpdate::new().remove_template("policy0"),
            "policy0",
            "no such template",
        ),
        (
            PolicyUpdate::new().link("policy7", "new", None, None),
            "new",
            "no such template",
        ),
        (
            PolicyUpdate::new().link("policy0", "new", None, None),
            "new",
            "it is a policy, and not a template",
        ),
        (
            PolicyUpdate::new().link("policy1", "new", None, None),
            "new",
            "?principal",
        ),
        (
            PolicyUpdate::new().link(
                "policy1",
                "new",
                Some(("User", "x").into()),
                Some(("User", "x").into()),
            ),
            "new",
            "?resource",
        ),
        (
            PolicyUpdate::new().link("policy1", "new", Some(("no type", "x").into()), None),
            "new",
            "not a type name",
        ),
        (
            PolicyUpdate::new().link("policy1", "link", Some(("User", "x").into()), None),
            "link",
            "this id",
        ),
    ];
    for (update, id, part) in cases {
        let what = format!("{update:?}");
        // What is good about an update is not done either.
        let update = update.add("good", permit).remove("good");
        let error = authorizer.update_policies(update).expect_err(&what);
        let problem = &error.problems()[0];
        assert_eq!(problem.policy().unwrap().as_str(), id, "{what}: {error}");
        assert!(error.to_string().contains(part), "{what}: {error}");
        assert_eq!(authorizer.version(), before, "{what}");
    }
    let both = PolicyUpdate::new().remove("one").remove("two");
    assert_eq!(
        authorizer
            .update_policies(both)
            .unwrap_err()
            .problems()
            .len(),
        2
    );
}

/// A template, and a schema that says what may be linked to it.
fn with_schema() -> Authorizer {
    Authorizer::builder()
        .schema_str(
            "entity User, Group; action view appliesTo { principal: User, resource: Group };",
        )
        .policies(Policies::new().text("permit(principal == ?principal, action, resource);"))
        .build()
        .unwrap()
}

#[test]
fn what_is_new_is_validated() {
    let authorizer = with_schema();
    let refused = |update: PolicyUpdate| {
        let error = authorizer.update_policies(update).unwrap_err();
        error.problems()[0].policy().unwrap().to_string()
    };
    let wrong = "permit(principal, action, resource) when { principal.nope };";
    assert_eq!(refused(PolicyUpdate::new().add("wrong", wrong)), "wrong");
    let nobody = Some(("Nobody", "x").into());
    assert_eq!(
        refused(PolicyUpdate::new().link("policy0", "link", nobody, None)),
        "link"
    );
    let user = Some(("User", "x").into());
    let changes = authorizer
        .update_policies(
            PolicyUpdate::new()
                .link("policy0", "link", user, None)
                .add_template("t", "forbid(principal in ?principal, action, resource);")
                .link("t", "linked", user, None),
        )
        .unwrap();
    let names = |ids: &[duramen::PolicyId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(changes.added()), ["link", "linked"]);
    assert_eq!(names(changes.added_templates()), ["t"]);
    let request = Request::new(("User", "x"), ("Action", "view"), ("Group", "g"));
    let response = authorizer.is_authorized(&request);
    assert_eq!(ids(&response), ["linked"]);
    let forbid = response.determining().next().unwrap();
    assert_eq!(forbid.template().unwrap().as_str(), "t");
}

/// What is linked and unlinked again by one update may be linked anew by it, or be gone with its template: the schema is asked about
/// what is left.
#[test]
fn links_that_are_gone_again_are_not_validated() {
    let authorizer = with_schema();
    let user = |id| Some(("User", id).into());
    let nobody = Some(("Nobody", "x").into());
    let template = "forbid(principal == ?principal, action, resource);";
    let update = PolicyUpdate::new()
        .link("policy0", "link", user("x"), None)
        .unlink("link")
        .link("policy0", "link", user("y"), None)
        .add_template("t", template)
        .link("t", "gone", user("y"), None)
        .unlink("gone")
        .remove_template("t");
    authorizer.update_policies(update).unwrap();
    let is_allowed = |id| {
        authorizer.is_allowed(&Request::new(
            ("User", id),
            ("Action", "view"),
            ("Group", "g"),
        ))
    };
    assert!(is_allowed("y") && !is_allowed("x"));
    let last_is_wrong = PolicyUpdate::new()
        .link("policy0", "other", user("x"), None)
        .unlink("other")
        .link("policy0", "other", nobody, None);
    assert!(authorizer.update_policies(last_is_wrong).is_err());
}

/// What is odd about a policy that one update adds and takes away again is not about the policies in force.
#[test]
fn policies_that_are_gone_again_leave_no_warnings() {
    let authorizer = Authorizer::builder()
        .schema_str(
            "entity User, Group; action view appliesTo { principal: User, resource: Group };",
        )
        .build()
        .unwrap();
    let never = "permit(principal is Group, action, resource);";
    let never_linked = "permit(principal == ?principal, action, resource is User);";
    let odd = |authorizer: &Authorizer| {
        let warnings = authorizer.warnings();
        let odd = warnings.iter().filter_map(|warning| warning.policy());
        let mut odd: Vec<String> = odd.map(ToString::to_string).collect();
        odd.dedup();
        odd
    };
    let update = PolicyUpdate::new()
        .add("x", never)
        .remove("x")
        .add_template("t", never_linked)
        .remove_template("t");
    let changes = authorizer.update_policies(update).unwrap();
    assert!(changes.warnings().is_empty(), "{:?}", changes.warnings());
    assert!(odd(&authorizer).is_empty(), "{:?}", odd(&authorizer));
    let update = PolicyUpdate::new()
        .add("x", never)
        .add("y", never)
        .remove("x")
        .add_template("t", never_linked);
    authorizer.update_policies(update).unwrap();
    assert_eq!(odd(&authorizer), ["y", "t"]);
    // Taken by something else since, of which nothing is odd.
    let user = Some(("User", "a").into());
    let update = PolicyUpdate::new()
        .remove_template("t")
        .remove("y")
        .add_template("t", "permit(principal == ?principal, action, resource);")
        .add("x", never)
        .remove("x")
        .link("t", "x", user, None);
    authorizer.update_policies(update).unwrap();
    assert!(odd(&authorizer).is_empty(), "{:?}", odd(&authorizer));
}

/// Entities that are replaced after an update meet the changed policies, and positions are told of all layers.
#[test]
fn updates_outlive_the_entities() {
    let authorizer = Authorizer::builder()
        .policies(filler(400).as_str())
        .build()
        .unwrap();
    let text = "permit(principal in Group::\"g\", action, resource) when { context.nope };";
    authorizer
        .update_policies(PolicyUpdate::new().remove("policy3").add("new", text))
        .unwrap();
    authorizer
        .replace_entities(r#"[{ "uid": { "type": "User", "id": "u" }, "attrs": {}, "parents": [{ "type": "Group", "id": "g" }] }]"#)
        .unwrap();
    let request = Request::new(("User", "u"), ("Action", "view"), ("Photo", "p"));
    let response = authorizer.is_authorized(&request);
    let error = response.errors().next().unwrap();
    assert_eq!(error.policy().id().as_str(), "new");
    assert_eq!(error.path(), [0]);
    assert_eq!(error.source(), Some((None, 0..text.len())));
    let location = &response.locate_errors(&request)[0];
    assert_eq!(&text[location.range().unwrap()], "context.nope");
    let filled = |i| Request::new(("Filler", i), ("Action", "view"), ("Photo", "p"));
    assert!(!authorizer.is_allowed(&filled("3")));
    assert!(authorizer.is_allowed(&filled("4")));
}
