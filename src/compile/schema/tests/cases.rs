//! Schemas to compare on, by what is special about them.

/// The text of a case of [`CEDAR`].
pub(super) fn case(name: &str) -> &'static str {
    let found = CEDAR.iter().find(|(n, _)| *n == name);
    found.map(|(_, text)| *text).unwrap()
}

/// Its expansion would refer to the empty namespace's `Action` from inside a namespace with its own, which
/// no schema can write without the common type.
pub(super) const NOT_EXPRESSIBLE_EXPANDED: &str =
    "another namespace's Action through a common type";

/// In Cedar syntax.
pub(super) const CEDAR: &[(&str, &str)] = &[
    ("empty", ""),
    (
        "plain",
        r#"
        entity User in [Group] { name: String, age: Long, active: Bool };
        entity Group in [Group];
        entity Photo { owner: User, private?: Bool };
        action view, "edit it" appliesTo {
            principal: User, resource: [Photo, Group], context: { mfa: Bool, "source ip"?: ipaddr }
        };
        "#,
    ),
    (
        "every type",
        r#"
        entity E { e: E };
        action a appliesTo { principal: E, resource: E, context: {
            b: Bool, l: Long, s: String, e: E, d: decimal, i: ipaddr, t: datetime, u: duration,
            sb: Set<Bool>, ss: Set<Set<String>>, se: Set<E>, sr: Set<{ x: Long, y?: E }>, sd: Set<decimal>,
            r: { r: { r: { x: Bool } } }, empty: {},
        } };
        "#,
    ),
    (
        "optional everything",
        r#"
        entity E { a?: { b?: { c?: Long, d: String }, s?: Set<{ x?: E }> } } tags { k?: Long, l: Set<E> };
        action a appliesTo { principal: E, resource: E, context: { a?: { b?: { c?: Long } }, e?: E } };
        "#,
    ),
    (
        "odd names",
        r#"
        entity E {
            "": Long, "a b": Long, "é": Long, type: Long, name: Long, element: Long, required: Long,
            attributes: { attributes: Long }, annotations: Bool, "__entity"?: Long, "__cedar"?: Long,
            "if"?: Bool, additionalAttributes?: String, "\n\"\\"?: Set<String>
        };
        entity type, name in [type];
        action "", "a b", "é\n\"" in ["group of \"actions\""] appliesTo {
            principal: E, resource: type, context: { type: { type: Long }, name?: name }
        };
        action "group of \"actions\"";
        "#,
    ),
    (
        "namespaces",
        r#"
        entity Root { inner: NS::Inner };
        type Shared = { root: Root };
        namespace NS {
            entity Inner in [Root, Deep::Er::Most] { root: Root, most?: Deep::Er::Most, shared: Shared };
            entity Sibling { inner: Inner, also: NS::Inner };
            action look appliesTo { principal: [Inner, Root], resource: Deep::Er::Most, context: Shared };
            entity Kind enum ["k"];
            type Context = { kind: Kind, nested?: Shared };
        }
        namespace Deep::Er {
            entity Most { back?: NS::Sibling, of: Of };
            type Of = Set<NS::Kind>;
            action look appliesTo { principal: NS::Inner, resource: [Most, Root], context: NS::Context };
        }
        "#,
    ),
    (
        "common types",
        r#"
        type A = { b: B, bs: Set<B>, c?: NS::C };
        type B = { n: N };
        type N = Long;
        entity E { a: A, as: Set<A>, n: N } tags B;
        namespace NS {
            type C = { a: N, e: E, l: Local };
            type Local = Set<Alias>;
            type Alias = ipaddr;
            entity F { c: C, n: N };
            action a, b appliesTo { principal: F, resource: E, context: C };
        }
        "#,
    ),
    (
        "shadowed built-ins",
        r#"
        entity String;
        type decimal = Long;
        entity Plain { text: String, builtin: __cedar::String, money: decimal, real: __cedar::decimal };
        namespace NS {
            entity Long;
            type ipaddr = Set<Bool>;
            entity Inner { number: Long, text: String, address: ipaddr, real: __cedar::ipaddr,
                           long: __cedar::Long, time: datetime };
            action a appliesTo { principal: Inner, resource: [Long, String],
                                 context: { l: Long, s?: String, i: ipaddr } };
        }
        "#,
    ),
    (
        "one name, two types",
        r#"
        namespace NS {
            entity Thing;
            type Thing = Long;
            entity User in [Thing] { thing: Thing };
            action a appliesTo { principal: User, resource: Thing, context: { t: Thing } };
        }
        namespace Other { entity User { thing: NS::Thing }; }
        "#,
    ),
    (
        "enumerated",
        r#"
        entity Color enum ["red", "blue", "", "é", "red"];
        entity Level enum ["1"];
        entity User in [Color, Group] { favourite: Color, levels: Set<Level>, r: { c?: Color } } tags Color;
        entity Group in [Color];
        action paint appliesTo { principal: [User, Color], resource: [Color, Level],
            context: { c: Color, cs: Set<Color>, deep?: { l: Set<{ l: Level }> } } };
        "#,
    ),
    (
        "tags",
        r#"
        entity A tags String;
        entity B { x: Long } tags Set<{ a: A, b?: B }>;
        entity C tags ipaddr;
        entity D tags {};
        action a appliesTo { principal: A, resource: [B, C, D] };
        "#,
    ),
    (
        "action groups",
        r#"
        action everything;
        entity User;
        namespace Base {
            action all in [everything];
            action read, write in [all];
        }
        namespace Shop {
            action buy in [any, Base::Action::"write"] appliesTo { principal: User, resource: User };
            action "look at" in [Base::Action::"read", Base::Action::"all"]
                appliesTo { principal: User, resource: User };
            action any in [Action::"everything"];
        }
        "#,
    ),
    (
        "no appliesTo",
        r#"
        entity User;
        action nothing;
        action child in [nothing] appliesTo { principal: User, resource: User };
        "#,
    ),
    (
        "actions as values",
        r#"
        entity User { last?: Action, allowed: Set<Action>, foreign?: NS::Action } tags Action;
        action view, edit appliesTo { principal: User, resource: User,
            context: { a: Action, as?: Set<{ a: Action }>, n?: NS::Action } };
        namespace NS {
            entity Local { a: Action };
            action look appliesTo { principal: Local, resource: User, context: { a: Action } };
        }
        "#,
    ),
    (
        "actions of the empty namespace seen from one without",
        r#"
        action view;
        namespace NS { entity E { a: Action }; }
        "#,
    ),
    (
        NOT_EXPRESSIBLE_EXPANDED,
        r#"
        type Outer = Action;
        action view;
        namespace NS {
            entity E { outer: Outer, own: Action };
            action look appliesTo { principal: E, resource: E, context: { outer: Outer, own: Action } };
        }
        "#,
    ),
    (
        "type cycles",
        r#"
        entity A in [B] { b: B };
        entity B in [C] { c: C };
        entity C in [A] { a: A };
        entity Self in [Self];
        entity Above;
        entity Below in [Above, Self];
        "#,
    ),
    (
        "external",
        r#"
        external entity Far in [Farther];
        external entity Farther;
        entity Near in [Far] { far: Far, fars: Set<Far> } tags Farther;
        external action far in [farther];
        external action farther;
        action near in [far] appliesTo { principal: [Near, Far], resource: Farther, context: { f: Far, a?: Action } };
        "#,
    ),
    (
        "a common type called like a keyword of the JSON syntax",
        r#"
        type EntityOrCommon = { x: Long };
        entity E { e: EntityOrCommon };
        action a appliesTo { principal: E, resource: E, context: EntityOrCommon };
        "#,
    ),
    (
        "many",
        r#"
        entity A0, A1, A2, A3, A4, A5, A6, A7, A8, A9 in [B] {
            k0: Long, k1: Long, k2?: Long, k3: Long, k4: Long, k5: Long, k6: Long, k7: Long, k8: Long, k9: Long,
            ka: Bool, kb: Bool, kc: Bool, kd: Bool, ke?: Bool, kf: Bool
        };
        entity B;
        action a0, a1, a2, a3, a4 appliesTo { principal: [A0, A1, A2, A3, A4, A5, A6, A7, A8, A9], resource: B };
        "#,
    ),
];

