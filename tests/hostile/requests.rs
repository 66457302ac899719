//! Requests that are large, and cursors of any text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use duramen::Cursor;
use duramen::evidence::{DecisionRecord, DecisionSink, Mask, MaskSink, Masks, SinkError, Wants};

use super::*;

/// The limit that a context meets; none when it is taken.
fn context_limit(context: &str) -> Option<Limit> {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) when { [context] != [] };")
        .build()
        .unwrap();
    let response = authorizer.is_authorized(&asked().context_json(context));
    let limit = response.request_error()?.limit().unwrap().limit();
    assert_eq!(response.outcome(), Outcome::InvalidRequest);
    Some(limit)
}

#[test]
fn large_contexts_are_bounded() {
    let _alone = alone();
    let limits = Limits::default();
    let numbers: Vec<usize> = (0..=limits.set_elements()).collect();
    let cases = [
        (
            json!({ "a": "x".repeat(limits.context_bytes()) }).to_string(),
            Limit::ContextBytes,
        ),
        (
            format!("{{{}\"a\": 1}}", " ".repeat(limits.context_bytes())),
            Limit::ContextBytes,
        ),
        (json!({ "a": numbers }).to_string(), Limit::SetElements),
        (
            format!("{{\"a\": {}", "[".repeat(100_000)),
            Limit::ContextDepth,
        ),
        (
            format!("{{\"a\": {}", "{\"a\":".repeat(100_000)),
            Limit::ContextDepth,
        ),
    ];
    for (context, limit) in cases {
        let found = within(32 * MB, || context_limit(&context));
        assert_eq!(found, Some(limit), "{}", &context[..30]);
    }
    // The most that a byte can cost: values, each in a set of its own. Of 187 bytes for six, 72 are three places in the tree
    // of the text, 35 are left behind by the list that such places collect in, and 80 are three places in sets and two sets'
    // heads. The arena grows by doubling, so that up to twice of that is in use.
    let small = vec![[[0]]; 40_000];
    let context = json!({ "a": small, "b": small, "c": small }).to_string();
    assert!(context.len() > limits.context_bytes() / 2);
    assert_eq!(within(64 * MB, || context_limit(&context)), None);
    // The largest set that passes, backwards and with everything twice: sorting it is what it costs.
    let half = limits.set_elements() / 2;
    let numbers: Vec<usize> = (0..half).rev().chain((0..half).rev()).collect();
    let context = json!({ "a": numbers }).to_string();
    assert_eq!(within(32 * MB, || context_limit(&context)), None);
}

/// Names that nobody knows, keys and elements by the ten thousand, numbers of a million digits.
#[test]
fn wide_requests_cost_their_size() {
    let _alone = alone();
    let policies = "permit(principal == U::\"v\", action, resource);
        permit(principal, action, resource) when { context has a && context.a.containsAll(context.b) };
        permit(principal, action, resource) when { context has a && context.a.containsAny(context.c) };
        permit(principal, action, resource) when { context has a && context.a == context.b };";
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();

    let (id, type_name) = ("x".repeat(10 * MB), "A::".repeat(MB) + "A");
    let long = [("U", id.as_str()), (type_name.as_str(), "u")];
    for uid in long {
        let response = within(48 * MB, || {
            let request = Request::new(uid, ("Action", "a"), uid);
            authorizer.is_authorized(&request).to_owned()
        });
        assert_eq!(response.outcome, Outcome::NoPermit);
    }

    let key = |number: u32| {
        let pairs = (0..13).map(|bit| ["Aa", "BB"][(number >> bit & 1) as usize]);
        pairs.collect::<String>()
    };
    let keys = |count: u32| {
        (0..count)
            .rev()
            .map(|number| format!("\"{}\":1", key(number)))
    };
    let wide = format!("{{{}}}", keys(1 << 13).collect::<Vec<_>>().join(","));
    let response = within(8 * MB, || decide(&authorizer, &wide));
    assert_eq!(response.outcome, Outcome::NoPermit);
    let twice = format!("{{{},\"{}\":2}}", &wide[1..wide.len() - 1], key(5));
    let response = within(8 * MB, || decide(&authorizer, &twice));
    assert_eq!(response.outcome, Outcome::InvalidRequest);

    let numbers = |from: u32| (from..from + 40_000).rev().collect::<Vec<_>>();
    let sets = json!({ "a": numbers(0), "b": numbers(1), "c": numbers(40_000) }).to_string();
    let response = within(32 * MB, || decide(&authorizer, &sets));
    assert_eq!(response.outcome, Outcome::NoPermit);

    for number in [
        "9".repeat(1_000_000),
        format!("-{}1", "0".repeat(1_000_000)),
        format!("1e{}", "9".repeat(1_000_000)),
    ] {
        let context = format!("{{\"a\": {number}}}");
        let response = within(4 * MB, || decide(&authorizer, &context));
        let error = response.request_error.expect("no such number");
        assert!(
            error.message().len() < 2_000,
            "an error as long as the number"
        );
    }
}

