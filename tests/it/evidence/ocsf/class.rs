//! The class API Activity (6003) of OCSF 1.8.0 as tables of attributes, and whether an event is one of it.

use std::collections::BTreeSet;

use serde_json::Value as Json;

/// The type of an attribute.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Integer,
    Boolean,
    Time,
    Enum(&'static [(u64, &'static str)]),
    Texts,
    Object(&'static Class),
    List(&'static Class),
    Any,
}

/// An event class or an object: attributes with their types, and of which one at least must be there.
struct Class {
    required: &'static [(&'static str, Type)],
    optional: &'static [(&'static str, Type)],
    at_least_one: &'static [&'static str],
}

const ACTIVITIES: &[(u64, &str)] = &[
    (0, "Unknown"),
    (1, "Create"),
    (2, "Read"),
    (3, "Update"),
    (4, "Delete"),
];
const DISPOSITIONS: &[(u64, &str)] = &[
    (1, "Allowed"),
    (2, "Blocked"),
    (26, "Unauthorized"),
    (27, "Error"),
];

static API_ACTIVITY: Class = Class {
    required: &[
        ("activity_id", Type::Integer),
        ("actor", Type::Object(&ACTOR)),
        ("api", Type::Object(&API)),
        ("category_uid", Type::Enum(&[(6, "Application Activity")])),
        ("class_uid", Type::Enum(&[(6003, "API Activity")])),
        ("metadata", Type::Object(&METADATA)),
        (
            "severity_id",
            Type::Enum(&[
                (0, "Unknown"),
                (1, "Informational"),
                (2, "Low"),
                (3, "Medium"),
                (4, "High"),
                (5, "Critical"),
                (6, "Fatal"),
            ]),
        ),
        ("src_endpoint", Type::Object(&ENDPOINT)),
        ("time", Type::Time),
        ("type_uid", Type::Integer),
    ],
    optional: &[
        ("action", Type::Text),
        (
            "action_id",
            Type::Enum(&[
                (0, "Unknown"),
                (1, "Allowed"),
                (2, "Denied"),
                (3, "Observed"),
                (4, "Modified"),
            ]),
        ),
        ("activity_name", Type::Text),
        ("category_name", Type::Text),
        ("class_name", Type::Text),
        ("disposition", Type::Text),
        ("disposition_id", Type::Enum(DISPOSITIONS)),
        ("message", Type::Text),
        ("resources", Type::List(&RESOURCE)),
        ("severity", Type::Text),
        ("status", Type::Text),
        ("status_code", Type::Text),
        ("status_detail", Type::Text),
        (
            "status_id",
            Type::Enum(&[(0, "Unknown"), (1, "Success"), (2, "Failure")]),
        ),
        ("trace", Type::Object(&TRACE)),
        ("unmapped", Type::Any),
    ],
    at_least_one: &[],
};
static ACTOR: Class = Class {
    required: &[],
    optional: &[
        ("authorizations", Type::List(&AUTHORIZATION)),
        ("user", Type::Object(&USER)),
    ],
    at_least_one: &[
        "process",
        "user",
        "invoked_by",
        "session",
        "app_name",
        "app_uid",
    ],
};
static USER: Class = Class {
    required: &[],
    optional: &[
        ("name", Type::Text),
        ("uid", Type::Text),
        ("type", Type::Text),
        ("type_id", Type::Integer),
    ],
    at_least_one: &["account", "name", "uid"],
};
static AUTHORIZATION: Class = Class {
    required: &[],
    optional: &[("decision", Type::Text), ("policy", Type::Object(&POLICY))],
    at_least_one: &[],
};
static POLICY: Class = Class {
    required: &[],
    optional: &[
        ("name", Type::Text),
        ("uid", Type::Text),
        ("type", Type::Text),
        ("version", Type::Text),
        ("is_applied", Type::Boolean),
    ],
    at_least_one: &["name", "type", "uid"],
};
static API: Class = Class {
    required: &[("operation", Type::Text)],
    optional: &[
        ("request", Type::Object(&REQUEST)),
        ("service", Type::Object(&SERVICE)),
    ],
    at_least_one: &[],
};
static REQUEST: Class = Class {
    required: &[("uid", Type::Text)],
    optional: &[],
    at_least_one: &[],
};
static SERVICE: Class = Class {
    required: &[],
    optional: &[("name", Type::Text), ("uid", Type::Text)],
    at_least_one: &["name", "uid"],
};
static METADATA: Class = Class {
    required: &[("product", Type::Object(&PRODUCT)), ("version", Type::Text)],
    optional: &[
        ("correlation_uid", Type::Text),
        ("profiles", Type::Texts),
        ("sequence", Type::Integer),
        ("uid", Type::Text),
    ],
    at_least_one: &[],
};
static PRODUCT: Class = Class {
    required: &[],
    optional: &[("name", Type::Text), ("version", Type::Text)],
    at_least_one: &["name", "uid"],
};
static ENDPOINT: Class = Class {
    required: &[],
    optional: &[("svc_name", Type::Text)],
    at_least_one: &["ip", "uid", "name", "hostname", "svc_name", "instance_uid"],
};
static RESOURCE: Class = Class {
    required: &[],
    optional: &[
        ("name", Type::Text),
        ("uid", Type::Text),
        ("type", Type::Text),
    ],
    at_least_one: &["name", "uid"],
};
/// A span would need its own times.
static TRACE: Class = Class {
    required: &[("uid", Type::Text)],
    optional: &[],
    at_least_one: &[],
};

