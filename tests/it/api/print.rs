//! Pieces of syntax as text: spaced as rustfmt would, without attributes, this crate's own types by their public paths.

use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, PathSegment};

use super::krate::{Krate, Place, Target};
use super::surface::Names;

/// Replaces paths in what stands in one module, and remembers what it met.
pub(super) struct Paths<'k> {
    krate: &'k Krate,
    names: &'k Names,
    module: usize,
    pub(super) met: Vec<Place>,
    pub(super) met_private: bool,
}

impl<'k> Paths<'k> {
    pub(super) fn new(krate: &'k Krate, names: &'k Names, module: usize) -> Self {
        Self {
            krate,
            names,
            module,
            met: Vec::new(),
            met_private: false,
        }
    }
}

impl VisitMut for Paths<'_> {
    fn visit_path_mut(&mut self, path: &mut syn::Path) {
        visit_mut::visit_path_mut(self, path);
        let idents: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if path.leading_colon.is_some() {
            return;
        }
        for length in 1..=idents.len() {
            let Some(Target::Item(place)) = self.krate.resolve(self.module, &idents[..length])
            else {
                continue;
            };
            let Some(public) = self.names.get(&place) else {
                self.met_private = true;
                return;
            };
            self.met.push(place);
            let own = path.segments.iter().skip(length - 1).cloned();
            let mut own: Vec<PathSegment> = own.collect();
            let mut segments: Vec<PathSegment> = public
                .split("::")
                .map(|name| PathSegment::from(quote::format_ident!("{name}")))
                .collect();
            if let (Some(last), false) = (segments.last_mut(), own.is_empty()) {
                last.arguments = own.remove(0).arguments;
            }
            path.segments = segments.into_iter().chain(own).collect();
            return;
        }
    }

    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        attributes.clear();
    }
}

/// What was visited, as text.
pub(super) fn text(piece: &impl ToTokens) -> String {
    let text = piece.to_token_stream().to_string();
    let tokens: Vec<&str> = text.split_whitespace().flat_map(cut).collect();
    let mut out = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| tokens[at]);
        if before.is_some_and(|before| has_space(before, token)) {
            out.push(' ');
        }
        out.push_str(token);
    }
    let ends = [(", )", ")"), (", >", ">"), (", }", " }")];
    let out = ends
        .iter()
        .fold(out, |out, (from, to)| out.replace(from, to));
    out.trim_end_matches(',').to_owned()
}

/// A run without spaces as its tokens, so that it does not matter where the printer left spaces out.
fn cut(run: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = run;
    while let Some(c) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '\'' | '"');
        let length = match c {
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            _ if ["->", "::", "=>", "=="]
                .iter()
                .any(|two| rest.starts_with(two)) =>
            {
                2
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after;
    }
    tokens
}

fn has_space(before: &str, token: &str) -> bool {
    let opens = |t: &str| matches!(t, "(" | "[" | "<" | "&" | "::" | "!" | "*" | "?" | "#");
    let closes = |t: &str| {
        matches!(
            t,
            ")" | "]" | ">" | "," | ";" | "::" | ":" | "?" | "." | "(" | "["
        )
    };
    match (before, token) {
        (":" | "," | ";", _) | ("->" | "=" | "+" | "=>" | "==", _) => true,
        (_, "->" | "=" | "+" | "{" | "}" | "=>" | "==") => true,
        ("{" | "}", _) => true,
        // `for<'a>`, `Name<T>` and `impl<T>`, but `impl <T as Trait>::Name` is not written here.
        (_, "<") => false,
        ("&", _) => false,
        ("mut" | "dyn" | "impl" | "const" | "for", "(" | "[") => true,
        (_, "(" | "[") if before.starts_with('\'') => true,
        (">" | ")", "(" | "[") => false,
        _ => !opens(before) && !closes(token),
    }
}