/// Wants to know what was read, and sums up how long that is as a text.
#[derive(Default)]
struct Reading(AtomicUsize);

impl DecisionSink for Reading {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let text =
            serde_json::to_string(&record.inputs()).map_err(|_| SinkError::new("no JSON"))?;
        self.0.fetch_add(text.len(), Ordering::Relaxed);
        Ok(())
    }
}

/// A set that a client brings and many policies ask about is kept once for the record, and not for each of them.
#[test]
fn what_many_policies_read_is_recorded_once() {
    let _alone = alone();
    let policies: String = (0..200)
        .map(|number| {
            format!(
                "permit(principal, action, resource) when {{ context.folder in context.folders && context.n == {number} }};"
            )
        })
        .collect();
    let sink = Arc::new(Reading::default());
    let authorizer = Authorizer::builder()
        .policies(policies)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let folders =
        (0..20_000).map(|number| json!({ "__entity": { "type": "F", "id": number.to_string() } }));
    let folder = json!({ "__entity": { "type": "F", "id": "f" } });
    let folders: Vec<_> = folders.collect();
    let context = json!({ "n": 1, "folder": folder, "folders": folders }).to_string();
    let response = within(48 * MB, || decide(&authorizer, &context));
    assert_eq!(response.outcome, Outcome::NoPermit);
    let text = sink.0.load(Ordering::Relaxed);
    assert!((400 * KB..MB).contains(&text), "{text}");
}

/// What a schema lists by the thousand is not copied for each request that is wrong.
/// Entities that are masked in a context, and as many others that a policy asks about: what is named is looked up among the
/// masked ones, and not held against each.
#[test]
fn masked_records_cost_their_size() {
    let _alone = alone();
    let entity = |id: usize| json!({ "__entity": { "type": "G", "id": id.to_string() } });
    let entities = |from: usize| (from..from + 11_000).map(entity).collect::<Vec<_>>();
    let time = |path: &str, [secrets, named]: [usize; 2]| {
        let masks = Masks::new().key(&[7; 32]).path(path, Mask::Digest).unwrap();
        let sink = Arc::new(Reading::default());
        let masking = MaskSink::new(Arc::clone(&sink), masks).unwrap();
        let authorizer = Authorizer::builder()
            .policies(
                "permit(principal, action, resource) when { context.member in context.groups };",
            )
            .sink(masking)
            .build()
            .unwrap();
        let (secrets, groups) = (entities(secrets), entities(named));
        let context = json!({ "secrets": secrets, "groups": groups, "member": entity(1) });
        let context = context.to_string();
        let times = (0..3).map(|_| {
            let begin = Instant::now();
            let response = within(48 * MB, || decide(&authorizer, &context));
            assert_eq!(response.outcome, Outcome::NoPermit);
            begin.elapsed()
        });
        let least = times.min().unwrap();
        assert!(sink.0.load(Ordering::Relaxed) > 400 * KB);
        least
    };
    let unmasked = time("context.nothing", [20_000, 40_000]);
    let none_named = time("context.secrets", [20_000, 40_000]);
    let all_named = time("context.secrets", [20_000, 20_000]);
    assert!(none_named < unmasked * 8, "{unmasked:?}, {none_named:?}");
    assert!(all_named < unmasked * 8, "{unmasked:?}, {all_named:?}");
}

