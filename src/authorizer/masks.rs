//! Masks from the annotations of a schema, and masks held against one.

use crate::compile::schema::masks::{Annotated, masks_of, model_of};
use crate::compile::{CompileError, Problem};
use crate::evidence::{Mask, Masks, path_text};
use crate::limits::Limits;

impl Masks {
    /// Adds the masks that a schema in Cedar's syntax annotates: `@mask("drop")`, `@mask("digest")` or `@mask("keep")`.
    ///
    /// On an attribute, of an entity type or of a context, it masks that attribute; on a common type, every attribute of
    /// that type, unless the attribute has its own, and of common types that are names for one another the one that the
    /// attribute names counts; on an entity type, the ids of its entities, for which there is only
    /// `digest`. A context's attributes are masked in the contexts of all actions; where those say different things of one
    /// path, the strongest counts: `drop`, then `digest`, then `keep`. So it does for an entity type's tags and its attribute
    /// `tags`, which have the same paths.
    ///
    /// ```
    /// use duramen::evidence::{MaskSink, Masks, NoSink};
    ///
    /// let masks = Masks::new()
    ///     .key(b"32 random bytes, kept elsewhere.")
    ///     .schema_str(r#"
    ///         @mask("digest") entity Patient { @mask("drop") diagnosis: String };
    ///         action view appliesTo {
    ///             principal: Patient, resource: Patient, context: { @mask("digest") phone?: String },
    ///         };
    ///     "#)?;
    /// let sink = MaskSink::new(NoSink, masks)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CompileError`] when the text is no schema, for annotations that say something else, and for those on attributes
    /// of an entity type with the name of a variable, such as `resource`: paths that begin so are about the variable.
    pub fn schema_str(mut self, schema: &str) -> Result<Self, CompileError> {
        for found in masks_of(schema, &Limits::default())? {
            match found {
                Annotated::Ids(type_name) => self = self.ids(&type_name),
                Annotated::Value {
                    entity_type,
                    names,
                    mask,
                } => {
                    let root = match entity_type.as_deref() {
                        None => "context",
                        // A path that begins so would mask something else.
                        Some(name @ ("context" | "principal" | "action" | "resource")) => {
                            return Err(Problem::new(format_args!(
                                "entity type {name} has the name of a variable, so that no path begins with it; \
                                 mask its attributes by paths that begin with `*`"
                            ))
                            .into());
                        }
                        Some(name) => name,
                    };
                    let names: Vec<Option<&str>> = names.iter().map(Option::as_deref).collect();
                    let mask = match mask {
                        "drop" => Mask::Drop,
                        "digest" => Mask::Digest,
                        _ => Mask::Keep,
                    };
                    self = self
                        .path(&path_text(root, &names), mask)
                        .map_err(Problem::new)?;
                }
            }
        }
        Ok(self)
    }

    /// Refuses masks that lead nowhere in a schema, in Cedar's syntax: a path with a typing error masks nothing, and nobody is
    /// told. To be called last; it is for those who give all of their schema, since what this does not have is refused.
    ///
    /// ```
    /// use duramen::evidence::{Mask, Masks};
    ///
    /// let schema = "entity User { ssn: String }; \
    ///               action view appliesTo { principal: User, resource: User, context: { token: String } };";
    /// let masks = Masks::new().path("context.token", Mask::Drop)?.path("User.ssn", Mask::Drop)?;
    /// assert!(masks.checked_against(schema).is_ok());
    ///
    /// let misspelt = Masks::new().path("contxt.token", Mask::Drop)?.checked_against(schema);
    /// assert_eq!(
    ///     misspelt.unwrap_err().to_string(),
    ///     "the path `contxt.token` masks nothing: the schema has no entity type `contxt`"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CompileError`] with a problem for each path, and for each type whose ids are to be masked, that leads nowhere; and
    /// when the text is no schema.
    pub fn checked_against(self, schema: &str) -> Result<Self, CompileError> {
        let misfits = self.misfits(&model_of(schema, &Limits::default())?);
        let problems = misfits.into_iter().map(Problem::new).collect();
        match CompileError::from_problems(problems) {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}
