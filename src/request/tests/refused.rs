//! What no value can be made of, and where the error says that it is.

use std::cell::RefCell;

use serde::Serializer;

use super::*;
use crate::value::arena::Intern;

#[test]
fn errors_name_the_path() {
    #[derive(Serialize)]
    struct Bytes(#[serde(serialize_with = "bytes")] ());
    fn bytes<S: Serializer>(_: &(), serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(b"x")
    }
    let float = Device {
        score: Some(0.5),
        ..device()
    };
    let null = Device {
        rest: BTreeMap::from([("n".to_owned(), json!({"a": [1, null]}))]),
        ..device()
    };
    let twice = Device {
        rest: BTreeMap::from([("id".to_owned(), json!(1))]),
        ..device()
    };
    let table = [
        (
            error(&json_map("device", float)),
            "device.score: Cedar has no floats",
        ),
        (
            error(&json_map("device", null)),
            "device.n.a[1]: Cedar has no null",
        ),
        (
            error(&json_map("device", twice)),
            "device.id: a key occurs twice",
        ),
        (error(&json_map("a", u64::MAX)), "a: the integer"),
        (error(&json_map("a", i128::MIN)), "a: the integer"),
        (error(&json_map("a b", u128::MAX)), "[\"a b\"]: the integer"),
        (error(&json_map("a", [Some(1), None])), "a[1]: `None`"),
        (error(&json_map("a", (1, None::<i32>))), "a[1]: `None`"),
        (error(&json_map("a", ())), "a: Cedar has no null"),
        (error(&json_map("a", Unit)), "a: Cedar has no null"),
        (error(&json_map("a", Bytes(()))), "a: Cedar has no bytes"),
        (error(&json_map("a", 0.0f32)), "a: Cedar has no floats"),
        (
            error(&json_map("a", BTreeMap::from([(1, 2)]))),
            "a: the keys",
        ),
        (
            error(&json_map("a", BTreeMap::from([(Some("x"), 2)]))),
            "a: the keys",
        ),
        (
            error(&json_map("a", Choice::Maybe(None))),
            "a.maybe: `None`",
        ),
        (
            error(&json_map(
                "a",
                Newtype(vec![Choice::Two(1, 2), Choice::Maybe(None)]),
            )),
            "a[1].maybe: `None`",
        ),
        (error(&None::<i32>), "`None`"),
        (error(&json_map("lock", Poisoned)), "lock: not today"),
    ];
    for (error, start) in table {
        assert!(error.starts_with(start), "{error} / {start}");
    }
}

#[test]
fn duplicate_keys() {
    for (many, by_entry) in [(2, true), (2, false), (100, true), (100, false)] {
        let mut entries: Vec<_> = (0..many).map(|i| (format!("k{i}"), json!(i))).collect();
        text(&Entries(entries.clone(), by_entry));
        entries.push(("k1".to_owned(), json!(0)));
        let entries = Entries(entries, by_entry);
        assert!(error(&entries).contains("a key occurs twice"));
        // The same where nothing looks.
        let (arena, unobserved) = (Bump::new(), |_: &str| None);
        let context = BTreeMap::from([("a", &entries)]);
        let result = write_record(
            &arena,
            &context,
            &mut Names::default(),
            DEPTH,
            Some(&unobserved),
        );
        assert_eq!(result.unwrap_err().kind, SerializeErrorKind::DuplicateKey);
        let result = write_record(
            &arena,
            &entries,
            &mut Names::default(),
            DEPTH,
            Some(&unobserved),
        );
        assert_eq!(result.unwrap_err().kind, SerializeErrorKind::DuplicateKey);
    }
}

/// A map with the keys that it is given, also twice.
struct Entries(Vec<(String, Data)>, bool);

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.0 {
            if self.1 {
                map.serialize_entry(key, value)?;
            } else {
                map.serialize_key(key)?;
                map.serialize_value(value)?;
            }
        }
        map.end()
    }
}

