use std::collections::BTreeMap;

use proptest::prelude::*;
use tar::EntryType;

use super::*;
use crate::oci::test_layers::{Node, Root, Tar};

fn root(layers: impl IntoIterator<Item = Tar>) -> Result<Root, LayerError> {
    Root::of(&layers.into_iter().map(Tar::bytes).collect::<Vec<_>>())
}

fn listing(layers: impl IntoIterator<Item = Tar>) -> Vec<String> {
    root(layers).unwrap().listing()
}

fn lower() -> Tar {
    Tar::new().directory("./d", 0o700).file("./d/old", "1").file("d/e/older", "2").file("keep", "3")
}

#[test]
fn a_whiteout_hides_what_is_below_it_and_nothing_of_its_own_layer() {
    let first = Tar::new().file("d/.wh.old", "").file("d/old", "new").file(".wh.keep", "");
    let last = Tar::new().file("d/old", "new").file("d/.wh.old", "").file("./.wh.keep", "");
    for upper in [first, last] {
        assert_eq!(listing([lower(), upper]), ["d/", "d/e/", "d/e/older=2", "d/old=new"]);
    }
}

#[test]
fn an_opaque_directory_shows_its_own_layer_only() {
    let first = Tar::new().file("d/.wh..wh..opq", "").file("d/e/new", "4");
    let last = Tar::new().file("d/e/new", "4").file("d/.wh..wh..opq", "");
    for upper in [first, last] {
        let root = root([lower(), upper]).unwrap();
        assert_eq!(root.listing(), ["d/", "d/e/", "d/e/new=4", "keep=3"]);
        assert_eq!(root.nodes()["d"], Node::Directory(0o700), "the directory itself is the lower one");
    }
    assert_eq!(listing([Tar::new().file("only/.wh..wh..opq", "")]), ["only/"]);
    assert_eq!(listing([lower(), Tar::new().file(".wh..wh..opq", "").file("new", "5")]), ["new=5"]);
}

#[test]
fn other_marks_of_old_builders_mean_nothing() {
    let upper =
        Tar::new().directory(".wh..wh.plnk", 0o700).file(".wh..wh.plnk/1.2", "x").file(".wh..wh.aufs", "");
    assert_eq!(listing([Tar::new().file("a", "1"), upper]), ["a=1"]);
}

#[test]
fn a_hard_link_reaches_into_lower_layers() {
    let root =
        root([lower(), Tar::new().hard_link("link", "d/old"), Tar::new().file("d/old", "new")]).unwrap();
    assert_eq!(root.listing(), ["d/", "d/e/", "d/e/older=2", "d/old=new", "keep=3", "link=1"]);
    assert!(root.debugfs("stat /link").contains("Links: 1 "));
    let same = self::root([Tar::new().file("a", "1").hard_link("b", "./a").hard_link("c", "/b")]).unwrap();
    assert!(same.debugfs("stat /c").contains("Links: 3 "));
}

#[test]
fn directories_and_others_replace_each_other() {
    let upper = Tar::new().file("d", "file").directory("keep", 0o750).file("keep/in", "4");
    assert_eq!(listing([lower(), upper]), ["d=file", "keep/", "keep/in=4"]);
    let links = Tar::new().symlink("d", "keep").symlink("keep", "d");
    assert_eq!(listing([lower(), links]), ["d -> keep", "keep -> d"]);
    let again = Tar::new().symlink("d", "keep");
    assert_eq!(listing([lower(), again, Tar::new().directory("d", 0o755)]), ["d/", "keep=3"]);
}

#[test]
fn a_directory_that_comes_again_gets_new_attributes_and_keeps_its_files() {
    let root = root([lower(), Tar::new().directory("d", 0o2775)]).unwrap();
    assert_eq!(root.nodes()["d"], Node::Directory(0o2775));
    assert!(root.listing().contains(&"d/old=1".to_owned()));
}

#[test]
fn devices_are_left_out_and_hide_what_was_there() {
    let upper = Tar::new()
        .raw(EntryType::Char, b"d/old", b"", 0o666, b"")
        .raw(EntryType::Block, b"dev/sda", b"", 0o660, b"")
        .raw(EntryType::Fifo, b"fifo", b"", 0o640, b"");
    assert_eq!(listing([lower(), upper]), ["d/", "d/e/", "d/e/older=2", "fifo|", "keep=3"]);
}

