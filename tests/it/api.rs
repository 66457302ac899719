//! The public API is what `tests/it/api.txt` says it is.
//!
//! Whoever means to change it runs the test with `DURAMEN_BLESS=1` and finds the change in the difference of that
//! file. It is read from the sources and not from rustdoc's JSON, which only a nightly compiler writes: modules and
//! re-exports are followed as the compiler follows them, and what a feature has to be enabled for stands before it. Types of
//! this crate are named by the path that users have for them.
//!
//! Seen is what is written: items, `impl` blocks with their bounds, what is derived, by name, what macros of the crate make of
//! their calls among items, `impl` blocks too, and what `thiserror` makes of `#[from]`. A macro that is not understood fails
//! the test. Not seen is what the compiler or other crates add: traits that hold by themselves (`Send`, `Sync`, which `threads`
//! sees, and `Unpin`), blanket implementations (`Into`, `ToString`), what a derived `Serialize` writes (`tests/it/evidence`
//! sees that), what `pin_project` makes beside the type itself; and `impl` blocks inside of functions, of which there are none.

mod expand;
mod krate;
mod print;
mod surface;

use std::path::Path;

use krate::Krate;

/// A line for everything that is public.
fn surface(root: &Path) -> Vec<String> {
    surface::lines(&Krate::read(root))
}

#[test]
fn the_public_api_is_the_one_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = root.join("tests/it/api.txt");
    let lines = surface(&root.join("src/lib.rs"));
    assert!(lines.len() > 500, "only {} lines", lines.len());
    if std::env::var_os("DURAMEN_BLESS").is_some() {
        std::fs::write(&written, lines.join("\n") + "\n").unwrap();
        return;
    }
    let before = std::fs::read_to_string(&written).unwrap();
    let before: Vec<&str> = before.lines().collect();
    let gone = before
        .iter()
        .filter(|line| !lines.iter().any(|l| l == *line));
    let new = lines.iter().filter(|line| !before.contains(&line.as_str()));
    let changes: Vec<String> = gone
        .map(|line| format!("- {line}"))
        .chain(new.map(|line| format!("+ {line}")))
        .collect();
    assert!(
        changes.is_empty() && before == lines,
        "the public API has changed:\n{}\nIf that is meant, run this test with DURAMEN_BLESS=1, look at what changes in \
         tests/it/api.txt, and tell users in CHANGELOG.md.",
        changes.join("\n")
    );
}

