//! Where in a document or a value something went wrong.

use std::fmt;

use bumpalo::Bump;

use crate::value::text::is_identifier;

/// One step from a value into a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step<'a> {
    /// What the path begins at, such as `context`.
    Root(&'a str),
    /// A field of a record, a member of an object, a variant of an enum.
    Field(&'a str),
    /// An element of an array or a sequence.
    Index(usize),
}

/// The steps from the outermost value to a part. Made only on failure, from the inside out, while the error travels
/// up through the callers; success pays nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Path<'a>(Option<&'a Link<'a>>);

#[derive(PartialEq, Eq)]
struct Link<'a> {
    step: Step<'a>,
    inner: Path<'a>,
}

impl<'a> Path<'a> {
    /// This path, seen from one step further out.
    pub(crate) fn within(self, arena: &'a Bump, step: Step<'a>) -> Self {
        Self(Some(arena.alloc(Link { step, inner: self })))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_none()
    }

    /// The steps, outermost first.
    pub(crate) fn steps(self) -> impl Iterator<Item = Step<'a>> {
        let mut path = self;
        std::iter::from_fn(move || {
            let link = path.0?;
            path = link.inner;
            Some(link.step)
        })
    }
}

/// Written as in Cedar, `context.devices[2]["serial number"]`.
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps().enumerate() {
            match step {
                Step::Root(name) => f.write_str(name)?,
                Step::Field(name) if is_identifier(name) => {
                    let dot = if position == 0 { "" } else { "." };
                    write!(f, "{dot}{name}")?;
                }
                Step::Field(name) => write!(f, "[\"{}\"]", name.escape_debug())?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
