//! Which modules the initramfs carries, and in which order they are loaded.
//! Source: `modules.dep(5)`; `modules.builtin` in Documentation/kbuild/kbuild.rst of the kernel.

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
    #[error("the kernel has no module `{0}`, without which no guest works")]
    Missing(String),
    #[error("the module `{module}` depends on `{dependency}`, which is not there")]
    MissingDependency { module: String, dependency: String },
    #[error("the modules depend on each other in a circle through `{0}`")]
    Circle(String),
}

/// The modules of one kernel, as `modules.dep` and `modules.builtin` list them.
#[derive(Debug)]
pub(crate) struct ModuleIndex<'a> {
    dependencies: BTreeMap<&'a str, Vec<&'a str>>,
    paths: BTreeMap<String, &'a str>,
    builtin: BTreeSet<String>,
}

impl<'a> ModuleIndex<'a> {
    pub(crate) fn parse(modules_dep: &'a str, modules_builtin: &str) -> Self {
        let dependencies: BTreeMap<_, Vec<_>> = modules_dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| (path.trim(), needs.split_whitespace().collect()))
            .collect();
        let paths = dependencies.keys().map(|path| (module_name(path), *path)).collect();
        let builtin = modules_builtin.lines().map(|path| module_name(path.trim())).collect();
        Self { dependencies, paths, builtin }
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

    #[test]
    fn dependencies_come_first_and_once() {
        let index = ModuleIndex::parse(DEP, "kernel/fs/ext4/ext4.ko\n");
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
        let index = ModuleIndex::parse(DEP, "");
        assert_eq!(
            index.load_order(&[("overlay", Need::Required)]),
            Err(ModulesError::Missing("overlay".to_owned()))
        );
        assert_eq!(index.load_order(&[("overlay", Need::Wanted)]), Ok(vec![]));
    }

    #[test]
    fn a_circle_is_an_error_and_no_endless_walk() {
        let index = ModuleIndex::parse("a.ko: b.ko\nb.ko: a.ko\n", "");
        assert_eq!(index.load_order(&[("a", Need::Required)]), Err(ModulesError::Circle("a.ko".to_owned())));
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
            let index = ModuleIndex::parse(&text, "");
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