fn check(class: &Class, value: &Json, path: &str) -> Result<(), String> {
    let object = value.as_object().ok_or(format!("{path}: no object"))?;
    for (name, _) in class.required {
        if !object.contains_key(*name) {
            return Err(format!("{path}: {name} is missing"));
        }
    }
    let one = class.at_least_one;
    if !one.is_empty() && !one.iter().any(|name| object.contains_key(*name)) {
        return Err(format!("{path}: none of {one:?}"));
    }
    for (name, value) in object {
        let path = format!("{path}.{name}");
        let mut known = class.required.iter().chain(class.optional);
        let Some((_, kind)) = known.find(|(known, _)| known == name) else {
            return Err(format!("{path} is not known"));
        };
        let is = match kind {
            Type::Any => value.is_object(),
            Type::Text => value.is_string(),
            Type::Integer => value.is_u64(),
            Type::Boolean => value.is_boolean(),
            // Seconds would be of 1970, nanoseconds of a far future.
            Type::Time => value
                .as_i64()
                .is_some_and(|ms| (1_600_000_000_000..4_000_000_000_000).contains(&ms)),
            Type::Texts => value
                .as_array()
                .is_some_and(|items| items.iter().all(Json::is_string)),
            Type::Enum(values) => {
                let caption = name.strip_suffix("_id").or(name.strip_suffix("_uid"));
                let caption = caption.unwrap_or(name);
                let caption = object
                    .get(caption)
                    .or(object.get(&format!("{caption}_name")));
                values.iter().any(|(id, says)| {
                    value.as_u64() == Some(*id) && caption.is_none_or(|caption| caption == says)
                })
            }
            Type::Object(class) => {
                check(class, value, &path)?;
                true
            }
            Type::List(class) => {
                for item in value.as_array().into_iter().flatten() {
                    check(class, item, &path)?;
                }
                value.is_array()
            }
        };
        if !is {
            return Err(format!("{path}: {value}"));
        }
    }
    Ok(())
}

/// Whether it is an event of the class: by the tables, and by what they cannot say, members that depend on others.
pub(super) fn check_event(event: &Json) -> Result<(), String> {
    check(&API_ACTIVITY, event, "event")?;
    let activity = event["activity_id"].as_u64().unwrap_or(u64::MAX);
    let known = ACTIVITIES.iter().find(|(id, _)| *id == activity);
    let named = match known {
        Some((_, name)) => event["activity_name"] == *name,
        None => activity == 99,
    };
    if !named || event["type_uid"] != 600_300 + activity {
        return Err(format!("activity {activity}: {event}"));
    }
    let profiles: BTreeSet<_> = event["metadata"]["profiles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let has_trace = event.get("trace").is_some();
    if !profiles.contains("security_control") || profiles.contains("trace") != has_trace {
        return Err(format!("profiles: {profiles:?}"));
    }
    if event["metadata"]["version"] != "1.8.0" {
        return Err("version".into());
    }
    Ok(())
}
