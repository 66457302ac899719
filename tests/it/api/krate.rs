//! A crate as its modules and what they declare, and finding what a path means.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use syn::{Attribute, Item, UseTree, Visibility};

use super::expand::expand;

/// An item: its module and its name there.
pub(super) type Place = (usize, String);

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Target {
    Module(usize),
    Item(Place),
}

/// One name that a `use` brings in.
pub(super) struct Import {
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) is_public: bool,
    pub(super) attrs: Vec<Attribute>,
}

pub(super) struct Module {
    parent: usize,
    children: HashMap<String, usize>,
    pub(super) items: Vec<Item>,
    pub(super) imports: Vec<Import>,
    /// The children that are public, with their attributes.
    pub(super) public: Vec<(String, usize, Vec<Attribute>)>,
}

pub(super) struct Krate {
    pub(super) modules: Vec<Module>,
}

impl Krate {
    /// What the crate with this root file declares, outside of tests.
    pub(super) fn read(root: &Path) -> Self {
        let mut krate = Self {
            modules: Vec::new(),
        };
        krate.read_file(root, 0);
        krate
    }

    fn read_file(&mut self, file: &Path, parent: usize) -> usize {
        let text = std::fs::read_to_string(file).unwrap();
        let parsed = syn::parse_file(&text).unwrap();
        let is_root = matches!(
            file.file_name().and_then(|n| n.to_str()),
            Some("lib.rs" | "mod.rs")
        );
        let folder = match is_root {
            true => file.parent().unwrap().to_owned(),
            false => file.with_extension(""),
        };
        self.read_module(parsed.items, &folder, parent)
    }

    fn read_module(&mut self, items: Vec<Item>, folder: &Path, parent: usize) -> usize {
        let index = self.modules.len();
        self.modules.push(Module {
            parent,
            children: HashMap::new(),
            items: Vec::new(),
            imports: Vec::new(),
            public: Vec::new(),
        });
        for item in expanded(items, &HashMap::new()) {
            match item {
                Item::Mod(module) if !is_test_only(&module.attrs) => {
                    let name = module.ident.to_string();
                    let child = match module.content {
                        Some((_, items)) => self.read_module(items, &folder.join(&name), index),
                        None => self.read_file(&module_file(folder, &name), index),
                    };
                    self.modules[index].children.insert(name.clone(), child);
                    if matches!(module.vis, Visibility::Public(_)) {
                        self.modules[index].public.push((name, child, module.attrs));
                    }
                }
                Item::Mod(_) => {}
                Item::Use(used) => {
                    let is_public = matches!(used.vis, Visibility::Public(_));
                    for (name, path) in leaves(&used.tree) {
                        self.modules[index].imports.push(Import {
                            name,
                            path,
                            is_public,
                            attrs: used.attrs.clone(),
                        });
                    }
                }
                other => self.modules[index].items.push(other),
            }
        }
        index
    }

    /// What `path` means in a module; `None` for what is of another crate or of the language.
    pub(super) fn resolve(&self, module: usize, path: &[String]) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(self.modules[module].parent),
            name => self.find(module, name)?,
        };
        for name in rest {
            at = match (at, name.as_str()) {
                (Target::Module(module), "super") => Target::Module(self.modules[module].parent),
                (Target::Module(module), "self") => Target::Module(module),
                (Target::Module(module), name) => self.find(module, name)?,
                // `Type::Variant`, `Type::Associated`
                (item, _) => return Some(item),
            };
        }
        Some(at)
    }

    fn find(&self, module: usize, name: &str) -> Option<Target> {
        let here = &self.modules[module];
        if let Some(child) = here.children.get(name) {
            return Some(Target::Module(*child));
        }
        if here
            .items
            .iter()
            .any(|item| named(item).is_some_and(|own| own == name))
        {
            return Some(Target::Item((module, name.to_owned())));
        }
        let import = here.imports.iter().find(|import| import.name == name)?;
        // `use serde_json;` and the like would look for themselves.
        if import.path.len() == 1 {
            return None;
        }
        self.resolve(module, &import.path)
    }
}

/// Whether an item is compiled for tests alone.
pub(super) fn is_test_only(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            matches!(list.tokens.to_string().as_str(), "test" | "doctest")
        }
        _ => false,
    })
}

fn module_file(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(name).with_extension("rs");
    match file.exists() {
        true => file,
        false => folder.join(name).join("mod.rs"),
    }
}

/// Those of other crates that are called among items: they declare what is written in them.
const FOREIGN: [&str; 2] = ["pin_project", "thread_local"];

/// The items, with what macros make of their calls: the file's own, among them those that are called by others.
fn expanded(items: Vec<Item>, around: &HashMap<String, TokenStream>) -> Vec<Item> {
    let mut rules = around.clone();
    let mut out = Vec::new();
    for item in items {
        let Item::Macro(item) = item else {
            out.push(item);
            continue;
        };
        if let Some(name) = item.ident {
            rules.insert(name.to_string(), item.mac.tokens);
            continue;
        }
        let name = item.mac.path.segments.last().unwrap().ident.to_string();
        let tokens = match rules.get(&name) {
            Some(rules) => expand(rules, &item.mac.tokens)
                .unwrap_or_else(|| panic!("{name}! is not of the kind that is understood here")),
            None if FOREIGN.contains(&name.as_str()) => item.mac.tokens,
            None => panic!("{name}! is of another crate or file: teach this reader"),
        };
        match syn::parse2::<syn::File>(tokens) {
            Ok(file) => out.extend(expanded(file.items, &rules)),
            // `const` in what is local to a thread is no item.
            Err(_) if name == "thread_local" => {}
            Err(error) => panic!("{name}!: {error}"),
        }
    }
    out
}

pub(super) fn named(item: &Item) -> Option<&syn::Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

/// Every name that a `use` brings in, with its path.
fn leaves(tree: &UseTree) -> Vec<(String, Vec<String>)> {
    match tree {
        UseTree::Path(path) => {
            let first = path.ident.to_string();
            let under = leaves(&path.tree).into_iter();
            under
                .map(|(name, mut rest)| {
                    // `a::{self}` is `a`.
                    if rest == ["self"] {
                        return (
                            if name == "self" { first.clone() } else { name },
                            vec![first.clone()],
                        );
                    }
                    rest.insert(0, first.clone());
                    match name.as_str() {
                        "self" => (first.clone(), rest),
                        _ => (name, rest),
                    }
                })
                .collect()
        }
        UseTree::Name(name) => vec![(name.ident.to_string(), vec![name.ident.to_string()])],
        UseTree::Rename(name) => vec![(name.rename.to_string(), vec![name.ident.to_string()])],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        UseTree::Glob(_) => {
            panic!("a glob outside of tests: what it brings in is not to be seen at a glance")
        }
    }
}
