//! The modules of a crate, read from its files, and the names that they use from each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

use crate::mentions::Mentions;

/// For each file, the files that it uses, each with one of the names it uses from there.
pub(crate) type Arrows = BTreeMap<PathBuf, BTreeMap<PathBuf, String>>;

/// A path of names, starting at the crate's root.
pub(crate) type Names = Vec<String>;

#[derive(Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    defined: BTreeSet<String>,
    /// Names that `use` imports, by their local name; `None` if they come from outside the crate.
    imports: BTreeMap<String, Option<Names>>,
    globs: Vec<Names>,
    /// Paths that the code contains, without imports.
    mentions: BTreeSet<Names>,
    /// Names that are imported but not re-exported.
    private_imports: BTreeSet<String>,
}

/// The modules of a crate.
#[derive(Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Names, Module>,
}

/// Tells whether an item is compiled for tests only.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && {
            let condition = list.tokens.to_string();
            condition.contains("test") && !condition.contains("not")
        }
    })
}

impl Crate {
    /// Reads a crate from its `lib.rs` or `main.rs`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut read = Self::default();
        read.add_file(&[], root, root.parent().unwrap());
        read
    }

    /// Adds a file whose child modules are in `folder`.
    fn add_file(&mut self, names: &[String], file: &Path, folder: &Path) {
        let text = fs::read_to_string(file).unwrap();
        let parsed = syn::parse_file(&text).unwrap();
        self.add_items(names, file, folder, &parsed.items);
    }

    fn add_items(&mut self, names: &[String], file: &Path, folder: &Path, items: &[syn::Item]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut mentions = Mentions::default();
        for item in items {
            match item {
                syn::Item::Mod(inner) => {
                    if is_for_tests(&inner.attrs) {
                        continue;
                    }
                    let name = inner.ident.to_string();
                    module.children.insert(name.clone());
                    let below: Names = names.iter().cloned().chain([name.clone()]).collect();
                    if let Some((_, items)) = &inner.content {
                        self.add_items(&below, file, &folder.join(&name), items);
                    } else {
                        let flat = folder.join(format!("{name}.rs"));
                        let nested = folder.join(&name).join("mod.rs");
                        let file = if flat.exists() { flat } else { nested };
                        self.add_file(&below, &file, &folder.join(&name));
                    }
                }
                syn::Item::Use(import) if !is_for_tests(&import.attrs) => {
                    let is_private = matches!(import.vis, syn::Visibility::Inherited);
                    module.add_import(names, &import.tree, is_private);
                }
                other => {
                    module.defined.extend(defined_name(other));
                    mentions.visit_item(other);
                }
            }
        }
        module.mentions = mentions.0;
        self.modules.insert(names.to_vec(), module);
    }

    /// Returns the module in which a path written in `here` ends, and whether it ends at the module itself.
    fn find(&self, here: &Names, written: &[String], depth: u8) -> Option<(&Module, bool)> {
        let module = self.modules.get(here)?;
        let (first, rest) = written.split_first()?;
        match first.as_str() {
            "crate" => self.follow(&Vec::new(), rest, depth),
            "self" => self.follow(here, rest, depth),
            "super" => self.find_above(here, rest, depth),
            _ if module.children.contains(first) || module.imports.contains_key(first) => {
                self.follow(here, written, depth)
            }
            _ => module.globs.iter().find_map(|glob| self.offered(glob, written, depth)),
        }
    }

    fn find_above(&self, here: &Names, rest: &[String], depth: u8) -> Option<(&Module, bool)> {
        let above = here[..here.len().checked_sub(1)?].to_vec();
        match rest.first().map(String::as_str) {
            Some("super") => self.find_above(&above, &rest[1..], depth),
            _ => self.follow(&above, rest, depth),
        }
    }

    /// Returns the module to which a path leads that starts at a module.
    fn follow(&self, at: &Names, path: &[String], depth: u8) -> Option<(&Module, bool)> {
        let module = self.modules.get(at)?;
        let Some((first, rest)) = path.split_first() else { return Some((module, true)) };
        if depth == 0 {
            return None;
        }
        if module.children.contains(first) {
            let below: Names = at.iter().chain([first]).cloned().collect();
            return self.follow(&below, rest, depth);
        }
        if module.defined.contains(first) {
            return Some((module, false));
        }
        if let Some(target) = module.imports.get(first) {
            let further: Names = target.as_ref()?.iter().chain(rest).cloned().collect();
            return self.find(at, &further, depth - 1);
        }
        module.globs.iter().find_map(|glob| self.offered(glob, path, depth)).or(Some((module, false)))
    }

    fn offered(&self, glob: &Names, path: &[String], depth: u8) -> Option<(&Module, bool)> {
        let depth = depth.checked_sub(1)?;
        let (module, true) = self.follow(&Vec::new(), glob, depth)? else { return None };
        let at = self.modules.iter().find(|(_, other)| std::ptr::eq(*other, module))?.0;
        let first = path.first()?;
        let offers = module.children.contains(first)
            || module.defined.contains(first)
            || module.imports.contains_key(first)
            || !module.globs.is_empty();
        if offers { self.follow(at, path, depth) } else { None }
    }

    /// Returns the dependencies between files, each with a name that causes it.
    pub(crate) fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (names, module) in &self.modules {
            let imports = module.private_imports.iter().map(|name| vec![name.clone()]);
            for written in module.mentions.iter().cloned().chain(imports) {
                let is_import = module.private_imports.contains(&written[0]) && written.len() == 1;
                let Some((target, is_module)) = self.find(names, &written, 16) else { continue };
                // Importing a module is not a use of it; naming something through it is.
                if target.file == module.file || (is_import && is_module) {
                    continue;
                }
                let uses = arrows.entry(module.file.clone()).or_default();
                uses.entry(target.file.clone()).or_insert_with(|| written.join("::"));
            }
        }
        arrows
    }
}

