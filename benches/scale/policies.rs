//! By number of policies: deciding, loading, changing one of them.

use std::str::FromStr;

use cedar_policy as cedar;
use criterion::{BatchSize, BenchmarkId, Criterion};
use duramen::{Authorizer, Policies, PolicyUpdate, Request};

use super::quick;

/// Ten policies match the request, however many there are.
const MATCHING: usize = 10;

/// The text of so many policies, and their links.
type Shape = fn(usize) -> (String, Vec<Link>);

/// An id, a group and a folder.
type Link = (String, String, String);

const COUNTS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

/// For one group and one document each.
fn flat(count: usize) -> (String, Vec<Link>) {
    let policy = |i: usize| {
        let group = if i < MATCHING { 0 } else { i };
        format!(
            "permit(principal in Group::\"g{group}\", action == Action::\"view\", resource == Doc::\"d{group}\");\n"
        )
    };
    ((0..count).map(policy).collect(), Vec::new())
}

/// For a group and a folder, with a condition.
fn roles(count: usize) -> (String, Vec<Link>) {
    let policy = |i: usize| {
        let group = if i < MATCHING { 0 } else { i };
        format!(
            "permit(principal in Group::\"g{group}\", action in [Action::\"view\", Action::\"edit\"], resource in Folder::\"f{}\") \
             when {{ context.level >= {} }};\n",
            group % 100,
            i % 5
        )
    };
    ((0..count).map(policy).collect(), Vec::new())
}

/// For everybody and everything: told apart by an attribute.
fn attributes(count: usize) -> (String, Vec<Link>) {
    let policy = |i: usize| {
        let team = if i < MATCHING { 0 } else { i };
        format!(
            "permit(principal, action == Action::\"view\", resource) \
             when {{ context has team && context.team == \"t{team}\" && context.level >= {} }};\n",
            i % 5
        )
    };
    ((0..count).map(policy).collect(), Vec::new())
}

fn links(count: usize) -> (String, Vec<Link>) {
    let template = "permit(principal in ?principal, action, resource in ?resource) when { context.level >= 1 };";
    let link = |i| match i < MATCHING {
        true => (format!("link{i}"), "g0".to_owned(), "f0".to_owned()),
        false => (format!("link{i}"), format!("g{i}"), format!("f{}", i % 100)),
    };
    (template.to_owned(), (0..count).map(link).collect())
}

fn loaded((text, links): &(String, Vec<Link>)) -> Policies {
    let policies = Policies::new().text(text.as_str());
    links
        .iter()
        .fold(policies, |policies, (id, group, folder)| {
            policies.link(
                "policy0",
                id.as_str(),
                Some(("Group", group.as_str()).into()),
                Some(("Folder", folder.as_str()).into()),
            )
        })
}

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "u" }, "attrs": {}, "parents": [{ "type": "Group", "id": "g0" }] },
    { "uid": { "type": "Doc", "id": "d0" }, "attrs": {}, "parents": [{ "type": "Folder", "id": "f0" }] }
]"#;

fn authorizer(policies: Policies) -> Authorizer {
    Authorizer::builder()
        .policies(policies)
        .entities(ENTITIES)
        .build()
        .expect("the benchmark's policies are valid")
}

/// What `cedar-policy` needs for the same question.
struct Stock {
    policies: cedar::PolicySet,
    entities: cedar::Entities,
    request: cedar::Request,
}

impl Stock {
    fn new((text, links): &(String, Vec<Link>)) -> Self {
        let uid = |text: &str| cedar::EntityUid::from_str(text).expect("a valid uid");
        let mut policies = cedar::PolicySet::from_str(text).expect("valid policies");
        for (id, group, folder) in links {
            let values = [
                (
                    cedar::SlotId::principal(),
                    uid(&format!("Group::\"{group}\"")),
                ),
                (
                    cedar::SlotId::resource(),
                    uid(&format!("Folder::\"{folder}\"")),
                ),
            ];
            let (template, id) = (cedar::PolicyId::new("policy0"), cedar::PolicyId::new(id));
            policies
                .link(template, id, values.into_iter().collect())
                .expect("a valid link");
        }
        let context = cedar::Context::from_json_str(CONTEXT, None).expect("a valid context");
        let [user, view, doc] = [r#"User::"u""#, r#"Action::"view""#, r#"Doc::"d0""#].map(uid);
        Self {
            policies,
            entities: cedar::Entities::from_json_str(ENTITIES, None).expect("valid entities"),
            request: cedar::Request::new(user, view, doc, context, None).expect("a valid request"),
        }
    }

    fn decide(&self) -> cedar::Response {
        cedar::Authorizer::new().is_authorized(&self.request, &self.policies, &self.entities)
    }
}

const CONTEXT: &str = r#"{ "level": 9, "team": "t0" }"#;

/// `cedar-policy` looks at every policy, so that it is not asked about more than so many.
const STOCK: usize = 10_000;

pub(crate) fn policies(c: &mut Criterion) {
    let shapes: [(&str, Shape); 4] = [
        ("flat", flat),
        ("roles", roles),
        ("links", links),
        ("attributes", attributes),
    ];
    let request =
        Request::new(("User", "u"), ("Action", "view"), ("Doc", "d0")).context_json(CONTEXT);
    for (shape, make) in shapes {
        let mut group = c.benchmark_group(format!("policies_{shape}"));
        quick(&mut group);
        for count in COUNTS {
            let source = make(count);
            let authorizer = authorizer(loaded(&source));
            let mut session = authorizer.session();
            let mut prepared = authorizer.prepare(&request).expect("a valid request");
            let response = session.is_authorized_prepared(&mut prepared);
            let determining = response.determining().len();
            drop(response);
            assert_eq!(determining, MATCHING);
            group.bench_function(BenchmarkId::new("decide", count), |b| {
                b.iter(|| session.is_authorized_prepared(&mut prepared).is_allowed());
            });
            if count <= STOCK {
                let stock = Stock::new(&source);
                assert_eq!(stock.decide().diagnostics().reason().count(), MATCHING);
                group.bench_function(BenchmarkId::new("cedar_policy", count), |b| {
                    b.iter(|| stock.decide());
                });
            }
            group.bench_function(BenchmarkId::new("load", count), |b| {
                b.iter_batched(
                    || loaded(&source),
                    |policies| {
                        authorizer
                            .replace_policies(policies)
                            .expect("they are valid")
                    },
                    BatchSize::PerIteration,
                );
            });
            let text = "forbid(principal in Group::\"new\", action, resource);";
            group.bench_function(BenchmarkId::new("add_and_remove_one", count), |b| {
                b.iter(|| {
                    let update = PolicyUpdate::new().add("new", text);
                    authorizer.update_policies(update).expect("it is new");
                    let update = PolicyUpdate::new().remove("new");
                    authorizer.update_policies(update).expect("it is there")
                });
            });
        }
        group.finish();
    }
}
