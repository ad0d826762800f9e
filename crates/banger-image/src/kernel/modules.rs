//! Which modules the initramfs carries, and in which order they are loaded.
//! Sources: `modules.dep(5)`, `depmod.d(5)` for soft dependencies; `modules.builtin` in Documentation/kbuild/kbuild.rst
//! of the kernel.

use std::collections::{BTreeMap, BTreeSet};

/// Whether a guest can do without a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A kernel without it is of no use.
    Required,
    /// Taken where the kernel has it.
    Wanted,
}

/// What a guest needs to reach its disks, its network and its agent.
pub(crate) const GUEST_MODULES: &[(&str, Need)] = &[
    ("ext4", Need::Required),
    ("overlay", Need::Required),
    ("virtio_mmio", Need::Required),
    ("virtio_blk", Need::Required),
    ("virtio_net", Need::Required),
    ("virtio_console", Need::Required),
    ("virtio_pci", Need::Wanted),
    ("virtio_rng", Need::Wanted),
    ("virtio_balloon", Need::Wanted),
    ("vsock", Need::Wanted),
    ("vmw_vsock_virtio_transport", Need::Wanted),
];

/// Why there is no order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ModulesError {
    #[error("the kernel has no module `{0}`, which every guest needs")]
    Missing(String),
    #[error("the module `{module}` depends on `{dependency}`, which is missing")]
    MissingDependency { module: String, dependency: String },
    #[error("the modules have a dependency cycle through `{0}`")]
    Circle(String),
}

/// What `depmod` and the kernel's build tell about the modules of one kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ModuleTexts<'a> {
    /// `modules.dep`
    pub(crate) dep: &'a str,
    /// `modules.builtin`
    pub(crate) builtin: &'a str,
    /// `modules.softdep`
    pub(crate) softdep: &'a str,
    /// `modules.alias`
    pub(crate) alias: &'a str,
}

/// The modules of one kernel.
#[derive(Debug)]
pub(crate) struct ModuleIndex<'a> {
    dependencies: BTreeMap<&'a str, Vec<&'a str>>,
    paths: BTreeMap<String, &'a str>,
    builtin: BTreeSet<String>,
    /// What a module asks for before it, by its name: names or aliases. The kernel would ask for it through a program,
    /// which the initramfs does not have: `ext4` finds no `crc32c` then.
    softly: BTreeMap<String, Vec<String>>,
    aliases: BTreeMap<String, Vec<String>>,
}

impl<'a> ModuleIndex<'a> {
    pub(crate) fn parse(texts: ModuleTexts<'a>) -> Self {
        let dependencies: BTreeMap<_, Vec<_>> = texts
            .dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| (path.trim(), needs.split_whitespace().collect()))
            .collect();
        let paths = dependencies.keys().map(|path| (module_name(path), *path)).collect();
        let builtin = texts.builtin.lines().map(|path| module_name(path.trim())).collect();
        let mut softly: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (module, wishes) in texts.softdep.lines().filter_map(soft_dependency) {
            softly.entry(module).or_default().extend(wishes);
        }
        let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (alias, module) in texts.alias.lines().filter_map(plain_alias) {
            aliases.entry(alias).or_default().push(module);
        }
        Self { dependencies, paths, builtin, softly, aliases }
    }

    /// Returns the paths of these modules and all that they depend on, each after its dependencies.
    pub(crate) fn load_order(&self, modules: &[(&str, Need)]) -> Result<Vec<&'a str>, ModulesError> {
        let mut order =
            Order { index: self, done: BTreeSet::new(), open: BTreeSet::new(), paths: Vec::new() };
        for (name, need) in modules {
            match (self.paths.get(&module_name(name)), need) {
                (Some(path), _) => order.visit(path)?,
                (None, _) if self.builtin.contains(&module_name(name)) => {}
                (None, Need::Wanted) => {}
                (None, Need::Required) => return Err(ModulesError::Missing((*name).to_owned())),
            }
        }
        Ok(order.paths)
    }

    /// Returns the modules that a module asks for before it, where there are such.
    fn soft_dependencies(&self, path: &str) -> Vec<&'a str> {
        let wishes = self.softly.get(&module_name(path)).into_iter().flatten();
        let names = wishes.flat_map(|wish| {
            let aliased = self.aliases.get(wish).into_iter().flatten();
            std::iter::once(wish).chain(aliased)
        });
        names.filter_map(|name| self.paths.get(name).copied()).collect()
    }
}

/// Parses `softdep <module> pre: <names> post: <names>`; what is wanted after does not matter here.
fn soft_dependency(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.split_whitespace();
    if words.next()? != "softdep" {
        return None;
    }
    let module = module_name(words.next()?);
    let before = words.skip_while(|word| *word != "pre:").skip(1).take_while(|word| *word != "post:");
    Some((module, before.map(module_name).collect()))
}

/// Parses `alias <name> <module>`; patterns are for devices.
fn plain_alias(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let (Some("alias"), Some(alias), Some(module)) = (words.next(), words.next(), words.next()) else {
        return None;
    };
    (!alias.contains(['*', '?', '['])).then(|| (module_name(alias), module_name(module)))
}

/// A walk through the dependencies, deepest first.
struct Order<'i, 'a> {
    index: &'i ModuleIndex<'a>,
    done: BTreeSet<&'a str>,
    open: BTreeSet<&'a str>,
    paths: Vec<&'a str>,
}

