//! Names of fields in the values that a record has.
//!
//! Cedar's JSON takes an object with the key `__entity` or `__extn` for an entity or an extension value. A record may have
//! such a key as well: in typed data a field called `__entity` is a field, whoever chose its name. Were it written as it is, a
//! record would say that there was an entity where there was none, and deciding again would come to something else. So a name
//! that is one of Cedar's, behind any number of further underscores, is written with one underscore more than it has, and
//! read with one less: no two records have the same text, and none that of an entity.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

/// Keys that make an escape of an object in Cedar's JSON.
pub(crate) const ESCAPES: [&str; 3] = ["__entity", "__extn", "__expr"];

/// Whether a name is written with one more underscore.
#[inline]
pub(super) fn is_longer(name: &str) -> bool {
    name.starts_with("__") && ends_as_escape(name)
}

/// Few names begin with two underscores.
#[cold]
fn ends_as_escape(name: &str) -> bool {
    let end = name.trim_start_matches('_');
    ESCAPES
        .iter()
        .any(|escape| escape.strip_prefix("__") == Some(end))
}

/// How the name of a field is written.
pub(crate) fn written_field(name: &str) -> Cow<'_, str> {
    match is_longer(name) {
        true => Cow::Owned(format!("_{name}")),
        false => Cow::Borrowed(name),
    }
}

/// The name that is written so; `None` for what is no name of a field, but begins an escape.
pub(crate) fn field_name(key: &str) -> Option<&str> {
    match is_longer(key) {
        true => key.strip_prefix('_').filter(|name| is_longer(name)),
        false => Some(key),
    }
}

/// The name of a field, as it is written.
pub(super) struct FieldName<'a>(pub(super) &'a str);

impl Serialize for FieldName<'_> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match is_longer(self.0) {
            true => serializer.collect_str(&format_args!("_{}", self.0)),
            false => serializer.serialize_str(self.0),
        }
    }
}

/// A record's value in Cedar's JSON; `None` if that has no form for it.
fn cedar_value(json: &Json) -> Option<Json> {
    Some(match json {
        Json::Array(items) => Json::Array(items.iter().map(cedar_value).collect::<Option<_>>()?),
        Json::Object(members) if is_escape(members) => json.clone(),
        Json::Object(members) => Json::Object(cedar_record(members)?),
        other => other.clone(),
    })
}

/// The fields of a record in Cedar's JSON; `None` if that would take it, or what is in it, for something else.
pub(crate) fn cedar_record(members: &Map<String, Json>) -> Option<Map<String, Json>> {
    let fields = cedar_fields(members)?;
    let is_taken = |name: &String| ESCAPES.contains(&&**name);
    (!fields.keys().any(is_taken)).then_some(fields)
}

/// The same of attributes or tags, whose own names make no escape.
pub(super) fn cedar_fields(members: &Map<String, Json>) -> Option<Map<String, Json>> {
    let members = members.iter();
    let fields =
        members.map(|(key, value)| Some((field_name(key)?.to_owned(), cedar_value(value)?)));
    fields.collect()
}

/// Whether an object of a record stands for an entity or an extension value.
pub(crate) fn is_escape(members: &Map<String, Json>) -> bool {
    members.len() == 1 && members.keys().any(|key| ESCAPES.contains(&&**key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_written_as_an_escape_and_no_two_alike() {
        let mut texts = std::collections::BTreeSet::new();
        for end in ["entity", "extn", "expr", "typename", ""] {
            for underscores in 0..6 {
                let name = format!("{}{end}", "_".repeat(underscores));
                let text = written_field(&name).into_owned();
                assert!(!ESCAPES.contains(&&*text), "{name}");
                assert_eq!(field_name(&text), Some(&*name));
                assert_eq!(serde_json::to_value(FieldName(&name)).unwrap(), text);
                // Others are written as they are.
                let is_other = underscores < 2 || matches!(end, "typename" | "");
                assert_eq!(text == name, is_other, "{name}");
                texts.insert(text);
            }
        }
        assert_eq!(texts.len(), 4 * 6 + 6);
        assert!(ESCAPES.iter().all(|escape| field_name(escape).is_none()));
    }
}
