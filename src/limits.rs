//! Limits: the sizes beyond which input is refused, each refusal naming the limit it hit.
//!
//! Limits are on by default and there is no way to switch them all off: Cedar's parser, its tree
//! conversions and its drops recurse without looking at the stack, so text that is nested deeply
//! enough ends the process (Rust cannot catch a stack overflow). The rest keeps one hostile input
//! from taking all memory.

use std::fmt;

/// Declares the limits once: field, default, getter, setter and the [`Limit`] that names it.
macro_rules! limits {
    ($($(#[$doc:meta])* $variant:ident, $name:ident, $setter:ident = $default:expr;)*) => {
        /// How large input may be before it is refused.
        ///
        /// ```
        /// # use duramen::Limits;
        /// let limits = Limits::default().with_nesting(50);
        /// assert_eq!(limits.nesting(), 50);
        /// ```
        ///
        /// Each limit is the largest value that is still accepted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits {
            $($name: usize,)*
        }

        impl Limits {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nChange it with [`", stringify!($setter), "`](Self::", stringify!($setter), ").")]
                #[must_use]
                pub const fn $name(&self) -> usize {
                    self.$name
                }

                #[doc = concat!("Sets the limit that [`", stringify!($name), "`](Self::", stringify!($name), ") describes.")]
                #[must_use]
                pub const fn $setter(mut self, allowed: usize) -> Self {
                    self.$name = allowed;
                    self
                }
            )*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// Names one of the [`Limits`]; displays as the name of its getter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Limit {
            $(
                #[doc = concat!("[`Limits::", stringify!($name), "`]")]
                $variant,
            )*
        }

        impl Limit {
            const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }
        }

        impl Limits {
            /// What is allowed of `limit`.
            #[must_use]
            pub const fn allowed(&self, limit: Limit) -> usize {
                match limit { $(Limit::$variant => self.$name,)* }
            }
        }
    };
}

limits! {
    /// Bytes of one text: one policy file, one schema, one entities document; of entities that are read from a
    /// file or a stream, which are never in memory as a whole, one entity. Default: 64 MiB, about 400,000
    /// typical policies; the tree that Cedar builds is many times its text. Where Cedar itself makes the links of templates
    /// (policies in JSON, and archives of policies), it copies the template for each: of those copies, a quarter of the bytes
    /// counts in JSON, an eighth in an archive.
    InputBytes, input_bytes, with_input_bytes = 64 << 20;

    /// Brackets (round, square, curly) inside one another in policy and schema text, and arrays and
    /// objects inside one another in JSON. Default: 200. The deepest of the 3,957 policy sets of
    /// Cedar's own corpus has 10. Policies and schemas in JSON are also held to the 128 levels that
    /// `serde_json`, which Cedar reads them with, allows.
    Nesting, nesting, with_nesting = 200;

    /// Operators that stand one inside another, brackets included: the depth of the tree that an
    /// expression becomes. Default: 1,000; the most in Cedar's corpus is 21.
    ///
    /// A chain such as `a && b && c && …` nests as deeply as brackets do (Cedar makes it
    /// `(((a && b) && c) && …)`), and so do `a.b.c.d`, `1 + 2 + 3`, `if … else if … else if …` and
    /// repeated `when { … }` clauses. What counts is the longest path from a policy's root to its
    /// deepest leaf: the chains of all the brackets around a place add up, while the elements of a
    /// list, the arguments of a call, the two sides of an `||` and separate policies do not.
    ///
    /// Policies are parsed on a thread of their own whose stack grows with this limit, so that raising it
    /// costs address space there. What is made of them is gone through by whoever builds, updates, decides
    /// and explains: raised above some thousands, it asks for threads with more than the 2 MiB of Rust's.
    OperatorChain, operator_chain, with_operator_chain = 1_000;

    /// Operators that make Cedar copy an operand, inside one another: `is … in` and `has` on the left
    /// side of the next one, and `if` in the argument of `getTag`. Default: 6.
    ///
    /// Cedar makes `e is T in x` into `e is T && e in x`; it reads the JSON of `e has a.b` twice; and
    /// its type checker takes a branch that is never reached for a copy of the other, which the error
    /// about an unsafe `getTag` prints. Each level doubles what the ones inside it take:
    /// `((e is T in x) is T in x) is T in x …` needs 24 GB at 24 levels, in one kilobyte of text.
    Doubling, doubling, with_doubling = 6;

    /// Names that one schema declares: entity types, actions, common types, attributes. Default:
    /// 100,000. What is listed counts as well, and in Cedar's own syntax all that a declaration of several
    /// names lists counts for each of them: Cedar makes of `entity A, B { x: Long, y: Long };` two types
    /// with two attributes each. So do its bytes in [`input_bytes`](Self::input_bytes), and a namespace's name
    /// does for each name in it.
    ///
    /// Cedar resolves the hierarchy of types and of actions, and common types that use one
    /// another, by recursion; the longest such path is no longer than the number of names. The
    /// parser's stack grows with this limit as well.
    Declarations, declarations, with_declarations = 100_000;

    /// Request environments of a schema: the types of principals times the types of resources, of all actions. Default:
    /// 1,048,576. Cedar's validator, which checks each policy in each of them whatever the policy's scope says, takes some 260
    /// bytes for each. Of a template with a slot behind `in`, the types above count as well: the slot may stand for any.
    ///
    /// Where policies are not validated ([`Builder::validate_policies`](crate::Builder::validate_policies)), there is no limit.
    RequestEnvironments, request_environments, with_request_environments = 1 << 20;

    /// Policies, templates and links together. Default: 1,000,000.
    Policies, policies, with_policies = 1_000_000;

    /// Depth of a compiled expression, `&&`, `||` and `!` not counted: long conditions are made of
    /// those, they cost little stack, and [`operator_chain`](Self::operator_chain) bounds them.
    /// Default: 150; the most in Cedar's corpus is below 21.
    ///
    /// Decisions recurse as deep as this, on the deciding thread: up to 6 KiB a level in a build
    /// without optimisation. The default takes less than half of the 2 MiB that a Rust thread has.
    ExpressionDepth, expression_depth, with_expression_depth = 150;

    /// Bytes that one request's context may take once converted. Default: 1 MiB; authorization
    /// data is a few hundred bytes, and a decision should not be a way to take memory. Of a typed
    /// context, fields that no policy can observe are not converted, and so do not count, unless
    /// they are kept: see [`Request::context`](crate::Request::context).
    ContextBytes, context_bytes, with_context_bytes = 1 << 20;

    /// Records and sets inside one another in a request's context. Default: 64, half of what
    /// `serde_json` would read. More than 100 has no effect: records of decisions are read with `serde_json`.
    ContextDepth, context_depth, with_context_depth = 64;

    /// Bytes that one entity's attributes and tags may take once converted. Default: 1 MiB.
    AttributeBytes, attribute_bytes, with_attribute_bytes = 1 << 20;

    /// Records and sets inside one another in one attribute. Default: 64. More than 100 has no
    /// effect: see [`context_depth`](Self::context_depth).
    AttributeDepth, attribute_depth, with_attribute_depth = 64;

    /// Elements of one set, in entities and in a context. Default: 100,000.
    SetElements, set_elements, with_set_elements = 100_000;

    /// Entities that one request brings along. Default: 1,000; they are converted for each decision,
    /// so a longer list belongs in the store.
    OverlayEntities, overlay_entities, with_overlay_entities = 1_000;

    /// Actors of one request's [`Delegation`](crate::Delegation), the principal not counted. Default: 8; each is decided
    /// for itself, and agents that call agents that call agents are rarely more than three.
    DelegationActors, delegation_actors, with_delegation_actors = 8;

    /// Edges of the longest way from an entity up to an ancestor, and in a schema from an entity type or an action. Default:
    /// 1,000. Groups of groups and folders of folders are rarely deeper than twenty.
    HierarchyDepth, hierarchy_depth, with_hierarchy_depth = 1_000;

    /// Ancestors that one load or one update of entities may work out, counted for each entity that is a parent and for each
    /// that has several. Default: 268,435,456, four bytes each. It is about the shape of a hierarchy: half a million entities
    /// below one that is itself below as many are a million edges, and ask for 250,000,000,000.
    Ancestors, ancestors, with_ancestors = 1 << 28;

    /// Entities in the store. Default: 100,000,000, more than fits in the memory of most machines:
    /// it is there to be lowered.
    Entities, entities, with_entities = 100_000_000;
}

