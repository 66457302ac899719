//! Entities from streams, files and iterators: the same as from text, with progress, positions and limits.

use std::fmt::Write;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use duramen::{
    Authorizer, Entities, Entity, EntityError, EntityProgress, EntityUid, EntityUidRef,
    EntityUpdate, Limit, Limits, Request,
};
use proptest::prelude::*;

use super::generate::{Tape, config, tape};
use super::loading::Folder;
use super::oracle::{ours, reproduction, uid_ref};
use super::value::entities_json;

const POLICIES: &str = r#"permit(principal in Group::"g1", action, resource);"#;

/// Some 90 bytes an entity, so that thousands of them are more than is read at once; with characters of all lengths.
fn many(count: usize) -> String {
    let mut text = String::from("[\n");
    for i in 0..count {
        let comma = if i == 0 { "" } else { ",\n" };
        let _ = write!(
            text,
            "{comma}  {{\"uid\":{{\"type\":\"User\",\"id\":\"ü{i}\"}},\"attrs\":{{\"name\":\"日本\\u00e9\u{1F600}\"}},\"parents\":[{{\"type\":\"Group\",\"id\":\"g{}\"}}]}}",
            i % 3
        );
    }
    text + "\n]\n"
}

/// Hands out a few bytes at a time, and interrupts now and then.
struct Drip {
    bytes: Vec<u8>,
    at: usize,
    calls: usize,
    fails_at: Option<usize>,
}

impl Drip {
    fn new(text: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: text.into(),
            at: 0,
            calls: 0,
            fails_at: None,
        }
    }
}

