//! What of a crate can be named or called from outside, a line for each.

use std::collections::HashMap;

use syn::visit_mut::VisitMut;
use syn::{
    Attribute, Fields, FnArg, Generics, ImplItem, Item, ItemImpl, Pat, PatType, Signature,
    TraitItem, Type, Visibility,
};

use super::krate::{self, Krate, Place, Target, is_test_only};
use super::print::{Paths, text};

/// The shortest public path of every item that has one.
pub(super) type Names = HashMap<Place, String>;

/// What has to be enabled for that path.
type Gates = HashMap<Place, String>;

pub(super) fn lines(krate: &Krate) -> Vec<String> {
    let mut walk = Walk {
        krate,
        names: Names::new(),
        gates: Gates::new(),
        found: Vec::new(),
        lines: Vec::new(),
    };
    walk.module(0, "", &mut Vec::new());
    walk.name_shortest();
    let writer = Writer {
        krate,
        names: &walk.names,
    };
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    blocks.extend(
        walk.lines
            .iter()
            .map(|line| (line.clone(), vec![line.clone()])),
    );
    let mut impls = writer.impls();
    for (place, name) in &walk.names {
        let mut lines = writer.item(place, name);
        lines[0].insert_str(0, &walk.gates[place]);
        let mut added = impls.remove(place).unwrap_or_default();
        added.sort();
        lines.extend(added);
        blocks.push((sort_key(name), lines));
    }
    for found in &walk.found {
        let shortest = &walk.names[&found.place];
        if *shortest != found.path {
            let line = format!("{}use {} = {shortest}", gate(&found.attrs), found.path);
            blocks.push((sort_key(&found.path), vec![line]));
        }
    }
    blocks.sort();
    blocks.into_iter().flat_map(|(_, lines)| lines).collect()
}

/// A module's own items before those of the modules in it.
fn sort_key(path: &str) -> String {
    let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
    format!("{module} {name}")
}

/// A public path to an item.
struct Found {
    place: Place,
    path: String,
    attrs: Vec<Attribute>,
}

/// Follows what is public from the root.
struct Walk<'k> {
    krate: &'k Krate,
    names: Names,
    gates: Gates,
    found: Vec<Found>,
    /// Of modules, and of what other crates declare.
    lines: Vec<String>,
}

impl Walk<'_> {
    fn module(&mut self, module: usize, path: &str, within: &mut Vec<Attribute>) {
        let here = &self.krate.modules[module];
        for item in &here.items {
            if let (Some(name), true) = (krate::named(item), is_public(item)) {
                let place = (module, name.to_string());
                self.item(place, join(path, &name.to_string()), within);
            }
        }
        for (name, child, attrs) in &here.public {
            self.open(*child, &join(path, name), attrs, within);
        }
        for import in here.imports.iter().filter(|import| import.is_public) {
            let public = join(path, &import.name);
            match self.krate.resolve(module, &import.path) {
                Some(Target::Module(child)) => self.open(child, &public, &import.attrs, within),
                Some(Target::Item(place)) => {
                    let attrs = [within.as_slice(), &import.attrs].concat();
                    self.item(place, public, &attrs);
                }
                None => self
                    .lines
                    .push(format!("use {public} = {}", import.path.join("::"))),
            }
        }
    }

    fn open(
        &mut self,
        module: usize,
        path: &str,
        attrs: &[Attribute],
        within: &mut Vec<Attribute>,
    ) {
        let before = within.len();
        within.extend_from_slice(attrs);
        self.lines.push(format!("{}mod {path}", gate(within)));
        self.module(module, path, within);
        within.truncate(before);
    }

    fn item(&mut self, place: Place, path: String, attrs: &[Attribute]) {
        self.found.push(Found {
            place,
            path,
            attrs: attrs.to_vec(),
        });
    }

    fn name_shortest(&mut self) {
        for found in &self.found {
            let depth = |path: &str| (path.matches("::").count(), path.len());
            let known = self.names.get(&found.place);
            if known.is_none_or(|name| depth(&found.path) < depth(name)) {
                self.names.insert(found.place.clone(), found.path.clone());
                self.gates.insert(found.place.clone(), gate(&found.attrs));
            }
        }
    }
}

/// Writes items.
struct Writer<'k> {
    krate: &'k Krate,
    names: &'k Names,
}

