//! Directories by their paths inside a root. Links, including absolute ones, are followed as for a program with this root;
//! if a link's target does not exist yet, it is made there.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Component, Path, PathBuf},
};

/// The number that the kernel follows.
const LINKS_MAX: usize = 40;

/// Makes a directory of the root with all missing parents, and returns its path, free of links below `root`.
///
/// # Errors
/// [`io::ErrorKind::NotADirectory`] if a file is in the way.
pub(crate) fn make_directory(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut way = names(path);
    let mut done = Vec::<OsString>::new();
    let mut links = 0;
    while let Some(name) = way.pop_front() {
        if name == ".." {
            done.pop();
            continue;
        }
        let place = below(root, &done).join(&name);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                let target = fs::read_link(&place)?;
                if target.is_absolute() {
                    done.clear();
                }
                way = names(&target).into_iter().chain(way).collect();
                continue;
            }
            Ok(found) if !found.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_directory) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&place)?,
            Err(error) => return Err(error),
        }
        done.push(name);
    }
    Ok(below(root, &done))
}

/// Makes the directory even if its own name is a file or a link in a loop, which is then replaced.
pub(crate) fn make_directory_instead(root: &Path, path: &Path) -> io::Result<PathBuf> {
    match make_directory(root, path) {
        Err(error)
            if error.kind() == io::ErrorKind::NotADirectory || error.raw_os_error() == Some(libc::ELOOP) =>
        {
            let name = path.file_name().unwrap_or_default();
            let parent = make_directory(root, path.parent().unwrap_or(Path::new("/")))?;
            fs::remove_file(parent.join(name))?;
            make_directory(root, path)
        }
        outcome => outcome,
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::new("..").to_owned()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect()
}

fn below(root: &Path, names: &[OsString]) -> PathBuf {
    root.iter().chain(names.iter().map(OsString::as_os_str)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(links: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (link, target) in links {
            let link = root.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(target, link).unwrap();
        }
        root
    }

    fn made(root: &tempfile::TempDir, path: &str) -> String {
        let made = make_directory(root.path(), Path::new(path)).unwrap();
        assert!(fs::symlink_metadata(&made).unwrap().is_dir());
        format!("/{}", made.strip_prefix(root.path()).unwrap().display())
    }

    #[test]
    fn links_count_inside_the_root_also_those_to_nothing() {
        let root = root(&[
            ("root", "var/roothome"),
            ("home", "/var/home"),
            ("var", "/persist/../data/var"),
            ("up", "../../../x"),
            ("data/self", "."),
            ("var2/lib", "/up"),
        ]);
        for (path, place) in [
            ("/root", "/data/var/roothome"),
            ("/home/ada", "/data/var/home/ada"),
            ("up/../../y", "/y"),
            ("/up", "/x"),
            ("/data/self/self/a", "/data/a"),
            ("/var2/lib/docker", "/x/docker"),
            ("/new/deep", "/new/deep"),
            ("/", "/"),
            ("", "/"),
        ] {
            assert_eq!(made(&root, path), place, "{path}");
            assert_eq!(made(&root, path), place, "{path}, again");
        }
    }

    #[test]
    fn what_is_in_the_way_is_told_or_replaced() {
        let root = root(&[("round", "about"), ("about", "round"), ("to-file", "file")]);
        fs::write(root.path().join("file"), "").unwrap();
        for path in ["/file", "/file/x", "/to-file", "/round", "/round/x"] {
            make_directory(root.path(), Path::new(path)).unwrap_err();
        }
        for path in ["/to-file", "/file", "/round"] {
            make_directory_instead(root.path(), Path::new(path)).unwrap();
            assert_eq!(made(&root, path), path);
        }
        assert!(
            make_directory_instead(root.path(), Path::new("/about/x")).is_ok(),
            "a link to a directory by now"
        );
    }
}