impl Read for Drip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.fails_at.is_some_and(|at| self.at >= at) {
            return Err(io::Error::other("the line is dead"));
        }
        let len = into
            .len()
            .min(1 + self.calls % 4099)
            .min(self.bytes.len() - self.at);
        into[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

fn build(entities: Entities, limits: Limits) -> Result<Authorizer, EntityError> {
    let builder = Authorizer::builder().policies(POLICIES).limits(limits);
    let built = builder.entities(entities).build();
    built.map_err(|error| error.entity_error().unwrap().clone())
}

fn load(entities: Entities) -> Result<Authorizer, EntityError> {
    build(entities, Limits::default())
}

#[test]
fn a_stream_of_many_entities_is_what_the_text_is() {
    const COUNT: usize = 20_000;
    let text = many(COUNT);
    assert!(text.len() > 1 << 20);
    let folder = Folder::new();
    let file = folder.file("many.json", &text);
    for (what, entities, total) in [
        (
            "text",
            Entities::from(text.as_str()),
            Some(text.len() as u64),
        ),
        (
            "stream",
            Entities::new().json_stream(Drip::new(text.as_str())),
            None,
        ),
        (
            "file",
            Entities::new().json_file(file),
            Some(text.len() as u64),
        ),
    ] {
        let told: Arc<Mutex<Vec<EntityProgress>>> = Arc::default();
        let telling = Arc::clone(&told);
        let authorizer =
            load(entities.on_progress(move |progress| telling.lock().unwrap().push(progress)))
                .unwrap();
        assert_eq!(authorizer.entity_count(), COUNT, "{what}");
        for i in [0, 1, 2, 3_333, 9_998, COUNT - 1] {
            let id = format!("ü{i}");
            let request = Request::new(("User", id.as_str()), ("Action", "a"), ("Doc", "d"));
            assert_eq!(authorizer.is_allowed(&request), i % 3 == 1, "{what}, {i}");
        }
        let told = told.lock().unwrap();
        assert!(told.len() > 2, "{what}: {told:?}");
        assert!(
            told.is_sorted_by_key(EntityProgress::entities)
                && told.is_sorted_by_key(EntityProgress::bytes)
        );
        assert!(told.iter().all(|progress| progress.total_bytes() == total));
        let last = told.last().unwrap();
        assert_eq!(
            (last.entities(), last.bytes()),
            (COUNT, text.rfind('}').unwrap() as u64 + 1),
            "{what}"
        );
    }
}

#[test]
fn problems_have_their_place() {
    // An entity on a line, from the second on.
    let text = many(20_000);
    let lines: Vec<&str> = text.lines().collect();
    let with = |changes: &[(usize, &str, &str)]| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        for (line, from, to) in changes {
            assert!(lines[*line].contains(from));
            lines[*line] = lines[*line].replace(from, to);
        }
        lines.join("\n")
    };
    // Two entities that cannot be read, one that is there twice, in one go.
    let broken = with(&[
        (9_000, "\"日本", "1.5, \"b\": \"日本"),
        (
            12_345,
            "\"attrs\":{",
            "\"attrs\":{\"e\":{\"__extn\":{\"fn\":\"ip\",\"arg\":\"x\"}},",
        ),
        (15_000, "ü14999", "ü18"),
        (19_999, "\"parents\"", "\"parent\""),
    ]);
    let start = |text: &str, line: usize| {
        let before = text.lines().take(line).map(|line| line.len() + 1);
        before.sum::<usize>() as u64
    };
    let offset = |line: usize| Some(start(&broken, line) + 2);
    for entities in [
        Entities::from(broken.as_str()),
        Entities::new().json_stream(Drip::new(broken.as_str())),
    ] {
        let error = load(entities).unwrap_err();
        let problems: Vec<_> = error
            .problems()
            .iter()
            .map(|problem| {
                (
                    problem.entity().cloned(),
                    problem.position(),
                    problem.offset(),
                )
            })
            .collect();
        let user = |id: &str| Some(EntityUid::new("User", id));
        let expected = [
            (user("ü8999"), Some((9_001, 3)), offset(9_000)),
            (user("ü12344"), Some((12_346, 3)), offset(12_345)),
            (user("ü18"), Some((15_001, 3)), offset(15_000)),
            (user("ü19998"), Some((20_000, 3)), offset(19_999)),
        ];
        assert_eq!(problems, expected, "{error}");
    }
    // What is no JSON is the end. Characters count in columns, and bytes in offsets.
    let broken = with(&[(18_000, "日本\\u00e9", "日本\\x")]);
    let error = load(Entities::new().json_stream(Drip::new(broken.as_str()))).unwrap_err();
    let [problem] = error.problems() else {
        panic!("{error}")
    };
    let line = broken.lines().nth(18_000).unwrap();
    let at = line.find("\\x").unwrap();
    assert_eq!(
        problem.offset(),
        Some(start(&broken, 18_000) + at as u64 + 1)
    );
    assert_eq!(
        problem.position(),
        Some((
            18_001,
            u32::try_from(line[..at].chars().count()).unwrap() + 2
        ))
    );
    assert!(problem.message().contains("no such escape"), "{error}");
}

#[test]
fn streams_that_end_badly_are_refused() {
    let text = many(10_000);
    let refused = |drip: Drip| {
        load(Entities::new().json_stream(drip))
            .unwrap_err()
            .to_string()
    };
    let dead = Drip {
        fails_at: Some(500_000),
        ..Drip::new(text.as_str())
    };
    let error = refused(dead);
    assert!(
        error.contains("the line is dead") && error.contains("line "),
        "{error}"
    );
    let error = refused(Drip::new(&text[..text.len() - 3]));
    assert!(error.contains("ends too early"), "{error}");
    let error = refused(Drip::new(format!("{text}{}[]", " ".repeat(1 << 20))));
    assert!(error.contains("text after the end"), "{error}");
    let mut bytes = text.clone().into_bytes();
    bytes[700_000] = 0xFF;
    assert!(refused(Drip::new(bytes)).contains("UTF-8"));
    // A stream is read once.
    let once = Entities::new().json_stream(Drip::new(text.as_str()));
    let again = once.clone();
    load(once).unwrap();
    assert!(load(again).unwrap_err().to_string().contains("read before"));
    // A wrong file does not fill the memory with problems.
    let wrong = text.replace("\"attrs\"", "\"attr\"");
    let error = load(Entities::new().json_stream(Drip::new(wrong))).unwrap_err();
    assert_eq!(error.problems().len(), 100);
    let folder = Folder::new();
    let file = folder.file("wrong.json", "[{}]");
    let error = load(Entities::new().json_file(&file))
        .unwrap_err()
        .to_string();
    assert!(error.contains("wrong.json:1:2: "), "{error}");
}