#[test]
fn only_records_are_contexts() {
    let arena = Bump::new();
    let mut names = Names::default();
    let mut kind = |data: Data| {
        let result = write_record(&arena, &data, &mut names, DEPTH, None);
        result.map(|_| ()).map_err(|error| error.kind)
    };
    assert_eq!(kind(json!({})), Ok(()));
    assert_eq!(kind(json!([])), Err(SerializeErrorKind::NotARecord));
    assert_eq!(kind(json!(1)), Err(SerializeErrorKind::NotARecord));
    assert_eq!(kind(json!(null)), Err(SerializeErrorKind::Null));
    let none = write_record(&arena, &None::<Device>, &mut names, DEPTH, None);
    assert_eq!(none.unwrap_err().kind, SerializeErrorKind::NotARecord);
    let uid = EntityUid::new("User", "alice");
    let entity = write_record(&arena, &uid, &mut names, DEPTH, None);
    assert_eq!(entity.unwrap_err().kind, SerializeErrorKind::NotARecord);
    assert!(write_record(&arena, &Some(Newtype(device())), &mut names, DEPTH, None).is_ok());
}

#[test]
fn nesting_is_bounded() {
    #[derive(Serialize)]
    struct List(Option<Box<List>>);
    #[derive(Serialize)]
    struct Named {
        inner: Option<Box<Named>>,
    }
    let list = (0..1000).fold(List(None), |list, _| List(Some(Box::new(list))));
    let named = (0..1000).fold(Named { inner: None }, |named, _| Named {
        inner: Some(Box::new(named)),
    });
    let array = (0..1000).fold(json!([]), |array, _| json!([array]));
    for depth in [10, usize::MAX] {
        let (arena, mut names) = (Bump::new(), Names::default());
        let list = write_value(&arena, &list, &mut names, depth);
        assert_eq!(list.unwrap_err().kind, SerializeErrorKind::TooDeep);
        let named = write_value(&arena, &named, &mut names, depth);
        assert_eq!(named.unwrap_err().kind, SerializeErrorKind::TooDeep);
        let array = write_value(&arena, &array, &mut names, depth);
        assert_eq!(array.unwrap_err().kind, SerializeErrorKind::TooDeep);
    }
    assert!(write_value(&Bump::new(), &[[1]], &mut Names::default(), 2).is_ok());
    assert!(write_value(&Bump::new(), &[[1]], &mut Names::default(), 1).is_err());
}

struct Poisoned;

impl Serialize for Poisoned {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[test]
fn unobserved_fields_are_checked_only() {
    let (arena, mut names) = (Bump::new(), Names::default());
    let asked = RefCell::new(Vec::new());
    let id = names.sym("id").unwrap();
    let observed = |name: &str| {
        asked.borrow_mut().push(name.to_owned());
        (name == "id").then_some(id)
    };
    let context = Newtype(device());
    let record = write_record(&arena, &context, &mut names, DEPTH, Some(&observed)).unwrap();
    assert_eq!(expression(record.into(), &names), r#"{"id": "d"}"#);
    assert_eq!(names.syms(), ["id"]);
    assert_eq!(asked.take(), ["id", "score", "port", "owner", "x"]);

    // Below the top, fields of the same names are kept.
    let nested = json!({"id": {"x": 1}, "x": {"id": 1}});
    let record = write_record(&arena, &nested, &mut names, DEPTH, Some(&observed)).unwrap();
    assert_eq!(expression(record.into(), &names), r#"{"id": {"x": 1}}"#);

    for data in [
        json!({"y": 0.5}),
        json!({"y": {"z": [null]}}),
        json!({"y": [{"z": 1.5}]}),
    ] {
        let unobserved = write_record(&arena, &data, &mut names, DEPTH, Some(&observed));
        let all = write_record(&arena, &data, &mut names, DEPTH, None);
        assert_eq!(unobserved.unwrap_err(), all.unwrap_err());
    }
    let context = BTreeMap::from([("y", Ip::new("bad"))]);
    assert!(write_record(&arena, &context, &mut names, DEPTH, Some(&observed)).is_err());
    let context = BTreeMap::from([("y", EntityRef::new("", ""))]);
    assert!(write_record(&arena, &context, &mut names, DEPTH, Some(&observed)).is_err());

    let record = write_record(&arena, &Choice::One(1), &mut names, DEPTH, Some(&observed));
    assert_eq!(record.unwrap().len(), 0);
}
