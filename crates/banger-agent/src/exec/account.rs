//! Users and groups, read from `/etc/passwd` and `/etc/group`, because a static program has no name service to ask.

use std::path::{Path, PathBuf};

use crate::os::spawn::Credentials;

/// The user and groups of a command, with its home directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: Vec<u8>,
    pub(crate) credentials: Credentials,
    pub(crate) home: Vec<u8>,
    pub(crate) shell: Vec<u8>,
}

/// There is no such user or group.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AccountError {
    #[error("there is no user `{0}`")]
    NoSuchUser(String),
    #[error("there is no group `{0}`")]
    NoSuchGroup(String),
    #[error("the user id `{0}` is not between 0 and {ID_MAX}")]
    UserOutOfRange(String),
    #[error("the group id `{0}` is not between 0 and {ID_MAX}")]
    GroupOutOfRange(String),
}

/// The highest ID that a command can run as. The kernel reads 4294967295 as "unchanged", which is root; like docker, we use
/// the limit of programs with signed IDs.
const ID_MAX: u32 = i32::MAX.unsigned_abs();

/// A name that may be an ID.
enum Id {
    Valid(u32),
    OutOfRange,
    NotANumber,
}

impl Id {
    fn of(text: &str) -> Self {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::NotANumber;
        }
        match text.parse() {
            Ok(id) if id <= ID_MAX => Self::Valid(id),
            Ok(_) | Err(_) => Self::OutOfRange,
        }
    }
}

/// The two account files of a root.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountFiles {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

impl AccountFiles {
    /// Reads the files below `root`. A missing file counts as an empty one: an image may have none.
    pub(crate) fn read(root: &Path) -> Self {
        let read = |name: &str| std::fs::read(root.join(name)).unwrap_or_default();
        Self { passwd: read("etc/passwd"), group: read("etc/group") }
    }

    /// Finds the account for `user` or `user:group`, each a name or a number; an empty user means root, an empty group the
    /// user's own.
    pub(crate) fn resolve(&self, wanted: &str) -> Result<Account, AccountError> {
        let (user, group) = wanted.split_once(':').unwrap_or((wanted, ""));
        let mut account = self.user(if user.is_empty() { "root" } else { user })?;
        if !group.is_empty() {
            let gid = self.group_id(group)?;
            account.credentials.gid = gid;
            account.credentials.groups = vec![gid];
        }
        let Credentials { uid, gid, groups } = &mut account.credentials;
        if *uid > ID_MAX {
            return Err(AccountError::UserOutOfRange(uid.to_string()));
        }
        if *gid > ID_MAX {
            return Err(AccountError::GroupOutOfRange(gid.to_string()));
        }
        // The kernel refuses the whole list if it contains one of them.
        groups.retain(|group| *group <= ID_MAX);
        Ok(account)
    }

    fn user(&self, wanted: &str) -> Result<Account, AccountError> {
        let id = Id::of(wanted);
        let by_name = self.users().find(|user| user.name == wanted.as_bytes());
        let by_id = || self.users().find(|user| matches!(id, Id::Valid(uid) if uid == user.uid));
        if let Some(user) = by_name.or_else(by_id) {
            return Ok(Account {
                name: user.name.to_vec(),
                credentials: Credentials {
                    uid: user.uid,
                    gid: user.gid,
                    groups: self.groups_of(user.name, user.gid),
                },
                home: or_default(user.home, b"/"),
                shell: or_default(user.shell, b"/bin/sh"),
            });
        }
        let uid = match (wanted, id) {
            ("root", _) => 0,
            (_, Id::Valid(uid)) => uid,
            (_, Id::OutOfRange) => return Err(AccountError::UserOutOfRange(wanted.to_owned())),
            (_, Id::NotANumber) => return Err(AccountError::NoSuchUser(wanted.to_owned())),
        };
        // Without an entry, the number is still valid; its group is root's, as in containers.
        Ok(Account {
            name: wanted.as_bytes().to_vec(),
            credentials: Credentials { uid, gid: 0, groups: vec![0] },
            home: if uid == 0 { b"/root".to_vec() } else { b"/".to_vec() },
            shell: b"/bin/sh".to_vec(),
        })
    }