fn defined_name(item: &syn::Item) -> Option<String> {
    let ident = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

impl Module {
    fn add_import(&mut self, here: &[String], tree: &syn::UseTree, is_private: bool) {
        for Leaf { path, name } in leaves(tree) {
            match name {
                Some(name) => self.add_name(here, name, &path, is_private),
                None => self.globs.extend(self.absolute(here, &path)),
            }
        }
    }

    fn add_name(&mut self, here: &[String], name: String, path: &[String], is_private: bool) {
        if is_private && name != "_" {
            self.private_imports.insert(name.clone());
        }
        let absolute = self.absolute(here, path);
        self.imports.insert(name, absolute.map(|path| [vec!["crate".to_owned()], path].concat()));
    }

    /// Returns an import's path from the root; `None` if it leads out of the crate.
    fn absolute(&self, here: &[String], path: &[String]) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let mut base = here.to_vec();
        let mut rest = rest;
        match first.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
                while rest.first().is_some_and(|name| name == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child if self.children.contains(child) => rest = path,
            _ => return None,
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }
}

/// What one name of a `use` brings in.
pub(crate) struct Leaf {
    pub(crate) path: Names,
    /// Its name here; `None`: everything that stands behind the path.
    name: Option<String>,
}

/// Returns what a `use` brings in, name by name.
pub(crate) fn leaves(tree: &syn::UseTree) -> Vec<Leaf> {
    fn add(before: &[String], tree: &syn::UseTree, leaves: &mut Vec<Leaf>) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (path, name) = match tree {
            syn::UseTree::Path(path) => return add(&with(&path.ident), &path.tree, leaves),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| add(before, tree, leaves));
            }
            // `a::{self}` is `a`.
            syn::UseTree::Name(name) if name.ident == "self" => (before.to_vec(), before.last().cloned()),
            syn::UseTree::Name(name) => (with(&name.ident), Some(name.ident.to_string())),
            syn::UseTree::Rename(name) => (with(&name.ident), Some(name.rename.to_string())),
            syn::UseTree::Glob(_) => (before.to_vec(), None),
        };
        leaves.push(Leaf { path, name });
    }
    let mut found = Vec::new();
    add(&[], tree, &mut found);
    found
}