impl Writer<'_> {
    /// The item's own line, then what it has.
    fn item(&self, place: &Place, name: &str) -> Vec<String> {
        let (module, own_name) = place;
        let items = &self.krate.modules[*module].items;
        let item = items
            .iter()
            .find(|item| krate::named(item).is_some_and(|n| n == own_name));
        let mut lines = Vec::new();
        match item.unwrap() {
            Item::Struct(item) => {
                let head = self.generic(*module, &item.generics);
                lines.push(format!(
                    "{}struct {name}{head}{}",
                    marks(&item.attrs),
                    derived(&item.attrs)
                ));
                self.fields(*module, name, &item.fields, &mut lines);
                lines.extend(self.converted(*module, name, &item.fields));
            }
            Item::Enum(item) => {
                let head = self.generic(*module, &item.generics);
                lines.push(format!(
                    "{}enum {name}{head}{}",
                    marks(&item.attrs),
                    derived(&item.attrs)
                ));
                for variant in &item.variants {
                    let mut plain = variant.clone();
                    self.paths(*module).visit_variant_mut(&mut plain);
                    lines.push(format!(
                        "  {}{name}::{}",
                        marks(&variant.attrs),
                        text(&plain)
                    ));
                    lines.extend(self.converted(*module, name, &variant.fields));
                }
            }
            Item::Trait(item) => {
                let head = self.generic(*module, &item.generics);
                let mut above = item.supertraits.clone();
                for bound in &mut above {
                    self.paths(*module).visit_type_param_bound_mut(bound);
                }
                let above = match above.is_empty() {
                    true => String::new(),
                    false => format!(": {}", text(&above)),
                };
                lines.push(format!("{}trait {name}{head}{above}", marks(&item.attrs)));
                let mut members: Vec<String> = item
                    .items
                    .iter()
                    .map(|member| self.member(*module, name, member))
                    .collect();
                members.sort();
                lines.extend(members);
            }
            Item::Fn(item) => {
                lines.push(format!(
                    "{}{}",
                    marks(&item.attrs),
                    self.signature(*module, name, &item.sig)
                ));
            }
            Item::Const(item) => {
                lines.push(format!(
                    "{}const {name}: {}",
                    marks(&item.attrs),
                    self.ty(*module, &item.ty)
                ));
            }
            Item::Static(item) => {
                lines.push(format!(
                    "{}static {name}: {}",
                    marks(&item.attrs),
                    self.ty(*module, &item.ty)
                ));
            }
            Item::Type(item) => {
                let head = self.generic(*module, &item.generics);
                lines.push(format!(
                    "{}type {name}{head} = {}",
                    marks(&item.attrs),
                    self.ty(*module, &item.ty)
                ));
            }
            other => panic!("{} is public: teach this reader", text(other)),
        }
        lines
    }

    fn fields(&self, module: usize, name: &str, fields: &Fields, lines: &mut Vec<String>) {
        let mut hidden = false;
        for (at, field) in fields.iter().enumerate() {
            if !matches!(field.vis, Visibility::Public(_)) {
                hidden = true;
                continue;
            }
            let own = field
                .ident
                .as_ref()
                .map_or(at.to_string(), ToString::to_string);
            lines.push(format!(
                "  {}{name}::{own}: {}",
                marks(&field.attrs),
                self.ty(module, &field.ty)
            ));
        }
        if hidden {
            lines.push(format!("  {name}: fields that are private"));
        }
    }

    /// What `thiserror` makes of a field that is marked `#[from]`; that it makes an error is seen among what is derived.
    fn converted(&self, module: usize, name: &str, fields: &Fields) -> Option<String> {
        let is_marked = |attr: &Attribute| attr.path().is_ident("from");
        let from = fields
            .iter()
            .find(|field| field.attrs.iter().any(is_marked))?;
        let from = self.ty(module, &from.ty);
        Some(format!("  impl From<{from}> for {name}"))
    }

    fn member(&self, module: usize, name: &str, member: &TraitItem) -> String {
        match member {
            TraitItem::Fn(method) => {
                let provided = if method.default.is_some() {
                    ", provided"
                } else {
                    ""
                };
                format!(
                    "  {}{}{provided}",
                    marks(&method.attrs),
                    self.signature(module, name, &method.sig)
                )
            }
            TraitItem::Type(ty) => format!("  type {name}::{}", text(&ty.ident)),
            TraitItem::Const(item) => format!(
                "  const {name}::{}: {}",
                item.ident,
                self.ty(module, &item.ty)
            ),
            other => panic!("{} in a trait: teach this reader", text(other)),
        }
    }

    /// What every `impl` of the crate adds, by the item under which it stands.
    fn impls(&self) -> HashMap<Place, Vec<String>> {
        let mut impls = HashMap::new();
        for (module, within) in self.krate.modules.iter().enumerate() {
            for item in &within.items {
                if let Item::Impl(item) = item
                    && !is_test_only(&item.attrs)
                {
                    self.implemented(module, item, &mut impls);
                }
            }
        }
        impls
    }

    fn implemented(&self, module: usize, item: &ItemImpl, impls: &mut HashMap<Place, Vec<String>>) {
        let mut head = ItemImpl {
            attrs: Vec::new(),
            items: Vec::new(),
            ..item.clone()
        };
        let mut paths = self.paths(module);
        let mut owner = head.self_ty.clone();
        paths.visit_type_mut(&mut owner);
        let own = paths.met.first().cloned().filter(|_| is_path(&owner));
        paths.visit_item_impl_mut(&mut head);
        // It stands under the type that it is for, or else under the first of this crate that it names.
        let Some(place) = own.or(paths.met.first().cloned()) else {
            return;
        };
        if paths.met_private {
            return;
        }
        let lines = impls.entry(place).or_default();
        if item.trait_.is_some() {
            let line = text(&head);
            let line = line.trim_end_matches(['{', '}', ' ']);
            lines.push(format!("  {}{line}", marks(&item.attrs)));
            return;
        }
        let owner = text(&owner);
        for member in &item.items {
            match member {
                ImplItem::Fn(method) if is_open(&method.vis) && !is_test_only(&method.attrs) => {
                    let signature = self.signature(module, &owner, &method.sig);
                    let bounds = bounds(&head.generics);
                    lines.push(format!("  {}{signature}{bounds}", marks(&method.attrs)));
                }
                ImplItem::Const(item) if is_open(&item.vis) => {
                    let ty = self.ty(module, &item.ty);
                    let marks = marks(&item.attrs);
                    lines.push(format!("  {marks}const {owner}::{}: {ty}", item.ident));
                }
                ImplItem::Macro(item) => panic!("{} in an impl: teach this reader", text(item)),
                _ => {}
            }
        }
    }

    /// `fn owner::name(…) -> …`
    fn signature(&self, module: usize, owner: &str, sig: &Signature) -> String {
        let mut sig = sig.clone();
        // That an argument is changed inside is nobody's business.
        for input in &mut sig.inputs {
            match input {
                FnArg::Receiver(own) if own.reference.is_none() => own.mutability = None,
                FnArg::Typed(PatType { pat, .. }) => {
                    if let Pat::Ident(name) = pat.as_mut() {
                        name.mutability = None;
                    }
                }
                FnArg::Receiver(_) => {}
            }
        }
        self.paths(module).visit_signature_mut(&mut sig);
        let name = sig.ident.to_string();
        let whole = text(&sig);
        let at = whole.find(&format!("fn {name}")).unwrap();
        let (before, rest) = whole.split_at(at);
        let rest = &rest["fn ".len() + name.len()..];
        let free = owner.rsplit("::").next() == Some(&name);
        let path = if free {
            owner.to_owned()
        } else {
            format!("{owner}::{name}")
        };
        format!("{before}fn {path}{rest}")
    }

    fn ty(&self, module: usize, ty: &Type) -> String {
        let mut ty = ty.clone();
        self.paths(module).visit_type_mut(&mut ty);
        text(&ty)
    }

    fn generic(&self, module: usize, generics: &Generics) -> String {
        let mut generics = generics.clone();
        self.paths(module).visit_generics_mut(&mut generics);
        let clause = generics.where_clause.take();
        let clause = clause.map_or(String::new(), |clause| format!(" {}", text(&clause)));
        format!("{}{clause}", text(&generics))
    }

    fn paths(&self, module: usize) -> Paths<'_> {
        Paths::new(self.krate, self.names, module)
    }
}