impl Limits {
    /// Checks one number against one limit.
    ///
    /// # Errors
    /// When `found` is more than is allowed.
    pub(crate) const fn check(&self, limit: Limit, found: usize) -> Result<(), LimitExceeded> {
        let allowed = self.allowed(limit);
        if found > allowed {
            return Err(LimitExceeded {
                limit,
                allowed,
                found,
            });
        }
        Ok(())
    }

    /// For readers that stop one step beyond the limit.
    pub(crate) const fn exceeded(&self, limit: Limit) -> LimitExceeded {
        let allowed = self.allowed(limit);
        LimitExceeded::new(limit, allowed, allowed.saturating_add(1))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Input was larger than one of the [`Limits`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitExceeded {
    limit: Limit,
    allowed: usize,
    found: usize,
}

impl LimitExceeded {
    pub(crate) const fn new(limit: Limit, allowed: usize, found: usize) -> Self {
        Self {
            limit,
            allowed,
            found,
        }
    }

    /// The limit that was hit.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// The most that is allowed.
    #[must_use]
    pub const fn allowed(&self) -> usize {
        self.allowed
    }

    /// What the input has, at least: reading stops at the limit.
    #[must_use]
    pub const fn found(&self) -> usize {
        self.found
    }
}

/// How deep data is read at most, whatever the limits say: reading and what follows it (comparing, copying, validating)
/// recurse, and no input may overflow the stack. A record nests it some ten levels deeper, within a hop's entities and around an
/// extension value, and has to be read again by `serde_json`, which stops at 128.
pub(crate) const DEEPEST: usize = 100;

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            limit,
            allowed,
            found,
        } = self;
        if matches!(limit, Limit::ContextDepth | Limit::AttributeDepth) && *allowed >= DEEPEST {
            return write!(
                f,
                "{limit} cannot be raised beyond {DEEPEST}, and there is more"
            );
        }
        write!(
            f,
            "{limit} is limited to {allowed}, found {found} (raise it with Limits::with_{limit})"
        )
    }
}

impl std::error::Error for LimitExceeded {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed assumption must fail the test")]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_limit_and_setter() {
        let error = Limits::default()
            .with_nesting(100)
            .check(Limit::Nesting, 101)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "nesting is limited to 100, found 101 (raise it with Limits::with_nesting)"
        );
        assert_eq!(
            (error.limit(), error.allowed(), error.found()),
            (Limit::Nesting, 100, 101)
        );
    }

    #[test]
    fn a_limit_is_the_largest_accepted_value() {
        let limits = Limits::default();
        assert_eq!(
            limits.check(Limit::SetElements, limits.set_elements()),
            Ok(())
        );
        assert!(
            limits
                .check(Limit::SetElements, limits.set_elements() + 1)
                .is_err()
        );
    }
}