#[test]
fn owners_modes_capabilities_and_lists_are_exact() {
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let acl =
        b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    let upper = Tar::new()
        .raw(EntryType::Regular, b"suid", b"", 0o4755, b"x")
        .with_xattrs("ping", &[("security.capability", capability), ("user.note", b"a\nb")])
        .with_xattrs("listed", &[("system.posix_acl_access", acl)])
        .with_xattrs(
            "foreign",
            &[
                ("trusted.overlay.opaque", b"y"),
                ("user.overlay.redirect", b"/"),
                ("security.selinux", b"l"),
                ("com.apple.provenance", b"x"),
                ("user.kept", b"1"),
            ],
        );
    let root = root([upper]).unwrap();
    let metadata = root.view().metadata("/suid").unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o4755, 0o4755 * 3, 0o4755));
    let ping = root.debugfs("ea_list /ping");
    assert!(ping.contains("security.capability (20)") && ping.contains("user.note (3)"), "{ping}");
    assert!(root.debugfs("ea_list /listed").contains("system.posix_acl_access"));
    let foreign = root.debugfs("ea_list /foreign");
    assert!(foreign.contains("user.kept") && !foreign.contains("overlay") && !foreign.contains("selinux"));
}

#[test]
fn links_among_the_parents_are_followed_inside_the_root() {
    let lower = Tar::new().symlink("lib", "usr/lib").file("usr/lib/a", "1").symlink("usr/abs", "/usr/lib");
    let upper =
        Tar::new().file("lib/b", "2").file("usr/abs/c", "3").file("lib/.wh.a", "").hard_link("d", "lib/b");
    assert_eq!(
        listing([lower, upper]),
        ["d=2", "lib -> usr/lib", "usr/", "usr/abs -> /usr/lib", "usr/lib/", "usr/lib/b=2", "usr/lib/c=3"]
    );
}

#[test]
fn links_are_kept_as_they_are_wherever_they_point() {
    let upper = Tar::new().symlink("a", "../../../etc/passwd").symlink("b", "/etc/shadow").symlink("c", "c");
    assert_eq!(listing([upper]), ["a -> ../../../etc/passwd", "b -> /etc/shadow", "c -> c"]);
}

#[test]
fn what_makes_a_machine_itself_stays_out() {
    let upper = Tar::new()
        .file("etc/ssh/ssh_host_rsa_key", "secret")
        .file("etc/ssh/sshd_config", "x")
        .file("var/lib/systemd/random-seed", "x")
        .file(".dockerenv", "");
    assert_eq!(listing([upper]), ["etc/", "etc/ssh/", "etc/ssh/sshd_config=x"]);
}

#[test]
fn entries_that_leave_the_root_are_refused_and_named() {
    let refusal = |tar: Tar| match root([tar]) {
        Err(error @ LayerError::Hostile { .. }) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(root) => panic!("{:?}", root.listing()),
    };
    let file = |path: &[u8]| Tar::new().raw(EntryType::Regular, path, b"", 0o644, b"x");
    assert_eq!(
        refusal(file(b"../etc/passwd")),
        "it has the entry `../etc/passwd`, which leads out of the root"
    );
    for path in [&b"a/../../b"[..], b"/../b", b"a/b/../../../b", b"..", b"/..", b"d/.wh..."] {
        refusal(file(path));
    }
    for link in [&b"../outside"[..], b"a/../../outside", b"/../outside"] {
        refusal(Tar::new().raw(EntryType::Link, b"link", link, 0o644, b""));
    }
    assert!(!refusal(file(b"\x1b[2J/../../x")).contains('\x1b'));
}

#[test]
fn a_name_may_begin_at_the_root_and_go_back_inside_it() {
    let absolute = Tar::new()
        .directory("/", 0o755)
        .directory("//usr/./", 0o750)
        .file("/usr/tool", "1")
        .hard_link("/usr/other", "/usr/tool")
        .file("opt/app/../lib/x", "2")
        .hard_link("hard", "usr/../usr/tool")
        .directory("usr/..", 0o711);
    let upper = Tar::new().file("/opt/.wh.lib", "").file("/opt/y", "3");
    assert_eq!(
        listing([absolute, upper]),
        ["hard=1", "opt/", "opt/y=3", "usr/", "usr/other=1", "usr/tool=1"]
    );
}

#[test]
fn the_parent_of_the_root_is_the_root_for_links() {
    for target in ["..", "../../d", "/..", "/../../../d"] {
        let layer = Tar::new()
            .directory("d", 0o755)
            .symlink("out", target)
            .file("out/x", "1")
            .hard_link("link", "out/x")
            .file("out/.wh.never", "");
        let below = if target.ends_with('d') { "d/x=1" } else { "x=1" };
        let root = root([layer]).unwrap();
        assert!(root.listing().contains(&below.to_owned()), "{target}: {:?}", root.listing());
        assert!(root.listing().contains(&"link=1".to_owned()), "{target}");
    }
}

#[test]
fn what_stands_where_a_directory_is_needed_makes_room_for_it() {
    let lower = Tar::new().file("a", "1").file("b/c", "2").symlink("s", "a");
    let upper = Tar::new().file("a/b/c", "3").file("b/c/d", "4").file("s/x", "5");
    assert_eq!(
        listing([lower, upper]),
        ["a/", "a/b/", "a/b/c=3", "a/x=5", "b/", "b/c/", "b/c/d=4", "s -> a"]
    );
}