/// What an `impl` block demands of its parameters.
fn bounds(generics: &Generics) -> String {
    let params = generics
        .type_params()
        .filter(|param| !param.bounds.is_empty());
    let params: Vec<String> = params.map(text).collect();
    match params.is_empty() {
        true => String::new(),
        false => format!(" [{}]", params.join(", ")),
    }
}

fn is_path(ty: &Type) -> bool {
    matches!(ty, Type::Path(_))
}

fn is_open(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

fn is_public(item: &Item) -> bool {
    match item {
        Item::Const(item) => is_open(&item.vis),
        Item::Enum(item) => is_open(&item.vis),
        Item::Fn(item) => is_open(&item.vis),
        Item::Static(item) => is_open(&item.vis),
        Item::Struct(item) => is_open(&item.vis),
        Item::Trait(item) => is_open(&item.vis),
        Item::Type(item) => is_open(&item.vis),
        Item::Union(item) => is_open(&item.vis),
        _ => false,
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}::{name}"),
    }
}

/// `#[cfg(…)]`, as far as there is one.
fn gate(attrs: &[Attribute]) -> String {
    kept(attrs, &["cfg"])
}

/// What of the attributes a user can notice.
fn marks(attrs: &[Attribute]) -> String {
    kept(
        attrs,
        &["cfg", "deprecated", "must_use", "non_exhaustive", "repr"],
    )
}

fn kept(attrs: &[Attribute], names: &[&str]) -> String {
    let kept = attrs
        .iter()
        .filter(|attr| names.iter().any(|name| attr.path().is_ident(name)));
    kept.map(|attr| {
        let text = match attr.path().is_ident("must_use") {
            // Its reason is documentation.
            true => "#[must_use]".to_owned(),
            false => text(attr),
        };
        text + " "
    })
    .collect()
}

/// `: Clone + Debug`
fn derived(attrs: &[Attribute]) -> String {
    let mut derived: Vec<String> = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        attr.parse_nested_meta(|meta| {
            derived.push(text(&meta.path));
            Ok(())
        })
        .unwrap();
    }
    derived.sort();
    match derived.is_empty() {
        true => String::new(),
        false => format!(": {}", derived.join(" + ")),
    }
}
