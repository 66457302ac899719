//! What evidence costs the deciding thread: no sink first, then the sink that wants nothing, then the others.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use duramen::Authorizer;
use duramen::evidence::{JsonLinesSink, MemorySink, NoSink};
use support::{ENTITIES, check, request};

fn sinks(c: &mut Criterion) {
    let builder = || {
        Authorizer::builder()
            .policies("permit(principal, action, resource) when { context.mfa };")
            .entities(ENTITIES)
    };
    let mut group = c.benchmark_group("sinks");
    for (name, builder) in [
        ("none", builder()),
        ("no_op", builder().sink(NoSink)),
        (
            "json_lines_without_inputs",
            builder().sink(JsonLinesSink::new(std::io::sink()).without_inputs()),
        ),
        (
            "json_lines",
            builder().sink(JsonLinesSink::new(std::io::sink())),
        ),
        ("memory", builder().sink(MemorySink::new(16))),
    ] {
        let authorizer = builder.build().expect("the benchmark's policies are valid");
        let mut session = authorizer.session();
        let request = request();
        check(&mut session, &request, true);
        group.bench_function(name, |b| {
            b.iter(|| session.is_authorized(&request).is_allowed());
        });
    }
    group.finish();
}

criterion_group!(benches, sinks);
criterion_main!(benches);
