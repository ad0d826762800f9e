use std::fs;
use std::io::Write as _;

use super::*;

fn tar(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        // Written by hand: the builder itself refuses hostile paths.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        if kind.is_symlink() {
            header.set_link_name("/etc").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn deb(home: &Path, member: &str, data: &[u8]) -> PathBuf {
    let path = home.join("package.deb");
    let mut archive = ar::Builder::new(fs::File::create(&path).unwrap());
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), (member, data)] {
        let mut header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
        header.set_mtime(1_700_000_000);
        archive.append(&header, content).unwrap();
    }
    path
}

fn unpack(member: &str, data: &[u8]) -> (tempfile::TempDir, Result<Unpacked, DebError>) {
    let home = tempfile::tempdir().unwrap();
    let package = deb(home.path(), member, data);
    let target = home.path().join("target");
    fs::create_dir(&target).unwrap();
    let result =
        unpack_deb(&package, &target, |path| Some(Place::plain(path.to_owned())), &Cancelled::default());
    (home, result)
}

fn sample() -> Vec<u8> {
    tar(&[
        ("./", tar::EntryType::Directory, b""),
        ("./boot/vmlinuz", tar::EntryType::Regular, b"kernel"),
        ("./lib/link", tar::EntryType::Symlink, b""),
        ("./dev/null", tar::EntryType::Char, b""),
    ])
}

#[test]
fn files_come_out_of_every_compression() {
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(&sample()).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&sample()).unwrap();
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(sample().as_slice(), level);
    for (member, data) in [
        ("data.tar", sample()),
        ("data.tar.xz", xz.finish().unwrap()),
        ("data.tar.gz", gzip.finish().unwrap()),
        ("data.tar.zst", zstd),
    ] {
        let (home, result) = unpack(member, &data);
        assert_eq!(result.unwrap(), Unpacked { built_at: 1_700_000_000 });
        assert_eq!(fs::read(home.path().join("target/boot/vmlinuz")).unwrap(), b"kernel");
        assert!(!home.path().join("target/lib").exists(), "links are left out");
        assert!(!home.path().join("target/dev").exists(), "devices are left out");
    }
}

#[test]
fn a_path_that_leaves_the_package_is_refused() {
    for path in ["../evil", "./a/../../evil", "/evil", "a/.."] {
        let (home, result) = unpack("data.tar", &tar(&[(path, tar::EntryType::Regular, b"x")]));
        assert!(matches!(result, Err(DebError::Hostile { entry }) if entry == path));
        assert!(!home.path().join("evil").exists());
    }
}

#[test]
fn a_file_cannot_be_written_through_a_link_or_over_another() {
    let (home, result) = unpack(
        "data.tar",
        &tar(&[
            ("./etc", tar::EntryType::Symlink, b""),
            ("./etc/passwd", tar::EntryType::Regular, b"first"),
            ("./etc/passwd", tar::EntryType::Regular, b"second"),
        ]),
    );
    assert!(matches!(result, Err(DebError::Write { .. })));
    assert_eq!(fs::read(home.path().join("target/etc/passwd")).unwrap(), b"first");
}

#[test]
fn a_package_that_is_none_or_is_cut_is_an_error() {
    assert!(matches!(unpack("control.tar", b"").1, Err(DebError::NoMember { .. })));
    assert!(matches!(unpack("data.tar.lzo", b"").1, Err(DebError::UnknownCompression { .. })));
    assert!(matches!(unpack("data.tar.xz", b"nonsense").1, Err(DebError::Read { .. })));
    let cut = &sample()[..700];
    assert!(matches!(unpack("data.tar", cut).1, Err(DebError::Read { .. } | DebError::Write { .. })));
}

fn package(control: &str) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let control = tar(&[
        ("./md5sums", tar::EntryType::Regular, b""),
        ("./control", tar::EntryType::Regular, control.as_bytes()),
    ]);
    let package = deb(home.path(), "control.tar", &control);
    (home, package)
}

#[test]
fn a_package_says_what_it_is() {
    let (_home, path) = package(
        "Package: linux-image-6.1\nSource: linux (6.1)\nVersion: 6.1.192-2\narchitecture: amd64\nDescription: a: b\n",
    );
    let control = read_control(&path).unwrap();
    assert_eq!(control.package, "linux-image-6.1");
    assert_eq!((control.version.as_str(), control.architecture.as_str()), ("6.1.192-2", "amd64"));
}

#[test]
fn a_package_that_does_not_say_what_it_is_is_refused() {
    let (_home, path) = package("Package: linux\nVersion: \n");
    assert!(matches!(read_control(&path), Err(DebError::NoField { name: "Version", .. })));
    assert!(matches!(
        read_control(Path::new("/dev/null")),
        Err(DebError::Read { .. } | DebError::NoMember { .. })
    ));
}

#[test]
fn a_compressed_file_is_written_as_it_was_before() {
    let home = tempfile::tempdir().unwrap();
    let packed = crate::formats::compression::tests::pack("xz", &["-c"], b"module");
    let package = deb(home.path(), "data.tar", &tar(&[("./a.ko.xz", tar::EntryType::Regular, &packed)]));
    let place = |path: &Path| crate::kernel::module_tree::place_in_tree(path);
    unpack_deb(&package, &home.path().join("target"), place, &Cancelled::default()).unwrap();
    assert_eq!(fs::read(home.path().join("target/a.ko")).unwrap(), b"module");
}

#[test]
fn a_package_with_files_without_end_is_refused() {
    let names: Vec<_> = (0..=FILES_MAX).map(|number| format!("./{number}")).collect();
    let entries: Vec<_> =
        names.iter().map(|name| (name.as_str(), tar::EntryType::Regular, b"".as_slice())).collect();
    let (_home, result) = unpack("data.tar", &tar(&entries));
    assert!(matches!(result, Err(DebError::TooManyFiles { .. })), "{result:?}");
}

#[test]
fn a_package_that_unpacks_to_more_than_it_may_is_refused() {
    let gzip = |content: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    };
    let zeros = vec![0; 2 << 20];
    // Packed, packed twice as modules are, and in what no file is made of.
    for (data, compression) in [
        (gzip(&tar(&[("./file", tar::EntryType::Regular, &zeros)])), Compression::None),
        (tar(&[("./file.gz", tar::EntryType::Regular, &gzip(&zeros))]), Compression::Gzip),
        (gzip(&tar(&[("./device", tar::EntryType::Char, &zeros)])), Compression::None),
    ] {
        let home = tempfile::tempdir().unwrap();
        let member = if compression == Compression::None { "data.tar.gz" } else { "data.tar" };
        let package = deb(home.path(), member, &data);
        let unpack = |bytes_max| {
            let target = tempfile::tempdir().unwrap();
            let place = |path: &Path| Some(Place { path: path.to_owned(), compression });
            unpack_within(bytes_max, &package, target.path(), place, &Cancelled::default())
        };
        assert!(unpack(3 << 20).is_ok());
        assert!(matches!(unpack(1 << 20), Err(DebError::TooLarge { .. })));
    }
}
