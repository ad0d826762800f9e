//! What an image has beside its packages, and what of them it leaves out: pure, decided before anything is written.

use crate::image::recipe::Recipe;
use crate::image::sshd::{SSHD_DROP_IN, SSHD_DROP_IN_PATH};

/// One entry that is added after the packages; it replaces what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Addition {
    /// A file of root, 0644.
    File { path: String, content: String },
    /// A symbolic link.
    Link { path: String, target: String },
}

/// Left out of every image: what the agent gives each VM anew, what only a package manager needs, what a boot makes.
/// A path with a slash at its end means what is below it.
const LEFT_OUT: &[&str] = &[
    "boot/",
    "dev/",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/hostname",
    "etc/machine-id",
    "etc/resolv.conf",
    "proc/",
    "run/",
    "sys/",
    "tmp/",
    "var/log/journal",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/lib/apt/lists/",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/status-old",
    "var/lib/systemd/random-seed",
    "var/log/alternatives.log",
    "var/log/apt/",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
];

const HOST_KEY_PREFIX: &str = "etc/ssh/ssh_host_";

/// Tells whether an entry of the packages (a path without a slash in front) stays out of the image.
pub(crate) fn is_left_out(path: &[u8], recipe: &Recipe) -> bool {
    let is_named = |named: &str| match named.strip_suffix('/') {
        Some(_) => path.starts_with(named.as_bytes()),
        None => path == named.as_bytes(),
    };
    path.starts_with(HOST_KEY_PREFIX.as_bytes())
        || LEFT_OUT.iter().any(|named| is_named(named))
        || recipe.left_out.iter().any(|named| is_named(named))
}

/// Returns what is added after the packages.
pub(crate) fn additions(recipe: &Recipe) -> Vec<Addition> {
    let mask = |directory: &str, name: &String| Addition::Link {
        path: format!("etc/systemd/{directory}/{name}"),
        target: "/dev/null".to_owned(),
    };
    // An empty machine id is one that the agent fills in. A missing one would mean a first boot, where systemd enables
    // every unit by its preset.
    let empty_machine_id = Addition::File { path: "etc/machine-id".to_owned(), content: String::new() };
    let sshd = Addition::File { path: SSHD_DROP_IN_PATH.to_owned(), content: SSHD_DROP_IN.to_owned() };
    let files = recipe.files.iter().map(|file| Addition::File {
        path: file.path.clone(),
        content: file.content.trim_start_matches('\n').to_owned(),
    });
    let links = recipe
        .links
        .iter()
        .map(|link| Addition::Link { path: link.path.clone(), target: link.target.clone() });
    [empty_machine_id, sshd]
        .into_iter()
        .chain(files)
        .chain(links)
        .chain(recipe.masked_units.iter().map(|unit| mask("system", unit)))
        .chain(recipe.masked_generators.iter().map(|generator| mask("system-generators", generator)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::debian_recipe;

    fn recipe() -> Recipe {
        debian_recipe()
    }

    #[test]
    fn secrets_and_identities_stay_out() {
        for path in [
            "etc/ssh/ssh_host_ed25519_key",
            "etc/ssh/ssh_host_rsa_key.pub",
            "etc/machine-id",
            "etc/hostname",
            "etc/resolv.conf",
            "var/lib/apt/lists/partial",
            "dev/console",
        ] {
            assert!(is_left_out(path.as_bytes(), &recipe()), "{path}");
        }
    }

    #[test]
    fn the_rest_and_the_empty_directories_stay_in() {
        for path in [
            "dev",
            "boot",
            "var/log",
            "var/lib/apt/lists",
            "etc/ssh/sshd_config",
            "etc/hosts",
            "usr/bin/git",
            "",
        ] {
            assert!(!is_left_out(path.as_bytes(), &recipe()), "{path}");
        }
    }

    #[test]
    fn a_masked_unit_is_a_link_to_nothing_and_sshd_gets_its_drop_in() {
        let additions = additions(&recipe());
        let mask = Addition::Link {
            path: "etc/systemd/system/apt-daily.timer".to_owned(),
            target: "/dev/null".to_owned(),
        };
        assert!(additions.contains(&mask));
        assert!(additions.iter().any(|addition| matches!(addition, Addition::File { path, .. }
            if path == "etc/ssh/sshd_config.d/99-banger.conf")));
    }
}
