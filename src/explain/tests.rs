//! Expressions made from the tree mean what the tree means.

use std::sync::Arc;

use crate::authorizer::{Authorizer, Tuning};
use crate::epoch::Epoch;

/// Every operator, in places where brackets matter and where they do not.
const CONDITIONS: [&str; 22] = [
    "when { principal == User::\"a\\\"b\" && action in [Action::\"x\", Action::\"y\"] }",
    "when { !(context.a || context.b) && !context.c }",
    "unless { (context.a && context.b) || context.c == (context.d == context.e) }",
    "when { if context.a then context.b else context.c || context.d }",
    "when { (if context.a then 1 else 2) + 3 * context.n - -context.m > - 4 }",
    "when { -(-5) < context.n && context.n <= -9223372036854775808 && context.n >= 3 && context.n != 4 }",
    "when { context[\"if\"][\"a b\"].c has d && context has a.b.c && context has \"x y\" }",
    "when { context.s like \"a\\*b*c*\\\"\" && context.s like \"*\" && context.s like \"plain\" }",
    "when { principal is NS::User && resource is Doc in Folder::\"f\" && principal in principal.boss }",
    "when { [1, [context.a], {}].contains({a: 1, \"b c\": [true]}) }",
    "when { {z: context.a, \"if\": 2, a: 3}.z.containsAll([1]) || context.s.containsAny([]) }",
    "when { context.s.isEmpty() && resource.hasTag(\"t\") && resource.getTag(\"t\") == resource.getTag(context.t) }",
    "when { resource.hasTag(context.t) }",
    "when { ip(\"10.0.0.1\").isInRange(context.net) && context.net.isIpv4() && ip(context.text).isLoopback() }",
    "when { decimal(\"1.2\").lessThan(context.d) || context.d.greaterThanOrEqual(decimal(\"0.0\")) }",
    "when { datetime(\"2024-01-01\").offset(duration(\"1d2h\")) < context.at && context.at.toDate() == context.at }",
    "when { context.at.durationSince(datetime(\"2024-01-01T00:00:00Z\")).toHours() > 3 }",
    "when { !!context.a && !(!(!context.b)) }",
    "when { (1 + context.n) * 2 == 1 + context.n * 2 }",
    "when { (context.a == context.b) == (context.a != context.b) }",
    "when { \"tab\\t nul\\0 \\u{1F600} 'quote' \\\\\" == context.s }",
    "when { context has a } unless { context.a has b } when { context.a.b }",
];

fn compile(text: &str) -> Arc<Epoch> {
    // Digests are over what was written; what is folded is gone from the tree.
    let unfolded = Tuning::default().with_constant_folding(false);
    let authorizer = Authorizer::builder().tuning(unfolded).policies(text);
    authorizer.build().expect(text).epoch()
}

#[test]
fn what_is_printed_means_the_same() {
    for condition in CONDITIONS {
        let epoch = compile(&format!("permit(principal, action, resource) {condition};"));
        let program = &epoch.segments[0].program;
        let body = program.body(&program.policies[0]).unwrap();
        let mut printed = String::from("permit(principal, action, resource)");
        for (number, unless) in program.conditions(body).iter().zip(&body.unless) {
            let mut expression = String::new();
            let written = match program.nodes[program.expression(*number).index()] {
                crate::program::Node::Not(inner) if *unless => inner,
                _ => *number,
            };
            program.write_expression(written, &mut expression).unwrap();
            let keyword = if *unless { "unless" } else { "when" };
            printed += &format!("\n{keyword} {{ {expression} }}");
        }
        let again = compile(&(printed.clone() + ";"));
        assert_eq!(
            again.version.policies(),
            epoch.version.policies(),
            "{condition}\n{printed}"
        );
    }
}