impl<'a> Order<'_, 'a> {
    fn visit(&mut self, path: &'a str) -> Result<(), ModulesError> {
        if self.done.contains(path) {
            return Ok(());
        }
        if !self.open.insert(path) {
            return Err(ModulesError::Circle(path.to_owned()));
        }
        let index = self.index;
        for dependency in index.soft_dependencies(path) {
            self.visit_softly(dependency)?;
        }
        for dependency in index.dependencies.get(path).into_iter().flatten() {
            if !index.dependencies.contains_key(dependency) {
                let (module, dependency) = (path.to_owned(), (*dependency).to_owned());
                return Err(ModulesError::MissingDependency { module, dependency });
            }
            self.visit(dependency)?;
        }
        self.open.remove(path);
        self.done.insert(path);
        self.paths.push(path);
        Ok(())
    }

    /// A soft dependency that leads back to where it came from is left to its hard one.
    fn visit_softly(&mut self, path: &'a str) -> Result<(), ModulesError> {
        let open = self.open.clone();
        match self.visit(path) {
            Err(ModulesError::Circle(_)) => {
                self.open = open;
                Ok(())
            }
            visited => visited,
        }
    }
}

/// Returns a module's name: of its file, without suffixes; `-` and `_` are the same to the kernel.
pub(crate) fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    const DEP: &str = "\
kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio_ring.ko
";

    fn of_dep(dep: &str) -> ModuleIndex<'_> {
        ModuleIndex::parse(ModuleTexts { dep, ..ModuleTexts::default() })
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let index = ModuleIndex::parse(ModuleTexts {
            dep: DEP,
            builtin: "kernel/fs/ext4/ext4.ko\n",
            ..Default::default()
        });
        let wishes = [
            ("virtio_rng", Need::Wanted),
            ("ext4", Need::Required),
            ("virtio_blk", Need::Required),
            ("virtio_pci", Need::Wanted),
        ];
        assert_eq!(
            index.load_order(&wishes).unwrap(),
            [
                "kernel/drivers/virtio/virtio.ko",
                "kernel/drivers/virtio/virtio_ring.ko",
                "kernel/drivers/char/hw_random/virtio-rng.ko.xz",
                "kernel/drivers/block/virtio_blk.ko",
            ]
        );
    }

    #[test]
    fn a_missing_module_matters_only_when_it_is_required() {
        let index = of_dep(DEP);
        assert_eq!(
            index.load_order(&[("overlay", Need::Required)]),
            Err(ModulesError::Missing("overlay".to_owned()))
        );
        assert_eq!(index.load_order(&[("overlay", Need::Wanted)]), Ok(vec![]));
    }

    #[test]
    fn a_circle_is_an_error_and_no_endless_walk() {
        let index = of_dep("a.ko: b.ko\nb.ko: a.ko\n");
        assert_eq!(index.load_order(&[("a", Need::Required)]), Err(ModulesError::Circle("a.ko".to_owned())));
    }

    #[test]
    fn what_a_module_asks_for_softly_comes_before_it_also_by_an_alias() {
        let index = ModuleIndex::parse(ModuleTexts {
            dep: "ext4.ko: jbd2.ko\njbd2.ko:\ncrc32c_generic.ko:\ncrc32c-intel.ko:\nmd5.ko:\n",
            softdep: "# comment\nsoftdep ext4 pre: crc32c nowhere post: md5\nsoftdep jbd2 post: md5\n",
            alias: "alias crc32c crc32c_generic\nalias crc32c crc32c_intel\nalias cpu:type:* md5\n",
            ..ModuleTexts::default()
        });
        assert_eq!(
            index.load_order(&[("ext4", Need::Required)]).unwrap(),
            ["crc32c_generic.ko", "crc32c-intel.ko", "jbd2.ko", "ext4.ko"]
        );
    }

    #[test]
    fn a_soft_circle_is_no_error_and_keeps_the_hard_order() {
        let index = ModuleIndex::parse(ModuleTexts {
            dep: "a.ko:\nb.ko: a.ko\nc.ko: b.ko\n",
            softdep: "softdep a pre: c\n",
            ..ModuleTexts::default()
        });
        for wish in ["a", "b", "c"] {
            let order = index.load_order(&[(wish, Need::Required), ("c", Need::Required)]).unwrap();
            assert_eq!(order, ["a.ko", "b.ko", "c.ko"], "{wish}");
        }
    }

    proptest! {
        #[test]
        fn in_every_graph_each_module_comes_once_and_after_its_dependencies(
            edges in prop::collection::vec((1_usize..40, 0_usize..40), 0..120),
            wished in prop::collection::vec(0_usize..40, 1..10),
        ) {
            // An edge points to a smaller number, so there is no circle.
            let mut needs: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); 40];
            for (from, to) in edges {
                needs[from].insert(to % from);
            }
            let mut text = String::new();
            for (module, needs) in needs.iter().enumerate() {
                let list: String = needs.iter().map(|need| format!(" m{need}.ko")).collect();
                writeln!(text, "m{module}.ko:{list}").unwrap();
            }
            let names: Vec<String> = wished.iter().map(|module| format!("m{module}")).collect();
            let wishes: Vec<_> = names.iter().map(|name| (name.as_str(), Need::Required)).collect();
            let index = of_dep(&text);
            let order = index.load_order(&wishes).unwrap();
            let place = |module: usize| order.iter().position(|path| *path == format!("m{module}.ko"));
            prop_assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len());
            for module in wished {
                prop_assert!(place(module).is_some());
            }
            for (module, needs) in needs.iter().enumerate() {
                if let Some(own) = place(module) {
                    for need in needs {
                        prop_assert!(place(*need).unwrap() < own);
                    }
                }
            }
        }
    }
}
