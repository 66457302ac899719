//! By number of elements of a set: stored with an entity, or brought by the request.

use criterion::{BenchmarkId, Criterion};
use duramen::{Authorizer, Limits, Request};

use super::quick;

pub(crate) fn sets(c: &mut Criterion) {
    let mut group = c.benchmark_group("sets");
    quick(&mut group);
    for size in [10, 100, 1_000, 10_000] {
        let numbers: Vec<usize> = (0..size).collect();
        let limits = Limits::default()
            .with_set_elements(100_000)
            .with_context_bytes(1 << 24);
        let entities = format!(
            r#"[{{"uid":{{"type":"User","id":"u"}},"attrs":{{"numbers":{numbers:?}}},"parents":[]}}]"#
        );
        for (what, condition) in [
            ("contains", "principal.numbers.contains(context.one)"),
            (
                "contains_all",
                "principal.numbers.containsAll(context.some)",
            ),
            (
                "contains_any",
                "principal.numbers.containsAny(context.others)",
            ),
        ] {
            let text = format!("permit(principal, action, resource) when {{ {condition} }};");
            let authorizer = Authorizer::builder()
                .limits(limits)
                .policies(text.as_str())
                .entities(entities.as_str())
                .build()
                .expect("the benchmark's policies are valid");
            let (last, some) = (size - 1, [0, size / 2, size - 1]);
            let context =
                serde_json::json!({ "one": last, "some": some, "others": [size, size + 1, last] });
            let request =
                Request::new(("User", "u"), ("Action", "view"), ("Doc", "d")).context(&context);
            let mut session = authorizer.session();
            let mut prepared = authorizer.prepare(&request).expect("a valid request");
            assert!(session.is_authorized_prepared(&mut prepared).is_allowed());
            group.bench_function(BenchmarkId::new(what, size), |b| {
                b.iter(|| session.is_authorized_prepared(&mut prepared).is_allowed());
            });
        }
        let authorizer = Authorizer::builder()
            .limits(limits)
            .policies("permit(principal, action, resource) when { context.numbers.contains(3) };")
            .build()
            .expect("the benchmark's policies are valid");
        let context = serde_json::json!({ "numbers": numbers });
        let request =
            Request::new(("User", "u"), ("Action", "view"), ("Doc", "d")).context(&context);
        let mut session = authorizer.session();
        assert!(session.is_allowed(&request));
        group.bench_function(BenchmarkId::new("read_and_contains", size), |b| {
            b.iter(|| session.is_authorized(&request).is_allowed());
        });
    }
    group.finish();
}
