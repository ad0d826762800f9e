//! The paths that code names, including those inside macros.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

use crate::source::{Names, is_for_tests, leaves};

/// Collects the paths of the code that it visits.
#[derive(Default)]
pub(crate) struct Mentions(pub(crate) BTreeSet<Names>);

impl<'ast> Visit<'ast> for Mentions {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    /// The visibility of an item is not a use of the module that it names.
    fn visit_vis_restricted(&mut self, _visibility: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone());
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        self.0.extend(leaves(&import.tree).into_iter().map(|leaf| leaf.path));
    }

    fn visit_item(&mut self, item: &'ast syn::Item) {
        let is_skipped = match item {
            syn::Item::Fn(item) => is_for_tests(&item.attrs),
            syn::Item::Impl(item) => is_for_tests(&item.attrs),
            syn::Item::Mod(item) => is_for_tests(&item.attrs),
            syn::Item::Struct(item) => is_for_tests(&item.attrs),
            _ => false,
        };
        if !is_skipped {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        if !is_for_tests(&method.attrs) {
            syn::visit::visit_impl_item_fn(self, method);
        }
    }
}

impl Mentions {
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Names = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    colons = 0;
                    self.add_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end(&mut path);
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Names) {
        if !path.is_empty() {
            self.0.insert(std::mem::take(path));
        }
    }
}
