//! The schema of these tests, twice: for Cedar and as our types.

use std::sync::LazyLock;

use cedar_policy::Schema;

use crate::schema::{Attribute, EntityTypeDecl, ExtensionType, RecordType, SchemaModel, Type};

/// The attributes of users, and the context of `view`.
const PROFILE_TEXT: &str = r#"{
    name: String,
    age?: Long,
    flag?: Bool,
    ip?: ipaddr,
    score?: decimal,
    since?: datetime,
    ttl?: duration,
    manager?: User,
    roles?: Set<String>,
    ips?: Set<ipaddr>,
    friends?: Set<N::Friend>,
    nested?: { since: datetime, friend?: User, "odd key"?: Set<Set<duration>> },
    "__entity"?: String,
}"#;

pub(super) static CEDAR: LazyLock<Schema> = LazyLock::new(|| {
    let text = format!(
        "entity Group;
        entity Plain in [Group];
        entity User in [Group, User] = {PROFILE_TEXT} tags Set<decimal>;
        namespace N {{ entity Friend; }}
        action view appliesTo {{ principal: User, resource: Group, context: {PROFILE_TEXT} }};"
    );
    Schema::from_cedarschema_str(&text).unwrap().0
});

pub(super) static PROFILE: LazyLock<RecordType> = LazyLock::new(|| {
    record(&[
        ("name", true, Type::String),
        ("age", false, Type::Long),
        ("flag", false, Type::Bool),
        ("ip", false, Type::Extension(ExtensionType::Ip)),
        ("score", false, Type::Extension(ExtensionType::Decimal)),
        ("since", false, Type::Extension(ExtensionType::Datetime)),
        ("ttl", false, Type::Extension(ExtensionType::Duration)),
        ("manager", false, Type::Entity("User".into())),
        ("roles", false, set(Type::String)),
        ("ips", false, set(Type::Extension(ExtensionType::Ip))),
        ("friends", false, set(Type::Entity("N::Friend".into()))),
        (
            "nested",
            false,
            Type::Record(record(&[
                ("since", true, Type::Extension(ExtensionType::Datetime)),
                ("friend", false, Type::Entity("User".into())),
                (
                    "odd key",
                    false,
                    set(set(Type::Extension(ExtensionType::Duration))),
                ),
            ])),
        ),
        ("__entity", false, Type::String),
    ])
});

/// What reading entities needs to know of the schema.
pub(super) static MODEL: LazyLock<SchemaModel> = LazyLock::new(|| {
    let user = EntityTypeDecl {
        attributes: PROFILE.clone(),
        tags: Some(set(Type::Extension(ExtensionType::Decimal))),
        ..plain("User")
    };
    let types = vec![user, plain("Group"), plain("Plain"), plain("N::Friend")];
    SchemaModel::new(types, vec![])
});

fn plain(name: &str) -> EntityTypeDecl {
    EntityTypeDecl {
        name: name.into(),
        attributes: RecordType::default(),
        tags: None,
        ancestors: Box::default(),
        enumerated: None,
        external: false,
    }
}

fn set(element: Type) -> Type {
    Type::Set(Box::new(element))
}

fn record(attributes: &[(&str, bool, Type)]) -> RecordType {
    RecordType::new(
        attributes
            .iter()
            .map(|(name, required, ty)| Attribute {
                name: (*name).into(),
                ty: ty.clone(),
                required: *required,
            })
            .collect(),
    )
}