#[test]
fn wrong_requests_cost_their_size() {
    let _alone = alone();
    let listed = |of: &str| {
        let all = (0..5_000).map(|number| of.replace('#', &number.to_string()));
        all.collect::<Vec<_>>().join(", ")
    };
    let schema = format!(
        "entity U enum [{}]; entity R; entity V;
        action a appliesTo {{ principal: [U], resource: [R], context: {{ u?: U, r?: {{ {} }} }} }};",
        listed("\"a rather long id, number #\""),
        listed("attribute_#?: Long"),
    );
    let authorizer = Authorizer::builder()
        .schema_str(schema)
        .policies("permit(principal, action, resource);")
        .validate_requests(true)
        .build()
        .unwrap();
    let wrong = |request: Request<'_>| {
        // A thread of its own has to take its working memory first.
        let response = within(128 * KB, || authorizer.is_authorized(&request).to_owned());
        assert_eq!(response.outcome, Outcome::InvalidRequest);
    };
    let by = |principal| Request::new(principal, ("Action", "a"), ("R", "r"));
    let known = ("U", "a rather long id, number 7");
    assert!(authorizer.is_allowed(&by(known)));
    wrong(by(("U", "u")));
    wrong(by(("V", "v")));
    wrong(by(known).context_json(r#"{ "u": { "type": "U", "id": "u" } }"#));
    wrong(by(known).context_json(r#"{ "r": { "no": 1 } }"#));
    wrong(by(known).context(&json!({ "r": { "no": 1 } })));
}

/// Records by the ten thousand, of a type with so many attributes: what is read costs what is there, whatever is declared.
#[test]
fn records_cost_their_members() {
    let _alone = alone();
    let time = |declared: usize, optional: &str, context: &str, outcome: Outcome| {
        let attributes =
            (0..declared).map(|number| format!("attribute_{number:04}{optional}: Long"));
        let attributes = attributes.collect::<Vec<_>>().join(", ");
        let schema = format!(
            "entity U; entity R;
            type T = {{ {attributes} }};
            action a appliesTo {{ principal: [U], resource: [R], context: {{ r?: Set<T>, s?: T }} }};"
        );
        let authorizer = Authorizer::builder()
            .schema_str(schema)
            .policies(
                "permit(principal, action, resource) when { context has r && context.r.isEmpty() };",
            )
            .validate_requests(true)
            .build()
            .unwrap();
        // The least of some tells of the machine, too, which others use.
        let times = (0..3).map(|_| {
            let begin = Instant::now();
            let response = within(96 * MB, || decide(&authorizer, context));
            assert_eq!(response.outcome, outcome, "{response:?}");
            begin.elapsed()
        });
        times.min().unwrap()
    };
    let empty = format!("{{\"r\": [{}{{}}]}}", "{},".repeat(300_000));
    let last = (0..40_000).map(|number| format!("{{\"attribute_0001\":{number}}}"));
    let last = format!("{{\"r\": [{}]}}", last.collect::<Vec<_>>().join(","));
    for context in [empty, last] {
        let few = time(2, "?", &context, Outcome::NoPermit);
        let many = time(4_000, "?", &context, Outcome::NoPermit);
        assert!(many < few * 8, "{few:?}, {many:?}");
    }
    // The last of so many that are required is missing: what is there is not looked through for each of them.
    let members = |number: usize| {
        let all = (0..number).map(|number| format!("\"attribute_{number:04}\":1"));
        format!("{{\"s\":{{{}}}}}", all.collect::<Vec<_>>().join(","))
    };
    let present = time(4_000, "", &members(4_000), Outcome::NoPermit);
    let missing = time(4_000, "", &members(3_999), Outcome::InvalidRequest);
    assert!(missing < present * 8, "{present:?}, {missing:?}");
}

/// What one large request took is given back by the ordinary ones after it, on the same thread.
#[test]
fn memory_of_a_large_request_is_not_kept() {
    let _alone = alone();
    let authorizer = Authorizer::builder().build().unwrap();
    let small = json!({ "a": [1, 2, 3] }).to_string();
    let large = json!({ "a": vec![[[0]]; 80_000] }).to_string();
    let id = "x".repeat(4 * MB);
    // Two memories to work in: the session's and the thread's.
    let kept = within(128 * MB, || {
        let mut session = authorizer.session();
        let mut decide = |request: &Request<'_>| {
            let pooled = authorizer.is_authorized(request).outcome();
            assert_eq!(session.is_authorized(request).outcome(), pooled);
            assert_eq!(pooled, Outcome::NoPermit);
        };
        decide(&asked().context_json(&small));
        let before = live();
        decide(&asked().context_json(&large));
        decide(&Request::new(
            ("U", id.as_str()),
            ("Action", "a"),
            ("R", "r"),
        ));
        assert!(live() - before > 4 * MB);
        for _ in 0..1_002 {
            decide(&asked().context_json(&small));
        }
        live().saturating_sub(before)
    });
    assert!(kept < MB, "{kept}");
}

/// Cursors go to clients and come back.
#[test]
fn cursors_of_any_text_are_refused() {
    let _alone = alone();
    let texts = [
        "0".repeat(10 * MB),
        "~".repeat(10 * MB),
        ".".repeat(10 * MB),
        "1.".repeat(5 * MB),
        "\u{1F600}".repeat(MB),
    ];
    for text in texts {
        assert!(within(MB, || text.parse::<Cursor>()).is_err());
    }
}
