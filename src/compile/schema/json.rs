//! The JSON form of a schema fragment, as `SchemaFragment::to_json_value` writes it.
//!
//! Only what Cedar has accepted and written itself is read, so nothing is checked twice. Fields that are
//! not known are refused all the same: a field that a later Cedar adds may change what a schema means.

use std::collections::BTreeMap;

use cedar_policy::SchemaFragment;
use cedar_policy::ffi::DetailedError;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::SchemaError;

/// Namespaces by name; the empty namespace has the empty name.
#[derive(Debug, Deserialize)]
pub(super) struct Fragment(BTreeMap<String, Namespace>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Namespace {
    #[serde(default)]
    pub(super) common_types: BTreeMap<String, RawType>,
    pub(super) entity_types: BTreeMap<String, RawEntityType>,
    pub(super) actions: BTreeMap<String, RawAction>,
    #[serde(default, rename = "annotations")]
    _annotations: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawEntityType {
    #[serde(default)]
    pub(super) member_of_types: Vec<String>,
    #[serde(default)]
    pub(super) shape: Option<RawType>,
    #[serde(default)]
    pub(super) tags: Option<RawType>,
    #[serde(default, rename = "enum")]
    pub(super) choices: Option<Vec<String>>,
    #[serde(default)]
    pub(super) external: bool,
    #[serde(default)]
    pub(super) annotations: Annotations,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawAction {
    #[serde(default)]
    pub(super) applies_to: Option<RawAppliesTo>,
    #[serde(default)]
    pub(super) member_of: Option<Vec<RawActionUid>>,
    #[serde(default)]
    pub(super) external: bool,
    #[serde(default, rename = "annotations")]
    _annotations: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawAppliesTo {
    /// Read from the finished schema instead, where they are resolved, like [`Self::_resource_types`].
    #[serde(default, rename = "principalTypes")]
    _principal_types: IgnoredAny,
    #[serde(default, rename = "resourceTypes")]
    _resource_types: IgnoredAny,
    #[serde(default)]
    pub(super) context: Option<RawType>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawActionUid {
    pub(super) id: String,
    #[serde(default, rename = "type")]
    pub(super) type_name: Option<String>,
}

/// A type, or an attribute's type with its `required`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawType {
    /// `Long`, `Set`, … or the name of a common type.
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) element: Option<Box<RawType>>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, RawType>,
    #[serde(default)]
    pub(super) additional_attributes: bool,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default = "required_by_default")]
    pub(super) required: bool,
    #[serde(default)]
    pub(super) annotations: Annotations,
}

/// Annotations by name; one without a value is null or empty.
pub(super) type Annotations = BTreeMap<String, Option<String>>;

fn required_by_default() -> bool {
    true
}

impl Fragment {
    pub(super) fn read(fragment: SchemaFragment) -> Result<Self, SchemaError> {
        let value = fragment
            .to_json_value()
            .map_err(|error| SchemaError::from_cedar(&DetailedError::from(&error)))?;
        serde_json::from_value(value).map_err(|error| {
            SchemaError::new(format!(
                "the schema has a part that is not supported: {error}"
            ))
        })
    }

    pub(super) fn namespaces(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        self.0.iter().map(|(name, body)| (name.as_str(), body))
    }
}