    fn group_id(&self, wanted: &str) -> Result<u32, AccountError> {
        if let Some(group) = self.groups().find(|group| group.name == wanted.as_bytes()) {
            return Ok(group.gid);
        }
        match Id::of(wanted) {
            Id::Valid(gid) => Ok(gid),
            Id::OutOfRange => Err(AccountError::GroupOutOfRange(wanted.to_owned())),
            Id::NotANumber => Err(AccountError::NoSuchGroup(wanted.to_owned())),
        }
    }

    fn groups_of(&self, name: &[u8], primary: u32) -> Vec<u32> {
        let mut ids = vec![primary];
        for group in self.groups() {
            if !ids.contains(&group.gid) && group.members.split(|b| *b == b',').any(|member| member == name) {
                ids.push(group.gid);
            }
        }
        ids
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        lines(&self.passwd).filter_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let _password = fields.next()?;
            let uid = number(fields.next()?)?;
            let gid = number(fields.next()?)?;
            let _full_name = fields.next();
            let home = fields.next().unwrap_or_default();
            let shell = fields.next().unwrap_or_default();
            Some(User { name, uid, gid, home, shell })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        lines(&self.group).filter_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let _password = fields.next()?;
            let gid = number(fields.next()?)?;
            Some(Group { name, gid, members: fields.next().unwrap_or_default() })
        })
    }
}

/// Returns the path of `inside` (absolute in the guest) below `root`.
pub(crate) fn below(root: &Path, inside: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let inside = Path::new(std::ffi::OsStr::from_bytes(inside));
    root.join(inside.strip_prefix("/").unwrap_or(inside))
}

struct User<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
    shell: &'a [u8],
}

struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|b| *b == b'\n').filter(|line| !line.starts_with(b"#"))
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn or_default(value: &[u8], default: &[u8]) -> Vec<u8> {
    if value.is_empty() { default.to_vec() } else { value.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files() -> AccountFiles {
        AccountFiles {
            passwd: b"root:x:0:0:root:/root:/bin/bash\n# note\n+::::::\nbroken:x:y\n\
                ada:x:1000:1001:Ada,,,:/home/ada:/bin/zsh\nbare:x:7:8::\n1000:x:5:5::/five:"
                .to_vec(),
            group: b"root:x:0:\nwheel:x:10:root,ada\nada:x:1001:ada\ndocker:x:998:adam,ada\n".to_vec(),
        }
    }

    #[test]
    fn a_name_gives_all_its_groups() {
        let ada = files().resolve("ada").unwrap();
        assert_eq!(ada.credentials, Credentials { uid: 1000, gid: 1001, groups: vec![1001, 10, 998] });
        assert_eq!((ada.home.as_slice(), ada.shell.as_slice()), (&b"/home/ada"[..], &b"/bin/zsh"[..]));
    }

    #[test]
    fn a_name_of_digits_comes_before_the_number() {
        assert_eq!(files().resolve("1000").unwrap().credentials.uid, 5);
    }

    #[test]
    fn a_number_without_an_entry_is_taken_as_it_is() {
        let account = files().resolve("4242").unwrap();
        assert_eq!(account.credentials, Credentials { uid: 4242, gid: 0, groups: vec![0] });
        assert_eq!(account.home, b"/");
    }

    #[test]
    fn an_explicit_group_is_the_only_one() {
        assert_eq!(files().resolve("ada:docker").unwrap().credentials.groups, [998]);
        assert_eq!(
            files().resolve("0:33").unwrap().credentials,
            Credentials { uid: 0, gid: 33, groups: vec![33] }
        );
    }

    #[test]
    fn missing_fields_have_defaults() {
        let bare = files().resolve("bare").unwrap();
        assert_eq!((bare.home.as_slice(), bare.shell.as_slice()), (&b"/"[..], &b"/bin/sh"[..]));
    }

    #[test]
    fn root_exists_without_files() {
        let root = AccountFiles::default().resolve("").unwrap();
        assert_eq!((root.credentials.uid, root.home.as_slice()), (0, &b"/root"[..]));
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(files().resolve("eve"), Err(AccountError::NoSuchUser("eve".into())));
        assert_eq!(files().resolve("ada:eve"), Err(AccountError::NoSuchGroup("eve".into())));
        assert_eq!(files().resolve("12x"), Err(AccountError::NoSuchUser("12x".into())));
        assert_eq!(files().resolve("-"), Err(AccountError::NoSuchUser("-".into())));
    }

    #[test]
    fn ids_that_the_kernel_or_a_program_would_take_for_others_are_refused() {
        let passwd = b"\nminus:x:4294967295:0::/:\nodd:x:7:4294967295::/:\nfar:x:2147483648:0::/:\n".to_vec();
        let group = b"minus:x:4294967295:ada\n".to_vec();
        let files = AccountFiles { passwd: [files().passwd, passwd].concat(), group };
        for id in ["4294967295", "-1", "2147483648", "4294967296", "99999999999999999999", "minus", "far"] {
            let outcome = files.resolve(id);
            assert!(matches!(outcome, Err(AccountError::UserOutOfRange(_))), "{id}: {outcome:?}");
        }
        for id in ["ada:4294967295", "0:-1", "0:2147483648", "0:minus", "odd"] {
            let outcome = files.resolve(id);
            assert!(matches!(outcome, Err(AccountError::GroupOutOfRange(_))), "{id}: {outcome:?}");
        }
        assert_eq!(files.resolve("2147483647:2147483647").unwrap().credentials.uid, 2_147_483_647);
        // A group in the file with an ID that is not allowed is ignored.
        assert_eq!(files.resolve("ada").unwrap().credentials.groups, [1001]);
    }

    #[test]
    fn an_empty_user_is_root_and_an_empty_group_the_users_own() {
        assert_eq!(files().resolve("ada:"), files().resolve("ada"));
        assert_eq!(
            files().resolve(":33").unwrap().credentials,
            Credentials { uid: 0, gid: 33, groups: vec![33] }
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_a_command_run_as_an_id_out_of_range(
            user in "[-+]?[0-9]{1,12}(:[-+]?[0-9]{0,12})?", uid in any::<u32>(), gid in any::<u32>(),
        ) {
            let passwd = format!("some:x:{uid}:{gid}::/:\n").into_bytes();
            let files = AccountFiles { passwd, group: format!("some:x:{gid}:some\n").into_bytes() };
            for wanted in [user.as_str(), "some", "some:some"] {
                if let Ok(account) = files.resolve(wanted) {
                    let Credentials { uid, gid, groups } = account.credentials;
                    prop_assert!(groups.iter().chain([&uid, &gid]).all(|id| *id <= ID_MAX));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            passwd in prop::collection::vec(any::<u8>(), 0..400),
            group in prop::collection::vec(any::<u8>(), 0..400),
            user in ".{0,12}",
        ) {
            let _ = AccountFiles { passwd, group }.resolve(&user);
        }

        #[test]
        fn every_listed_user_is_found(names in prop::collection::hash_set("[a-z][a-z0-9-]{0,8}", 1..20)) {
            let mut passwd = Vec::new();
            for (uid, name) in names.iter().enumerate() {
                passwd.extend(format!("{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n").into_bytes());
            }
            let files = AccountFiles { passwd, group: Vec::new() };
            for (uid, name) in names.iter().enumerate() {
                prop_assert_eq!(files.resolve(name).unwrap().credentials.uid as usize, uid);
            }
        }
    }
}
