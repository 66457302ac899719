//! Extension calls with the wrong number of arguments.
//!
//! Cedar's parser accepts `ip("a", "b")` and fails it when it is reached; the syntax tree that we lower from
//! refuses to hold it. So that there is one way to lower, such a call is replaced in the policy's JSON form by
//! a record with one marked key, which the syntax tree does hold, and is recognised again when lowered.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::pst;
use serde_json::Value as Json;

use crate::value::ops::Extension;

/// What the marked key begins with. The NUL keeps it out of what people write; a policy that has such a key
/// all the same is refused by [`contains_mark`].
const MARK: &str = "\0duramen call ";

/// Rewrites every call of the wrong arity below `json`, a policy in Cedar's JSON form.
pub(super) fn mark_wrong_arity(json: &mut Json) {
    match json {
        Json::Object(object) => {
            let alone = object.len() == 1;
            match object.iter_mut().next() {
                // What is in a literal is data, whatever its names are.
                Some((key, _)) if alone && key == "Value" => return,
                // And names of fields are no operators.
                Some((key, Json::Object(fields))) if alone && key == "Record" => {
                    return fields.values_mut().for_each(mark_wrong_arity);
                }
                _ => {}
            }
            object.values_mut().for_each(mark_wrong_arity);
            let call = match object.iter().next() {
                Some((name, Json::Array(args))) if object.len() == 1 => {
                    Extension::from_name(name).filter(|function| function.arity() != args.len())
                }
                _ => None,
            };
            if let Some(function) = call
                && let Some(args) = object.remove(function.name())
            {
                let key = format!("{MARK}{}", function.name());
                *json = serde_json::json!({ "Record": { key: { "Set": args } } });
            }
        }
        Json::Array(items) => items.iter_mut().for_each(mark_wrong_arity),
        _ => {}
    }
}

/// Whether a policy's JSON form has a key that reads like our mark.
pub(super) fn contains_mark(json: &Json) -> bool {
    match json {
        Json::Object(object) => object
            .iter()
            .any(|(key, value)| key.starts_with(MARK) || contains_mark(value)),
        Json::Array(items) => items.iter().any(contains_mark),
        _ => false,
    }
}

/// The call that a record stands for, if it is a marked one.
pub(super) fn marked_call(
    fields: &BTreeMap<String, Arc<pst::Expr>>,
) -> Option<(Extension, &[Arc<pst::Expr>])> {
    let (key, value) = fields.iter().next().filter(|_| fields.len() == 1)?;
    let function = Extension::from_name(key.strip_prefix(MARK)?)?;
    match &**value {
        pst::Expr::Set(args) if args.len() != function.arity() => Some((function, args)),
        _ => None,
    }
}