#[test]
fn limits_hold_for_streams() {
    let text = many(10_000);
    let limit = |limits: Limits, text: &str| {
        let error = build(Entities::new().json_stream(Drip::new(text)), limits).unwrap_err();
        error.problems()[0].limit().map(|limit| limit.limit())
    };
    let limits = Limits::default();
    // The text may be longer than a text may be, since it is never in memory; an entity may not.
    let small = limits.with_input_bytes(1_000);
    assert!(build(Entities::new().json_stream(Drip::new(text.as_str())), small).is_ok());
    let long = text.replacen("日本", &"日".repeat(1 << 20), 1);
    assert_eq!(limit(small, &long), Some(Limit::InputBytes));
    assert_eq!(
        limit(limits.with_entities(9_999), &text),
        Some(Limit::Entities)
    );
    assert_eq!(limit(limits, &long), Some(Limit::AttributeBytes));
    let deep = text.replacen(
        "\"name\":",
        &format!("\"x\":{}{},\"name\":", "[".repeat(80), "]".repeat(80)),
        1,
    );
    assert_eq!(limit(limits, &deep), Some(Limit::AttributeDepth));
}

#[test]
fn entities_come_from_iterators() {
    let ids: Vec<String> = (0..5_000).map(|i| format!("u{i}")).collect();
    let groups: Vec<[EntityUidRef<'_>; 1]> =
        ["g0", "g1", "g2"].map(|id| [("Group", id).into()]).into();
    let entities: Entities = ids
        .iter()
        .enumerate()
        .map(|(i, id)| Entity::new(("User", id.as_str())).parents(&groups[i % 3]))
        .collect();
    let mut more = entities.clone();
    more.extend([
        Entity::new(("Group", "g0")),
        Entity::new(("User", "u1")).parents(&groups[1]),
    ]);
    assert_eq!(load(entities).unwrap().entity_count(), 5_000);
    let authorizer = load(more).unwrap();
    assert_eq!(authorizer.entity_count(), 5_001);
    let allowed = ids.iter().filter(|id| {
        authorizer.is_allowed(&Request::new(
            ("User", id.as_str()),
            ("Action", "a"),
            ("Doc", "d"),
        ))
    });
    assert_eq!(allowed.count(), 1_667);
    // The parents of actions are actions, as in Cedar's JSON.
    let stray = [Entity::new(("Action", "a")).parents(&groups[0])];
    let error = load(stray.into_iter().collect()).unwrap_err();
    assert_eq!(
        error.problems()[0].entity(),
        Some(&EntityUid::new("Action", "a"))
    );
    // What is given twice must be the same.
    let twice = [
        Entity::new(("User", "a")),
        Entity::new(("User", "a")).parents(&groups[0]),
    ];
    let error = load(twice.into_iter().collect()).unwrap_err();
    assert_eq!(
        error.problems()[0].entity(),
        Some(&EntityUid::new("User", "a"))
    );
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn worlds_are_the_same_from_streams_and_iterators(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        let json = entities_json(&world.entities);
        let parents: Vec<Vec<EntityUidRef<'_>>> =
            world.entities.iter().map(|entity| entity.parents.iter().map(uid_ref).collect()).collect();
        let typed: Entities = world
            .entities
            .iter()
            .zip(&parents)
            .map(|(entity, parents)| Entity::new(uid_ref(&entity.uid)).attrs(&entity.attrs).tags(&entity.tags).parents(parents))
            .collect();
        let text = world.builder().build();
        for (what, entities) in [("stream", Entities::new().json_stream(Drip::new(json))), ("iterator", typed)] {
            let built = world.builder().entities(entities).build();
            let (Ok(text), Ok(built)) = (&text, &built) else {
                let refused = text.is_err() && built.is_err();
                prop_assert!(refused, "{}", reproduction(&world, None, what));
                continue;
            };
            prop_assert_eq!(text.entity_count(), built.entity_count());
            for ask in &asks {
                ask.with_request(|request| {
                    let (expected, found) = (ours(&text.is_authorized(request)), ours(&built.is_authorized(request)));
                    prop_assert_eq!(found, expected, "{}", reproduction(&world, Some(ask), what));
                    Ok(())
                })?;
            }
        }
    }
}

/// What cannot be read hides nothing of what does not fit the schema. Of one entity that is refused no more is said.
#[test]
fn entities_that_cannot_be_read_hide_no_others() {
    let entity = |uid: &str, attrs: &str| {
        format!(
            r#"{{ "uid": {{ "type": "Doc", "id": "{uid}" }}, "attrs": {attrs}, "parents": [] }}"#
        )
    };
    // The first one names the last, which so gets a number before the one between them.
    let first = entity(
        "a",
        r#"{ "owner": { "type": "User", "id": "u" }, "next": { "type": "Doc", "id": "e" } }"#,
    );
    let others = [
        ("b", "{}"),
        ("c", r#"{ "nope": 1 }"#),
        ("d", r#"{ "nope": 1 }"#),
        ("e", "{}"),
    ];
    let others = others.map(|(uid, attrs)| entity(uid, attrs)).join(",\n");
    let text = format!("[{first},\n{others}]");
    let schema = "entity User; entity Doc { owner: User, next?: Doc }; action view appliesTo { principal: User, resource: Doc };";
    let authorizer = Authorizer::builder().schema_str(schema).build().unwrap();
    let expected = ["b", "c", "d", "e"];
    let error = authorizer.replace_entities(text.as_str()).unwrap_err();
    let told: Vec<&str> = error
        .problems()
        .iter()
        .map(|problem| problem.entity().unwrap().id())
        .collect();
    assert_eq!(told, expected, "{error}");
    let lines: Vec<u32> = error
        .problems()
        .iter()
        .map(|problem| problem.position().unwrap().0)
        .collect();
    assert_eq!(lines, [2, 3, 4, 5], "{error}");
    // An entity that could not be read is not blamed for what another change makes of it.
    let update = EntityUpdate::new()
        .upsert_json(text)
        .set_attr(("Doc", "c"), "owner", &1);
    let error = authorizer.update_entities(update).unwrap_err();
    let mut told: Vec<&str> = error
        .problems()
        .iter()
        .map(|problem| problem.entity().unwrap().id())
        .collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, expected, "{error}");
}

/// A wrong program has a problem with everything that it gives.
#[test]
fn no_more_than_a_hundred_problems_are_told() {
    let authorizer = Authorizer::builder()
        .schema_str("entity User { level: Long };")
        .build()
        .unwrap();
    let ids: Vec<String> = (0..300).map(|i| format!("u{i}")).collect();
    let json: Vec<String> = ids
        .iter()
        .map(|id| {
            format!(
                r#"{{ "uid": {{ "type": "User", "id": "{id}" }}, "attrs": {{}}, "parents": [] }}"#
            )
        })
        .collect();
    let update = |change: &dyn Fn(EntityUpdate, &str) -> EntityUpdate| {
        ids.iter()
            .fold(EntityUpdate::new(), |update, id| change(update, id))
    };
    let updates = [
        EntityUpdate::new().upsert_json(format!("[{}]", json.join(","))),
        update(&|update, id| update.upsert(Entity::new(("User", id)))),
        update(&|update, id| update.upsert(Entity::new(("User", id)).attrs(&1))),
        update(&|update, id| update.set_attr(("User", id), "level", &1)),
    ];
    for update in updates {
        let error = authorizer.update_entities(update).unwrap_err();
        assert_eq!(error.problems().len(), 100, "{error}");
    }
}
