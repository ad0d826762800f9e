use std::process::Command;

use banger_ext4::{EntryKind, Ext4Reader, Ext4Writer, FormatOptions, Journal, Metadata};
use proptest::prelude::*;

use super::*;
use crate::test_files::{assert_clean, key, other_key};

fn options() -> FormatOptions {
    FormatOptions {
        size_bytes: 16 << 20,
        label: String::new(),
        uuid: [1; 16],
        hash_seed: [2; 16],
        created_at: 1_700_000_000,
        inodes_min: 0,
        journal: Journal::None,
    }
}

/// Provisions a home that is filled by `fill`; returns the new one.
fn provisioned(fill: impl FnOnce(&mut Ext4Writer)) -> (tempfile::TempDir, Ext4Reader) {
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (place.path().join("old.ext4"), place.path().join("new.ext4"));
    let mut writer = Ext4Writer::create(&old, options()).unwrap();
    fill(&mut writer);
    writer.finish().unwrap();
    let reader = Ext4Reader::open(&old).unwrap();
    let mut edit = Ext4Edit::begin(&reader, b"", &new, options()).unwrap();
    provision_authorized_key(&mut edit, &key()).unwrap();
    edit.finish().unwrap();
    assert_clean(&new);
    let reader = Ext4Reader::open(&new).unwrap();
    (place, reader)
}

fn add(writer: &mut Ext4Writer, path: &str, mode: u32, kind: EntryKind<'_>) {
    let metadata = Metadata { mode, uid: 1000, gid: 1000, ..Metadata::default() };
    writer.add(path.as_bytes(), &metadata, kind).unwrap();
}

fn add_file(writer: &mut Ext4Writer, path: &str, mode: u32, content: &[u8]) {
    add(writer, path, mode, EntryKind::File { size: content.len() as u64, content: &mut &*content });
}

#[track_caller]
fn assert_lets_in(home: &Ext4Reader, list: &str) {
    for (path, mode) in [(&b""[..], 0o755), (DIRECTORY, 0o700), (LIST, 0o600)] {
        let metadata = home.entry(path).unwrap().unwrap().metadata;
        assert_eq!((metadata.mode, metadata.uid, metadata.gid), (mode, 0, 0), "{}", path.escape_ascii());
        assert!(metadata.xattrs.is_empty(), "an access control list may let others write");
    }
    assert_eq!(String::from_utf8(home.read(LIST, 1 << 20).unwrap().unwrap()).unwrap(), list);
}

#[test]
fn an_empty_home_lets_the_key_in() {
    let (_place, home) = provisioned(|_| {});
    assert_lets_in(&home, &format!("{}\n", key().line));
}

#[test]
fn modes_owners_and_lists_that_sshd_would_refuse_are_put_right() {
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\xe8\x03\0\0\x04\0\x05\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
    let theirs = "ssh-ed25519 AAAA not a key\n# a remark\n";
    let (_place, home) = provisioned(|writer| {
        let xattrs = vec![(b"system.posix_acl_access".to_vec(), acl.to_vec())];
        let shared = Metadata { mode: 0o777, uid: 5, gid: 5, xattrs, ..Metadata::default() };
        writer.add(b"", &shared, EntryKind::Directory).unwrap();
        writer.add(b".ssh", &shared, EntryKind::Directory).unwrap();
        add_file(writer, ".ssh/authorized_keys", 0o666, theirs.as_bytes());
        add_file(writer, ".ssh/config", 0o644, b"Host x\n");
    });
    assert_lets_in(&home, &format!("{theirs}{}\n", key().line));
    assert_eq!(home.read(b".ssh/config", 99).unwrap().unwrap(), b"Host x\n");
}

#[test]
fn what_is_no_directory_and_no_file_is_replaced_and_never_followed() {
    let link = |writer: &mut Ext4Writer, path: &str, target: &str| {
        add(writer, path, 0o777, EntryKind::Symlink(target.as_bytes()));
    };
    let ours = format!("{}\n", key().line);
    let (_place, home) = provisioned(|writer| {
        add(writer, "elsewhere", 0o755, EntryKind::Directory);
        link(writer, ".ssh", "elsewhere");
    });
    assert_lets_in(&home, &ours);
    assert!(!home.exists(b"elsewhere/authorized_keys").unwrap());
    let (_place, home) = provisioned(|writer| {
        add_file(writer, "secret", 0o600, b"secret\n");
        link(writer, ".ssh/authorized_keys", "../secret");
    });
    assert_lets_in(&home, &ours);
    assert_eq!(home.read(b"secret", 99).unwrap().unwrap(), b"secret\n");
    let (_place, home) =
        provisioned(|writer| add(writer, ".ssh/authorized_keys/deep", 0o755, EntryKind::Directory));
    assert_lets_in(&home, &ours);
    let (_place, home) = provisioned(|writer| add(writer, ".ssh", 0o600, EntryKind::Fifo));
    assert_lets_in(&home, &ours);
    let (_place, home) =
        provisioned(|writer| add_file(writer, ".ssh/authorized_keys", 0o600, &vec![b'x'; 2 << 20]));
    assert_lets_in(&home, &ours);
}

#[test]
fn a_key_that_is_there_under_another_remark_is_not_doubled() {
    let bare = key().line.rsplit_once(' ').unwrap().0.to_owned();
    let present = format!("{bare} old remark\n{}\n{bare}", other_key().line);
    let list = with_key(present.as_bytes(), &key());
    assert_eq!(String::from_utf8(list).unwrap(), format!("{}\n{}\n", other_key().line, key().line));
}

#[test]
fn a_fingerprint_is_what_ssh_keygen_prints() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("key.pub");
    std::fs::write(&path, &key().line).unwrap();
    let printed = Command::new("ssh-keygen").arg("-lf").arg(&path).output().unwrap().stdout;
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(printed.split_whitespace().nth(1).unwrap(), key().fingerprint().as_str());
}

#[test]
fn only_a_fingerprint_is_one() {
    let good = key().fingerprint().to_string();
    assert_eq!(KeyFingerprint::try_from(good.clone()).unwrap().as_str(), good);
    for bad in ["", "SHA256:", "MD5:00:11", &good[..20], "SHA256:ÄÄÄ"] {
        assert!(KeyFingerprint::try_from(bad.to_owned()).is_err(), "{bad}");
    }
    assert!("ssh-ed25519 AAAA".parse::<AuthorizedKey>().is_err());
}

proptest! {
    #[test]
    fn other_lines_stay_and_a_second_pass_changes_nothing(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
        is_ended in any::<bool>(),
    ) {
        let mut present = lines.join(&b'\n');
        if is_ended {
            present.push(b'\n');
        }
        let list = with_key(&present, &key());
        prop_assert!(list.starts_with(&present));
        prop_assert_eq!(with_key(&list, &key()), list);
    }
}
