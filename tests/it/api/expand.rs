//! Expanding `macro_rules!` as far as declarations of items need it: arms, repetitions, and fragments that end where the
//! pattern goes on.

use std::collections::HashMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What a variable of the pattern stands for.
#[derive(Clone, Debug)]
enum Bound {
    Once(TokenStream),
    Repeated(Vec<Bindings>),
}

type Bindings = HashMap<String, Bound>;

/// What `input` becomes under the macro whose rules these are: by the first arm that fits.
pub(super) fn expand(rules: &TokenStream, input: &TokenStream) -> Option<TokenStream> {
    let (rules, input) = (trees(rules), trees(input));
    let mut rest = rules.as_slice();
    // Behind each arm but the last is a `;`.
    while let [
        TokenTree::Group(pattern),
        _,
        _,
        TokenTree::Group(body),
        more @ ..,
    ] = rest
    {
        let mut bound = Bindings::new();
        let left = matched(&trees(&pattern.stream()), &input, &mut bound);
        if left.is_some_and(<[_]>::is_empty) {
            return Some(written(&trees(&body.stream()), &bound));
        }
        rest = more.get(1..).unwrap_or_default();
    }
    None
}

fn trees(stream: &TokenStream) -> Vec<TokenTree> {
    stream.clone().into_iter().collect()
}

fn is_punct(tree: Option<&TokenTree>, c: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == c)
}

/// `$( … ) separator *` at the start of a pattern or a body: what is inside, its separator, what follows.
fn repetition(from: &[TokenTree]) -> Option<(Vec<TokenTree>, Option<TokenTree>, &[TokenTree])> {
    let [dollar, TokenTree::Group(inner), rest @ ..] = from else {
        return None;
    };
    if !is_punct(Some(dollar), '$') || inner.delimiter() != Delimiter::Parenthesis {
        return None;
    }
    let ends = |tree: &TokenTree| ['*', '+', '?'].iter().any(|c| is_punct(Some(tree), *c));
    match rest {
        [end, rest @ ..] if ends(end) => Some((trees(&inner.stream()), None, rest)),
        [separator, end, rest @ ..] if ends(end) => {
            Some((trees(&inner.stream()), Some(separator.clone()), rest))
        }
        _ => None,
    }
}

/// Binds `pattern` to the start of `input`; what is left of it.
fn matched<'i>(
    pattern: &[TokenTree],
    input: &'i [TokenTree],
    bound: &mut Bindings,
) -> Option<&'i [TokenTree]> {
    let Some(first) = pattern.first() else {
        return Some(input);
    };
    if let Some((inner, separator, rest)) = repetition(pattern) {
        let (rounds, mut input) = rounds(&inner, separator.as_ref(), input);
        for name in variables(&inner) {
            bound.insert(name, Bound::Repeated(rounds.clone()));
        }
        input = matched(rest, input, bound)?;
        return Some(input);
    }
    if let [
        dollar,
        TokenTree::Ident(name),
        _,
        TokenTree::Ident(kind),
        rest @ ..,
    ] = pattern
        && is_punct(Some(dollar), '$')
    {
        let length = match kind.to_string().as_str() {
            "ident" | "literal" | "tt" => usize::from(!input.is_empty()),
            // These end where the pattern goes on.
            _ => input
                .iter()
                .position(|tree| rest.first().is_some_and(|next| same(next, tree)))
                .unwrap_or(input.len()),
        };
        if length == 0 {
            return None;
        }
        let (taken, input) = input.split_at(length);
        bound.insert(
            name.to_string(),
            Bound::Once(taken.iter().cloned().collect()),
        );
        return matched(rest, input, bound);
    }
    let (next, input) = input.split_first()?;
    match (first, next) {
        (TokenTree::Group(pattern), TokenTree::Group(group)) => {
            if pattern.delimiter() != group.delimiter() {
                return None;
            }
            let inside = trees(&group.stream());
            let left = matched(&trees(&pattern.stream()), &inside, bound)?;
            if !left.is_empty() {
                return None;
            }
        }
        _ if same(first, next) => {}
        _ => return None,
    }
    matched(&pattern[1..], input, bound)
}

/// As many rounds of a repetition as there are, and what is left of the input.
fn rounds<'i>(
    inner: &[TokenTree],
    separator: Option<&TokenTree>,
    mut input: &'i [TokenTree],
) -> (Vec<Bindings>, &'i [TokenTree]) {
    let mut rounds = Vec::new();
    loop {
        let mut start = input;
        if let (Some(separator), false) = (separator, rounds.is_empty()) {
            match input.split_first() {
                Some((next, rest)) if same(separator, next) => start = rest,
                _ => break,
            }
        }
        let mut round = Bindings::new();
        match matched(inner, start, &mut round) {
            Some(rest) if rest.len() < input.len() => input = rest,
            _ => break,
        }
        rounds.push(round);
    }
    (rounds, input)
}

fn same(pattern: &TokenTree, token: &TokenTree) -> bool {
    !matches!(pattern, TokenTree::Group(_)) && pattern.to_string() == token.to_string()
}

/// The names behind a `$`, at any depth.
fn variables(pattern: &[TokenTree]) -> Vec<String> {
    let mut names = Vec::new();
    for (at, tree) in pattern.iter().enumerate() {
        match tree {
            TokenTree::Group(group) => names.extend(variables(&trees(&group.stream()))),
            TokenTree::Ident(name) if at > 0 && is_punct(pattern.get(at - 1), '$') => {
                names.push(name.to_string());
            }
            _ => {}
        }
    }
    names
}

/// The body with what is bound in the place of its variables.
fn written(body: &[TokenTree], bound: &Bindings) -> TokenStream {
    let mut out = Vec::new();
    let mut rest = body;
    while let Some(first) = rest.first() {
        if let Some((inner, separator, after)) = repetition(rest) {
            out.extend(written_rounds(&inner, separator.as_ref(), bound));
            rest = after;
            continue;
        }
        if let [dollar, TokenTree::Ident(name), after @ ..] = rest
            && is_punct(Some(dollar), '$')
            && let Some(Bound::Once(tokens)) = bound.get(&name.to_string())
        {
            out.extend(tokens.clone());
            rest = after;
            continue;
        }
        out.push(match first {
            TokenTree::Group(group) => {
                let inside = written(&trees(&group.stream()), bound);
                TokenTree::Group(Group::new(group.delimiter(), inside))
            }
            other => other.clone(),
        });
        rest = &rest[1..];
    }
    out.into_iter().collect()
}

fn written_rounds(
    inner: &[TokenTree],
    separator: Option<&TokenTree>,
    bound: &Bindings,
) -> Vec<TokenTree> {
    let rounds = variables(inner)
        .into_iter()
        .find_map(|name| match bound.get(&name) {
            Some(Bound::Repeated(rounds)) => Some(rounds.as_slice()),
            _ => None,
        });
    let mut out = Vec::new();
    for (at, round) in rounds.unwrap_or_default().iter().enumerate() {
        if at > 0 {
            out.extend(separator.cloned());
        }
        // What is bound outside of the repetition can be used inside.
        let mut all = bound.clone();
        all.extend(round.clone());
        out.extend(written(inner, &all));
    }
    out
}
