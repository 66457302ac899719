//! By number of entities, and by the depth and width of the hierarchy above one.

use std::fmt::Write;

use criterion::{BenchmarkId, Criterion};
use duramen::{Authorizer, Entities, Entity, EntityUpdate, Limits, Request};

use super::quick;

const POLICIES: &str = r#"
permit(principal in Group::"top", action == Action::"view", resource) when { resource.owner != principal };
forbid(principal in Group::"none", action, resource);
"#;

fn authorizer(json: String) -> Authorizer {
    let limits = Limits::default()
        .with_input_bytes(1 << 30)
        .with_hierarchy_depth(1_000);
    Authorizer::builder()
        .limits(limits)
        .policies(POLICIES)
        .entities(Entities::new().json(json))
        .build()
        .expect("the benchmark's entities are valid")
}

fn view<'a>(user: &'a str, doc: &'a str) -> Request<'a> {
    Request::new(("User", user), ("Action", "view"), ("Doc", doc))
}

/// Half users, each in one of a hundred groups below `top`; half documents, each of one user.
fn store(size: usize) -> String {
    let mut json = String::from("[");
    for group in 0..100 {
        let _ = writeln!(
            json,
            r#"{{"uid":{{"type":"Group","id":"g{group}"}},"attrs":{{}},"parents":[{{"type":"Group","id":"top"}}]}},"#
        );
    }
    for i in 0..size / 2 {
        let group = i % 100;
        let _ = writeln!(
            json,
            r#"{{"uid":{{"type":"User","id":"u{i}"}},"attrs":{{}},"parents":[{{"type":"Group","id":"g{group}"}}]}},
               {{"uid":{{"type":"Doc","id":"d{i}"}},"attrs":{{"owner":{{"__entity":{{"type":"User","id":"u{i}"}}}}}},"parents":[]}},"#
        );
    }
    json.push_str(r#"{"uid":{"type":"Group","id":"top"},"attrs":{},"parents":[]}]"#);
    json
}

pub(crate) fn entities(c: &mut Criterion) {
    let mut group = c.benchmark_group("entities");
    quick(&mut group);
    for size in [1_000, 10_000, 100_000, 1_000_000] {
        let authorizer = authorizer(store(size));
        let mut session = authorizer.session();
        assert!(session.is_allowed(&view("u1", "d2")));
        assert!(!session.is_allowed(&view("u1", "d1")));
        group.bench_function(BenchmarkId::new("decide_one", size), |b| {
            let request = view("u1", "d2");
            b.iter(|| session.is_authorized(&request).is_allowed());
        });
        // Others each time: what memory costs is in it.
        let ids: Vec<_> = (0..100_000_usize.min(size / 2))
            .map(|i| i.wrapping_mul(7_919) % (size / 2))
            .map(|i| (format!("u{i}"), format!("d{}", (i * 31 + 1) % (size / 2))))
            .collect();
        group.bench_function(BenchmarkId::new("decide_in_turn", size), |b| {
            let mut turn = ids.iter().cycle();
            b.iter(|| {
                let Some((user, doc)) = turn.next() else {
                    return false;
                };
                session.is_authorized(&view(user, doc)).is_allowed()
            });
        });
        drop(session);
        let apply = |update: EntityUpdate| authorizer.update_entities(update).expect("is accepted");
        apply(EntityUpdate::new().remove(("User", "nobody")));
        group.bench_function(BenchmarkId::new("upsert_one", size), |b| {
            let mut turn = ids.iter().cycle();
            b.iter(|| {
                let user = turn.next().map_or("u0", |(user, _)| user.as_str());
                let parents = [("Group", "g1").into(), ("Group", "g2").into()];
                apply(EntityUpdate::new().upsert(Entity::new(("User", user)).parents(&parents)))
            });
        });
    }
    group.finish();
}

/// A user below a chain of groups, or directly in many.
fn above(depth: usize, width: usize) -> String {
    let mut json = String::from("[");
    let parents: Vec<_> = (0..width)
        .map(|i| format!(r#"{{"type":"Group","id":"{i}-0"}}"#))
        .collect();
    let _ = write!(
        json,
        r#"{{"uid":{{"type":"User","id":"u"}},"attrs":{{}},"parents":[{}]}},
           {{"uid":{{"type":"Doc","id":"d"}},"attrs":{{"owner":1}},"parents":[]}}"#,
        parents.join(",")
    );
    for chain in 0..width {
        for level in 0..depth {
            let next = match level + 1 == depth {
                true if chain == 0 => r#"{"type":"Group","id":"top"}"#.to_owned(),
                true => String::new(),
                false => format!(r#"{{"type":"Group","id":"{chain}-{}"}}"#, level + 1),
            };
            let _ = write!(
                json,
                r#",{{"uid":{{"type":"Group","id":"{chain}-{level}"}},"attrs":{{}},"parents":[{next}]}}"#
            );
        }
    }
    json.push(']');
    json
}

pub(crate) fn hierarchy(c: &mut Criterion) {
    let mut group = c.benchmark_group("hierarchy");
    quick(&mut group);
    let shapes = [1, 4, 16, 64, 256].map(|levels| ("depth", levels, levels, 1));
    let wide = [1, 4, 16, 64, 256, 1_024].map(|parents| ("width", parents, 1, parents));
    for (what, size, depth, width) in shapes.into_iter().chain(wide) {
        let authorizer = authorizer(above(depth, width));
        let mut session = authorizer.session();
        let request = view("u", "d");
        assert!(session.is_allowed(&request));
        group.bench_function(BenchmarkId::new(what, size), |b| {
            b.iter(|| session.is_authorized(&request).is_allowed());
        });
    }
    group.finish();
}