/// A reader that sees nothing proves nothing: what a small crate declares in each of the ways that this one uses.
#[test]
fn each_way_to_be_public_is_seen() {
    let folder = std::env::temp_dir().join(format!("duramen-api-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).unwrap();
    write(
        "lib.rs",
        r#"
            mod inner;
            mod made;
            #[cfg(test)]
            mod tests;
            pub use inner::{Kept, Sink as Receiver, deep};
            pub use made::{Failed, Level};
            #[cfg(feature = "extra")]
            pub use made::Extra;
        "#,
    );
    write(
        "inner/mod.rs",
        r#"
            pub mod deep;
            use std::fmt;
            use self::hidden::Hidden;
            mod hidden { pub(crate) struct Hidden; pub(super) trait Sealed {} }

            #[derive(Clone, Debug)]
            #[non_exhaustive]
            pub struct Kept<'a> { pub name: &'a str, count: usize }
            pub struct Lost;
            impl Lost { pub fn unseen(&self) {} }
            impl<'a> Kept<'a> {
                pub const fn new(name: &'a str) -> Self { loop {} }
                pub fn sink(&self) -> Option<&dyn Sink> { None }
                #[cfg(feature = "more")]
                pub async fn more<T: Into<Level>>(self, of: deep::Deep) where T: Copy {}
                pub(crate) fn own(&self) {}
                fn private(&self) {}
            }
            use crate::made::Level;
            impl fmt::Display for Kept<'_> { fn fmt(&self) {} }
            impl From<Hidden> for Kept<'_> { fn from(_: Hidden) -> Self { loop {} } }
            impl hidden::Sealed for Kept<'_> {}
            pub trait Sink: Send { fn take(&self, what: Kept<'_>); fn flush(&mut self) {} }
            impl<S: Sink + ?Sized> Sink for Box<S> { fn take(&self, what: Kept<'_>) {} }
            impl From<Kept<'_>> for String { fn from(_: Kept<'_>) -> Self { loop {} } }
        "#,
    );
    write(
        "inner/deep.rs",
        r#"
            /// Doc.
            #[derive(Default)]
            pub enum Deep { #[default] One, Two(u32), Three { of: super::Kept<'static> } }
            pub fn free(x: Vec<(u8, Deep)>) -> Result<(), Deep> { Ok(()) }
        "#,
    );
    write(
        "made.rs",
        r#"
            macro_rules! raised {
                (Low $of:ident) => { impl From<u8> for $of { fn from(_: u8) -> Self { loop {} } } };
                ($name:ident $of:ident) => { impl From<$name> for $of { fn from(_: $name) -> Self { loop {} } } };
            }
            macro_rules! levels {
                ($($(#[$doc:meta])* $name:ident, $setter:ident = $value:expr;)*) => {
                    #[derive(Debug)]
                    pub enum Level { $($(#[$doc])* $name,)* }
                    $(raised! { $name Level })*
                    impl Level {
                        $(pub fn $setter(&self) -> u8 { $value })*
                        pub const ALL: &[Self] = &[$(Self::$name),*];
                    }
                };
            }
            levels! {
                /// Low.
                Low, low = 1 << 2;
                High, high = 2;
            }
            pin_project! { pub struct Extra { #[pin] inner: u8 } }
            #[derive(thiserror::Error)]
            pub enum Failed { #[error("a")] Level(#[from] Level), #[error("b")] Other { #[from] why: u16, at: Level } }
        "#,
    );
    let lines = surface(&folder.join("lib.rs"));
    std::fs::remove_dir_all(&folder).unwrap();
    let expected = r#"
mod deep
#[cfg(feature = "extra")] struct Extra
  Extra: fields that are private
enum Failed: thiserror::Error
  Failed::Level(Level)
  impl From<Level> for Failed
  Failed::Other { why: u16, at: Level }
  impl From<u16> for Failed
enum Level: Debug
  Level::Low
  Level::High
  const Level::ALL: &[Self]
  fn Level::high(&self) -> u8
  fn Level::low(&self) -> u8
  impl From<High> for Level
  impl From<u8> for Level
trait Receiver: Send
  fn Receiver::flush(&mut self), provided
  fn Receiver::take(&self, what: Kept<'_>)
  impl<S: Receiver + ?Sized> Receiver for Box<S>
#[non_exhaustive] struct Kept<'a>: Clone + Debug
  Kept::name: &'a str
  Kept: fields that are private
  #[cfg(feature = "more")] async fn Kept<'a>::more<T: Into<Level>>(self, of: deep::Deep) where T: Copy
  const fn Kept<'a>::new(name: &'a str) -> Self
  fn Kept<'a>::sink(&self) -> Option<&dyn Receiver>
  impl From<Kept<'_>> for String
  impl fmt::Display for Kept<'_>
enum deep::Deep: Default
  deep::Deep::One
  deep::Deep::Two(u32)
  deep::Deep::Three { of: Kept<'static> }
fn deep::free(x: Vec<(u8, deep::Deep)>) -> Result<(), deep::Deep>
"#;
    let sorted = |lines: &mut Vec<String>| {
        lines.sort();
        lines.join("\n")
    };
    let mut expected: Vec<String> = expected.trim().lines().map(str::to_owned).collect();
    assert_eq!(sorted(&mut { lines }), sorted(&mut expected));
}