fn told(layers: impl IntoIterator<Item = Tar>) -> (Vec<String>, String) {
    let root = root(layers).unwrap();
    (root.listing(), root.left_out.sentence().unwrap_or_default())
}

#[test]
fn what_a_root_cannot_have_is_left_out_and_told() {
    let file = |path: &[u8]| Tar::new().raw(EntryType::Regular, path, b"", 0o644, b"x");
    let link = |target: &[u8]| Tar::new().raw(EntryType::Symlink, b"link", target, 0o777, b"");
    let circle = Tar::new().symlink("in", "out").symlink("out", "in").file("in/x", "1");
    let mut sentences = String::new();
    for tar in [
        file(b"a\0b"),
        file(&[b'n'; 256]),
        file(&b"d/".repeat(3000)),
        file(b"."),
        file(b".wh."),
        file(b"d/.wh.."),
        link(&[b'l'; 5000]),
        circle,
        Tar::new().hard_link("link", "missing"),
        Tar::new().directory("d", 0o755).hard_link("link", "d"),
        Tar::new()
            .raw(EntryType::Char, b"chroot/dev/null", b"", 0o666, b"")
            .hard_link("other", "chroot/dev/null"),
        Tar::new().file("etc/ssh/ssh_host_rsa_key", "secret").hard_link("backup", "etc/ssh/ssh_host_rsa_key"),
        Tar::new().raw(EntryType::new(b'V'), b"volume", b"", 0o644, b""),
        Tar::new().with_xattrs("file", &[("user.large", &[b'v'; 5000]), ("system.posix_acl_access", b"adm")]),
    ] {
        let (listing, sentence) = told([tar.file("kept", "1")]);
        assert!(listing.contains(&"kept=1".to_owned()) && !listing.iter().any(|line| line.contains('\0')));
        assert!(listing.iter().all(|line| !line.contains("secret") && line.len() < 100), "{listing:?}");
        sentences.push_str(&sentence);
        sentences.push('\n');
    }
    insta::assert_snapshot!(sentences.replace("left out of the image: ", ""), @r"
    1 name that is too long or has a NUL byte (`a b`)
    1 name that is too long or has a NUL byte (`nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…`)
    1 name that is too long or has a NUL byte (`d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/…`)
    1 entry in place of the root (`/`)
    1 whiteout without a name (`.wh.`)
    1 whiteout without a name (`d/.wh..`)
    1 symbolic link without a usable target (`link`)
    1 entry behind a circle of links (`in/x`)
    1 hard link without a usable target (`link`)
    1 hard link without a usable target (`link`)
    1 device (`chroot/dev/null`), 1 hard link without a usable target (`other`)
    1 ssh host key (`etc/ssh/ssh_host_rsa_key`), 1 hard link without a usable target (`backup`)

    2 extended attributes or access control lists (for example `file`)
    ");
}

#[test]
fn kinds_that_nobody_knows_are_files_and_a_list_of_names_is_a_directory() {
    let tar = Tar::new().raw(EntryType::new(b'~'), b"odd", b"", 0o644, b"x").raw(
        EntryType::new(b'D'),
        b"dump",
        b"",
        0o750,
        b"Yname\0\0",
    );
    let (listing, sentence) = told([tar]);
    assert_eq!(listing, ["dump/", "odd=x"]);
    assert_eq!(sentence, "kept in the image: 1 entry of an unknown kind as a file (`odd`)");
}

#[test]
fn a_layer_with_other_bytes_than_its_digest_says_is_refused() {
    let tar = Tar::new().file("a", "1").bytes();
    let directory = tempfile::tempdir().unwrap();
    let options = banger_ext4::FormatOptions {
        size_bytes: 1 << 30,
        label: String::new(),
        uuid: [1; 16],
        hash_seed: [2; 16],
        created_at: 0,
        inodes_min: 0,
        journal: banger_ext4::Journal::None,
    };
    let mut writer = Ext4Writer::create(&directory.path().join("x"), options).unwrap();
    let mut layer = crate::oci::test_layers::layer(&tar);
    layer.diff_id = BlobDigest::of(b"other");
    let refused = add_layer(
        &mut writer,
        layer,
        &crate::limits::Allowance::endless(),
        &mut LeftOut::default(),
        &Cancelled::default(),
    );
    assert!(matches!(refused, Err(LayerError::Read(LayerReadError::WrongDigest { .. }))));
}

/// One entry of a layer.
#[derive(Clone, Debug)]
enum Change {
    Directory(u32),
    File(u32, u8),
    Symlink,
    Fifo,
    HardLink(String),
    Whiteout,
    Opaque,
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn change() -> impl Strategy<Value = (String, Change)> {
    let mode = || 0..0o10000_u32;
    let change = prop_oneof![
        3 => mode().prop_map(Change::Directory),
        6 => (mode(), any::<u8>()).prop_map(|(mode, content)| Change::File(mode, content)),
        1 => Just(Change::Symlink),
        1 => Just(Change::Fifo),
        2 => path().prop_map(Change::HardLink),
        3 => Just(Change::Whiteout),
        2 => Just(Change::Opaque),
    ];
    (path(), change)
}

type Model = BTreeMap<String, Node>;

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

fn is_directory(model: &Model, path: &str) -> bool {
    matches!(model.get(path), Some(Node::Directory(_)))
}

/// What the specification says: first everything that a layer hides is taken from those below it, then the layer's own
/// entries come. Returns the changes that make sense; the others are left out of the layer.
fn apply(model: &mut Model, changes: &[(String, Change)]) -> Vec<(String, Change)> {
    let below = model.clone();
    let blocked = |path: &str| ancestors(path).any(|up| below.contains_key(up) && !is_directory(&below, up));
    for (path, change) in changes {
        match change {
            Change::Whiteout if !blocked(path) => {
                model.retain(|known, _| known != path && !is_below(known, path));
            }
            Change::Opaque
                if !blocked(path) && below.get(path).is_none_or(|_| is_directory(&below, path)) =>
            {
                model.retain(|known, _| !is_below(known, path));
            }
            _ => {}
        }
    }
    let mut kept = Vec::new();
    for (path, change) in changes {
        if blocked(path) || ancestors(path).any(|up| model.contains_key(up) && !is_directory(model, up)) {
            continue;
        }
        let node = match change {
            Change::Whiteout => {
                kept.push((path.clone(), change.clone()));
                continue;
            }
            Change::Opaque => {
                // A mark in what is no directory, in the layers below or in this one, makes no sense.
                let is_sound = |known: &Model| known.get(path).is_none_or(|_| is_directory(known, path));
                // Nor does one in what the same layer hides: whether its directory is there depends on the order.
                let is_hidden = changes.iter().any(|(hidden, change)| match change {
                    Change::Whiteout => hidden == path || is_below(path, hidden),
                    Change::Opaque => is_below(path, hidden),
                    _ => false,
                });
                if is_sound(&below) && is_sound(model) && !is_hidden {
                    kept.push((path.clone(), change.clone()));
                    make_parents(model, path);
                    model.entry(path.clone()).or_insert(Node::Directory(0o755));
                }
                continue;
            }
            Change::HardLink(target) => match model.get(target) {
                Some(node) if !matches!(node, Node::Directory(_)) && !is_below(target, path) => node.clone(),
                _ => continue,
            },
            Change::Directory(mode) => Node::Directory(*mode),
            Change::File(mode, content) => Node::File(*mode, vec![*content; 5000]),
            Change::Symlink => Node::Symlink(b"x".to_vec()),
            Change::Fifo => Node::Fifo(0o600),
        };
        let stays = is_directory(model, path) && matches!(node, Node::Directory(_));
        if !stays {
            model.retain(|known, _| !is_below(known, path));
        }
        make_parents(model, path);
        model.insert(path.clone(), node);
        kept.push((path.clone(), change.clone()));
    }
    kept
}

fn make_parents(model: &mut Model, path: &str) {
    for up in ancestors(path) {
        model.entry(up.to_owned()).or_insert(Node::Directory(0o755));
    }
}

fn tar_of(changes: &[(String, Change)]) -> Vec<u8> {
    let mut tar = Tar::new();
    for (path, change) in changes {
        let bytes = path.as_bytes();
        tar = match change {
            Change::Directory(mode) => tar.directory(path, *mode),
            Change::File(mode, content) => tar.raw(EntryType::Regular, bytes, b"", *mode, &[*content; 5000]),
            Change::Symlink => tar.symlink(path, "x"),
            Change::Fifo => tar.raw(EntryType::Fifo, bytes, b"", 0o600, b""),
            Change::HardLink(target) => tar.hard_link(path, target),
            Change::Whiteout => match path.rsplit_once('/') {
                Some((up, name)) => tar.file(&format!("{up}/.wh.{name}"), ""),
                None => tar.file(&format!(".wh.{path}"), ""),
            },
            Change::Opaque => tar.file(&format!("{path}/.wh..wh..opq"), ""),
        };
    }
    tar.bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_layers_give_what_the_specification_says(
        layers in prop::collection::vec(prop::collection::vec(change(), 0..14), 1..5)
    ) {
        let mut model = Model::new();
        let tars: Vec<_> = layers.iter().map(|changes| tar_of(&apply(&mut model, changes))).collect();
        let root = Root::of(&tars).unwrap();
        prop_assert_eq!(root.nodes(), model);
    }
}