/// In JSON syntax: what Cedar syntax cannot say, or says otherwise.
pub(super) const JSON: &[(&str, &str)] = &[
    (
        "JSON: every kind of reference",
        r#"{
            "": {
                "commonTypes": {
                    "User": {"type": "Record", "attributes": {"l": {"type": "Long"}}},
                    "ip": {"type": "Extension", "name": "ipaddr"}
                },
                "entityTypes": {
                    "User": {"shape": {"type": "User"}, "annotations": {"doc": "a"}},
                    "Doc": {
                        "memberOfTypes": ["User", "NS::Folder"],
                        "shape": {"type": "Record", "additionalAttributes": false, "attributes": {
                            "entity": {"type": "Entity", "name": "User"},
                            "common": {"type": "User", "required": false},
                            "either": {"type": "EntityOrCommon", "name": "User", "required": true},
                            "folder": {"type": "EntityOrCommon", "name": "NS::Folder"},
                            "ips": {"type": "Set", "element": {"type": "ip"}},
                            "builtin": {"type": "__cedar::String"},
                            "bool": {"type": "EntityOrCommon", "name": "Bool"},
                            "boolean": {"type": "Boolean", "annotations": {"doc": "b"}}
                        }},
                        "tags": {"type": "Set", "element": {"type": "EntityOrCommon", "name": "decimal"}}
                    }
                },
                "actions": {
                    "view": {"appliesTo": {"principalTypes": ["User"], "resourceTypes": ["Doc"],
                                           "context": {"type": "User"}}},
                    "none": {},
                    "null": {"appliesTo": null, "memberOf": null}
                }
            },
            "NS": {
                "entityTypes": {"Folder": {"enum": ["a", "b", "a"]}},
                "actions": {
                    "open": {"memberOf": [{"id": "view"}, {"id": "none", "type": "Action"}],
                             "appliesTo": {"principalTypes": ["User"], "resourceTypes": ["Folder", "Doc"]}},
                    "shut": {"memberOf": [{"id": "open", "type": "NS::Action"}, {"id": "open"}]}
                }
            }
        }"#,
    ),
    (
        "JSON: types named like built-in kinds",
        r#"{
            "": {
                "entityTypes": {
                    "Long": {}, "Set": {}, "Record": {}, "Entity": {}, "Boolean": {}, "Bool": {},
                    "E": {"shape": {"type": "Record", "attributes": {
                        "builtin": {"type": "Long"},
                        "entity": {"type": "EntityOrCommon", "name": "Long"},
                        "set": {"type": "Entity", "name": "Set"},
                        "record": {"type": "EntityOrCommon", "name": "Record"},
                        "boolean": {"type": "Boolean"},
                        "bool": {"type": "EntityOrCommon", "name": "Bool"},
                        "real": {"type": "EntityOrCommon", "name": "__cedar::Bool"}
                    }}}
                },
                "actions": {"a": {"appliesTo": {"principalTypes": ["Long", "Set"], "resourceTypes": ["Entity"]}}}
            }
        }"#,
    ),
    (
        "JSON: external",
        r#"{
            "NS": {
                "entityTypes": {"Far": {"external": true, "memberOfTypes": ["Near"]},
                                "Near": {"external": false}},
                "actions": {"far": {"external": true}, "near": {"external": false, "memberOf": [{"id": "far"}]}}
            }
        }"#,
    ),
];

/// Of several fragments.
pub(super) const SEVERAL: &[(&str, &[&str])] = &[
    (
        "fragments that need each other",
        &[
            "namespace A { entity E in [B::F] { t: T, f: B::F }; }",
            "namespace A { type T = Set<B::U>; action a in [B::Action::\"b\"]; }",
            r#"namespace B {
                 entity F enum ["x"];
                 type U = { e?: A::E, text: Text };
                 action b appliesTo { principal: A::E, resource: F, context: U };
               }"#,
            "type Text = String;",
        ],
    ),
    ("no fragments", &[]),
];

/// In Cedar syntax, refused by Cedar.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("syntax", "entity"),
    ("undeclared type", "entity A { x: Nope };"),
    (
        "undeclared type in a namespace",
        "namespace N { entity A { x: M::A }; }",
    ),
    ("undeclared parent", "entity A in [Nope];"),
    ("undeclared group", "action a in [b];"),
    ("common type as a parent", "type T = Long; entity A in [T];"),
    (
        "entity as a context",
        "entity A; action a appliesTo { principal: A, resource: A, context: A };",
    ),
    (
        "long as a context",
        "entity A; action a appliesTo { principal: A, resource: A, context: Long };",
    ),
    (
        "cycle of common types",
        "type A = Set<B>; type B = { a: A }; entity E { a: A };",
    ),
    ("common type of itself", "type A = A;"),
    ("cycle of actions", "action a in [b]; action b in [a];"),
    ("duplicate", "entity A; entity A;"),
    ("empty enumeration", "entity A enum [];"),
    (
        "namespace twice",
        "namespace N {} namespace N { entity A; }",
    ),
    ("declared action type", "entity Action;"),
    ("shadowed entity", "entity A; namespace N { entity A; }"),
    ("shadowed action", "action a; namespace N { action a; }"),
    ("reserved common type", "type Long = String;"),
    ("reserved namespace", "namespace __cedar { entity A; }"),
    (
        "enumerated below another",
        "entity A enum [\"x\"] in [B]; entity B;",
    ),
    (
        "external below enumerated",
        "external entity A in [B]; entity B enum [\"x\"];",
    ),
    ("Action without actions", "entity A { a: Action };"),
];
