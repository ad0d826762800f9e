use std::collections::BTreeMap;
use std::io::Write as _;

use banger_model::{ArtifactKind, Hint};
use banger_sys::paths::Paths;

use super::*;
use crate::artifact::digest::sha256_hex;
use crate::kernel::Kernel;
use crate::kernel::bzimage::tests::{bzimage, pack_kernel};
use crate::kernel::elf::tests::elf_kernel;
use crate::kernel::test_trees::{TestRoot, assert_load_order, deb, write_modules};
use crate::pull::{PullError, Replace};
use crate::service::ImageService;

/// A state directory to import into.
struct Home {
    directory: tempfile::TempDir,
    service: ImageService,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let agent = directory.path().join("agent");
        fs::write(&agent, "the agent").unwrap();
        let key = crate::test_files::key();
        let service = ImageService::new(&Paths::under(directory.path()).unwrap(), agent, key);
        Self { directory, service }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What is in the store: kernels, and what was left behind.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("state/kernels")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn import(&self, request: ImportRequest) -> Result<Kernel, PullError> {
        self.import_over(request, Replace::Never).await
    }

    async fn import_over(&self, request: ImportRequest, replace: Replace) -> Result<Kernel, PullError> {
        let import = KernelImport::inspect(request).unwrap();
        self.service.import_kernel(import, replace, &Progress::silent()).await
    }
}

fn request(from: impl Into<PathBuf>) -> ImportRequest {
    ImportRequest { from: from.into(), name: None, distro: None, release: None, sha256: None }
}

fn of_root(root: &TestRoot) -> ImportRequest {
    ImportRequest { distro: Some(root.distro), ..request(root.path()) }
}

fn named(name: &str, request: ImportRequest) -> ImportRequest {
    ImportRequest { name: Some(name.parse().unwrap()), ..request }
}

fn refusal(request: ImportRequest) -> String {
    told(&KernelImport::inspect(request).unwrap_err())
}

/// The whole chain of causes.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Files of an initramfs by path.
fn unpacked(initramfs: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(initramfs).unwrap();
    let mut files = BTreeMap::new();
    let mut rest = bytes.as_slice();
    loop {
        let mut reader = cpio::NewcReader::new(rest).unwrap();
        if reader.entry().is_trailer() {
            return files;
        }
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        files.insert(reader.entry().name().to_owned(), content);
        rest = reader.finish().unwrap();
    }
}

/// All paths below a directory, with their content.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
    all
}

#[tokio::test]
async fn every_distribution_s_own_kernel_makes_a_matching_boot_stack() {
    for distro in Distro::ALL {
        let (home, root) = (Home::new(), TestRoot::new(distro));
        let before = contents(root.path());
        let kernel = home.import(of_root(&root)).await.unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!(contents(root.path()), before, "what is imported is not touched");

        let manifest = &kernel.manifest;
        assert_eq!((manifest.distro.as_str(), manifest.version.as_str()), (distro.as_str(), root.release));
        assert_eq!(
            (manifest.arch.as_str(), manifest.source.as_str()),
            (distro.arch(), root.path().to_str().unwrap())
        );
        assert!(manifest.has_pvh_entry);
        home.service.kernels().verify_content(&kernel).unwrap();
        assert_eq!(fs::read(kernel.vmlinux()).unwrap(), elf_kernel(root.release, true));
        assert_eq!(fs::read(kernel.vmlinuz().unwrap()).unwrap(), fs::read(root.vmlinuz()).unwrap());

        let initramfs = unpacked(&kernel.initramfs());
        assert_eq!(initramfs["init"], b"the agent");
        assert_load_order(&initramfs["modules/load.list"]);
        let loaded = std::str::from_utf8(&initramfs["modules/load.list"]).unwrap();
        for name in loaded.lines() {
            let content = &initramfs[&format!("modules/{name}")];
            assert!(content.starts_with(b"\x7fELF"), "{name} is unpacked");
        }

        let drive = fs::read(kernel.modules_drive().unwrap()).unwrap();
        let drive = ext4_view::Ext4::load(Box::new(drive)).unwrap();
        let dependencies = drive.read_to_string("/modules.dep").unwrap();
        let blk = "kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko \
                   kernel/drivers/virtio/virtio.ko\n";
        assert!(dependencies.contains(blk), "{dependencies}");
        assert!(drive.read("/kernel/fs/ext4/ext4.ko").unwrap().starts_with(b"\x7fELF"));
        assert!(drive.exists("/modules.dep.bin").unwrap());
        assert!(!drive.exists("/build").unwrap());
        assert_eq!(home.names(), [manifest.name.to_string()]);
    }
}

#[test]
fn what_brings_no_name_gets_one() {
    let names = Distro::ALL
        .map(|distro| KernelImport::inspect(of_root(&TestRoot::new(distro))).unwrap().name().to_string());
    assert_eq!(names, ["debian-6.12.57-deb13-cloud-amd64", "void-6.12.68_1", "alpine-6.6.100-0-virt"]);
    let home = Home::new();
    let of = |path: PathBuf| KernelImport::inspect(request(path)).map(|import| import.name().to_string());
    let package = deb(
        home.directory.path(),
        "linux-image-6.1.0-56-cloud-amd64-unsigned",
        "amd64",
        &TestRoot::new(Distro::Debian),
    );
    assert_eq!(of(package).unwrap(), "debian-6.1.0-56-cloud-amd64");
    for (file, name) in [("My Kernel.tar.zst", "my-kernel"), ("k.tzst", "k"), ("plain", "plain")] {
        fs::write(home.path(file), ZSTD_MAGIC).unwrap();
        assert_eq!(of(home.path(file)).unwrap(), name);
    }
    fs::write(home.path("x".repeat(70).as_str()), ZSTD_MAGIC).unwrap();
    let error = of(home.path("x".repeat(70).as_str())).unwrap_err();
    assert_eq!(error.to_string(), "it gives no valid kernel name; choose one with `--name`");
}

#[tokio::test]
async fn of_several_kernels_one_is_chosen_by_its_release_and_never_guessed() {
    let (home, root) = (Home::new(), TestRoot::new(Distro::Void));
    root.add("6.6.1_2");
    // A copy that nobody boots is none.
    fs::copy(root.vmlinuz(), root.path().join("boot/vmlinuz-old")).unwrap();
    let place = root.path().display();
    assert_eq!(
        refusal(of_root(&root)),
        format!("there are several kernels in `{place}`; choose one with `--release`: 6.12.68_1, 6.6.1_2")
    );
    let of = |release: &str| ImportRequest { release: Some(release.to_owned()), ..of_root(&root) };
    assert_eq!(
        refusal(of("6.6")),
        format!("there is no kernel `6.6` in `{place}`; it has 6.12.68_1, 6.6.1_2")
    );
    let kernel = home.import(of("6.6.1_2")).await.unwrap();
    assert_eq!(kernel.manifest.version, "6.6.1_2");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_made() {
    let home = tempfile::tempdir().unwrap();
    let root = TestRoot::new(Distro::Alpine);
    let place = |path: &Path| path.display().to_string();
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(
        refusal(request(&empty)),
        format!("there is neither `vmlinux` nor `vmlinuz` in `{}`", place(&empty))
    );
    let of_empty = ImportRequest { distro: Some(Distro::Alpine), ..request(&empty) };
    assert_eq!(
        refusal(of_empty),
        format!(
            "there is no kernel of alpine in `{}`: it would be `boot/vmlinuz-<flavour>`, as in `boot/vmlinuz-virt`",
            place(&empty)
        )
    );
    let missing = home.path().join("missing");
    assert_eq!(
        refusal(request(&missing)),
        format!("cannot read `{}`: No such file or directory (os error 2)", place(&missing))
    );
    let text = home.path().join("text");
    fs::write(&text, "text").unwrap();
    assert_eq!(
        refusal(request(&text)),
        format!(
            "`{}` is neither a directory, nor a Debian package, nor a bundle compressed with zstd",
            place(&text)
        )
    );
    let of_file = ImportRequest { distro: Some(Distro::Void), ..request(&text) };
    assert!(refusal(of_file).ends_with("`--distro` needs the directory of a root file system"));
    let release = ImportRequest { release: Some("6.1".to_owned()), ..request(&empty) };
    assert!(refusal(release).contains("`--distro`"));
    let digest = ImportRequest { sha256: Some("a".repeat(64).parse().unwrap()), ..request(root.path()) };
    assert!(refusal(digest).ends_with("is a directory; `--sha256` needs a file"));
    // The layout of another distribution.
    let of_void = ImportRequest { distro: Some(Distro::Void), ..request(root.path()) };
    assert!(refusal(of_void).contains("there is no kernel of void"));
    fs::remove_dir_all(root.modules()).unwrap();
    assert_eq!(
        refusal(of_root(&root)),
        format!("there are no modules for the kernel `6.6.100-0-virt` in `{}`", place(root.path()))
    );
    fs::write(root.vmlinuz(), "no kernel").unwrap();
    assert_eq!(
        refusal(of_root(&root)),
        format!("cannot use the kernel `{}`: the kernel is not a bzImage", place(&root.vmlinuz()))
    );
}

#[test]
fn links_lead_to_what_was_not_given() {
    let (home, root) = (tempfile::tempdir().unwrap(), TestRoot::new(Distro::Debian));
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, home.path().join(name)).unwrap();
    link(&root.vmlinuz(), "vmlinuz");
    assert_eq!(
        refusal(request(home.path())),
        format!("`{}` is not a regular file", home.path().join("vmlinuz").display())
    );
    link(&root.path().join("boot"), "boot");
    link(&root.path().join("usr"), "usr");
    let of_links = ImportRequest { distro: Some(Distro::Debian), ..request(home.path()) };
    assert!(refusal(of_links).contains("there is no kernel of debian"));
}

/// A directory as a kernel's build leaves it.
fn build_directory(release: &str, elf: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vmlinuz"), bzimage(release, &pack_kernel("zstd", elf))).unwrap();
    directory
}

#[tokio::test]
async fn parts_in_a_directory_make_a_boot_stack_and_its_initramfs_is_left_out_aloud() {
    for place in ["modules", "modules/6.1.7", "lib/modules/6.1.7"] {
        let (home, parts) = (Home::new(), build_directory("6.1.7", &elf_kernel("6.1.7", true)));
        write_modules(&parts.path().join(place), Distro::Debian);
        fs::write(parts.path().join("initramfs"), "somebody's").unwrap();
        let import = KernelImport::inspect(named("mine", request(parts.path()))).unwrap();
        let (told, stages) = std::sync::mpsc::channel();
        let progress = Progress::new(move |stage| told.send(stage).unwrap());
        let kernel = home.service.import_kernel(import, Replace::Never, &progress).await.unwrap();
        drop(progress);
        assert!(kernel.modules_drive().is_some(), "{place}");
        assert_eq!((kernel.manifest.distro.as_str(), kernel.manifest.version.as_str()), ("custom", "6.1.7"));
        assert_eq!(unpacked(&kernel.initramfs())["init"], b"the agent");
        let stages: Vec<_> = stages.iter().map(|stage| stage.name).collect();
        assert_eq!(
            stages,
            [
                "leave out initramfs",
                "copy modules",
                "read kernel",
                "index modules",
                "build initramfs",
                "write modules drive",
                "write manifest",
                "publish kernel",
            ]
        );
    }
}

#[tokio::test]
async fn a_kernel_with_everything_built_in_needs_no_modules_and_another_one_does() {
    let (home, elf) = (Home::new(), elf_kernel("6.1.7", true));
    let kernel = home.import(named("all", request(build_directory("6.1.7", &elf).path()))).await.unwrap();
    assert_eq!(kernel.modules_drive(), None);
    assert_eq!(unpacked(&kernel.initramfs())["modules/load.list"], b"");
    home.service.kernels().verify_content(&kernel).unwrap();

    let mut modular = elf;
    let driver = modular.windows(10).position(|part| part == b"virtio_blk").unwrap();
    modular[driver] = b'X';
    let parts = build_directory("6.1.7", &modular);
    let error = home.import(named("modular", request(parts.path()))).await.unwrap_err();
    assert_eq!(
        told(&error),
        "cannot import the kernel `modular`: cannot build the kernel's files: the kernel `6.1.7` has no modules and no \
         built-in `virtio_blk`; provide its modules, too"
    );
    assert_eq!(home.names(), ["all"]);
}

#[tokio::test]
async fn an_elf_kernel_that_qemu_cannot_enter_needs_its_vmlinuz() {
    let home = Home::new();
    let elf = elf_kernel("6.1.7", false);
    let alone = tempfile::tempdir().unwrap();
    fs::write(alone.path().join("vmlinux"), &elf).unwrap();
    let error = home.import(named("alone", request(alone.path()))).await.unwrap_err();
    assert!(told(&error).ends_with(
        "QEMU cannot boot the kernel `6.1.7`: it is an ELF file without a PVH entry; provide its vmlinuz, too"
    ));
    let both = build_directory("6.1.7", &elf);
    fs::write(both.path().join("vmlinux"), &elf).unwrap();
    let kernel = home.import(named("both", request(both.path()))).await.unwrap();
    assert!(!kernel.manifest.has_pvh_entry && kernel.vmlinuz().is_some());
    fs::write(alone.path().join("vmlinux"), elf_kernel("6.1.7", true)).unwrap();
    let kernel = home.import(named("alone", request(alone.path()))).await.unwrap();
    assert_eq!(kernel.vmlinuz(), None);
    assert_eq!(home.names().len(), 2);
}

#[tokio::test]
async fn parts_of_different_kernels_are_no_stack() {
    let (home, parts) = (Home::new(), build_directory("6.1.7", &elf_kernel("6.1.7", true)));
    fs::write(parts.path().join("vmlinux"), elf_kernel("6.1.8", true)).unwrap();
    let error = home.import(named("mixed", request(parts.path()))).await.unwrap_err();
    assert!(
        told(&error).ends_with(
            "the files do not belong together: the vmlinuz is for `6.1.7`, the kernel for `6.1.8`"
        )
    );
    assert_eq!(home.names(), [""; 0]);
}

#[tokio::test]
async fn a_taken_name_is_refused_unless_forced_also_when_what_has_it_is_damaged() {
    let (home, root) = (Home::new(), TestRoot::new(Distro::Void));
    home.import(named("mine", of_root(&root))).await.unwrap();
    let error = home.import(named("mine", of_root(&root))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel `mine` already exists; replace it with `--force`, or choose another name with `--name`"
    );
    assert_eq!(error.hint(), Some(Hint::Show { kind: ArtifactKind::Kernel, name: "mine".to_owned() }));
    fs::write(home.path("state/kernels/mine/manifest.json"), "{").unwrap();
    assert!(matches!(home.import(named("mine", of_root(&root))).await, Err(PullError::NameTaken { .. })));
    home.import_over(named("mine", of_root(&root)), Replace::Always).await.unwrap();
    assert_eq!(home.names(), ["mine"]);
}

#[tokio::test]
async fn a_debian_package_is_imported_when_its_digest_is_right() {
    let (home, root) = (Home::new(), TestRoot::new(Distro::Debian));
    let package = deb(home.directory.path(), "linux-image-test", "amd64", &root);
    let digest = sha256_hex(&fs::read(&package).unwrap());
    let with = |digest: &str| ImportRequest { sha256: Some(digest.parse().unwrap()), ..request(&package) };
    let error = home.import(with(&"0".repeat(64))).await.unwrap_err();
    let text = format!("the sha256 of `{}` is {digest}, not {}", package.display(), "0".repeat(64));
    assert!(told(&error).ends_with(&text), "{}", told(&error));
    assert_eq!(home.names(), [""; 0]);
    let kernel = home.import(with(&digest.to_uppercase())).await.unwrap();
    assert_eq!(kernel.manifest.name.as_str(), "debian-test");
    assert_eq!(kernel.manifest.source, "package linux-image-test 6.1.192-2");
    assert_load_order(&unpacked(&kernel.initramfs())["modules/load.list"]);
}

#[tokio::test]
async fn a_package_of_another_processor_or_without_a_kernel_is_refused() {
    let (home, root) = (Home::new(), TestRoot::new(Distro::Debian));
    let other = deb(home.directory.path(), "linux-image-arm", "arm64", &root);
    assert!(refusal(request(other)).ends_with("is for arm64, but guests on this host are amd64"));
    fs::remove_file(root.vmlinuz()).unwrap();
    let meta = deb(home.directory.path(), "linux-image-amd64", "amd64", &root);
    let error = home.import(request(meta)).await.unwrap_err();
    assert!(
        told(&error).ends_with("it may be a package that only depends on the kernel's package"),
        "{}",
        told(&error)
    );
    assert_eq!(home.names(), [""; 0]);
}

#[tokio::test]
async fn a_kernel_of_banger_s_goes_from_home_to_home_as_a_directory_or_a_bundle() {
    let (first, second, root) = (Home::new(), Home::new(), TestRoot::new(Distro::Alpine));
    let kernel = first.import(named("alp", of_root(&root))).await.unwrap();
    fs::write(second.path("agent"), "a newer agent").unwrap();
    let copy = second.import(named("copy", request(&kernel.directory))).await.unwrap();
    let bundle = second.path("alp.tar.zst");
    fs::write(&bundle, bundle::tests::bundle_of(&kernel.directory)).unwrap();
    let unpacked_one = second.import(request(&bundle)).await.unwrap();
    assert_eq!(unpacked_one.manifest.name.as_str(), "alp");
    for taken in [copy, unpacked_one] {
        second.service.kernels().verify_content(&taken).unwrap();
        let (was, is) = (&kernel.manifest, &taken.manifest);
        assert_eq!((&is.distro, &is.version, &is.source), (&was.distro, &was.version, &was.source));
        assert_eq!(is.files["modules.ext4"], was.files["modules.ext4"]);
        let files = unpacked(&taken.initramfs());
        assert_eq!(files["init"], b"a newer agent");
        assert_load_order(&files["modules/load.list"]);
    }
}

#[tokio::test]
async fn a_kernel_of_banger_s_that_is_damaged_or_odd_is_refused() {
    let (first, second, root) = (Home::new(), Home::new(), TestRoot::new(Distro::Void));
    let kernel = first.import(named("void", of_root(&root))).await.unwrap();
    let manifest = kernel.file("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(kernel.modules_drive().unwrap()).unwrap();
    file.write_all(b"x").unwrap();
    let attempt = async || told(&second.import(request(&kernel.directory)).await.unwrap_err());
    assert!(attempt().await.ends_with("is damaged: its content does not match the manifest"));
    fs::write(&manifest, text.replace("\"modules.cpio\"", "\"../../modules.cpio\"")).unwrap();
    assert!(attempt().await.ends_with("the unknown file `../../modules.cpio`"));
    fs::write(&manifest, text.replace("\"modules.cpio\"", "\"vmlinuz\"")).unwrap();
    assert!(attempt().await.ends_with("the manifest does not list `modules.cpio`, which every kernel needs"));
    fs::write(&manifest, text.replace("\"format_version\": 2", "\"format_version\": 9")).unwrap();
    assert!(refusal(request(&kernel.directory)).ends_with("has format 9, but this banger supports 2"));
    fs::write(&manifest, &text[..50]).unwrap();
    assert!(refusal(request(&kernel.directory)).contains("is invalid"));
    assert_eq!(second.names(), [""; 0]);
}

#[tokio::test]
async fn a_kernel_can_be_given_file_by_file_and_its_initramfs_is_left_out() {
    let (home, place) = (Home::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| place.path().join(name);
    fs::write(path("kernel-6.1.7"), elf_kernel("6.1.7", true)).unwrap();
    fs::write(path("initrd"), "somebody's").unwrap();
    write_modules(&path("modules/6.1.7"), Distro::Debian);
    let of = |initrd: &str, modules: &str| {
        let (initrd, modules) = (Some(path(initrd)), Some(path(modules)));
        KernelImport::of_files("mine".parse().unwrap(), path("kernel-6.1.7"), initrd, modules)
    };
    for modules in ["modules", "modules/6.1.7"] {
        let import = of("initrd", modules).unwrap();
        let kernel = home.service.import_kernel(import, Replace::Always, &Progress::silent()).await.unwrap();
        assert_eq!(kernel.manifest.version, "6.1.7");
        assert_load_order(&unpacked(&kernel.initramfs())["modules/load.list"]);
        assert!(kernel.modules_drive().is_some());
    }
    assert!(told(&of("none", "modules").unwrap_err()).starts_with("cannot read `"));
    assert_eq!(
        told(&of("initrd", ".").unwrap_err()).replace(place.path().to_str().unwrap(), "~"),
        "there are no modules for the kernel `6.1.7` in `~/.`"
    );
    let relative = KernelImport::of_files("mine".parse().unwrap(), "vmlinux".into(), None, None);
    assert!(told(&relative.unwrap_err()).contains("is not an absolute path"));
}

#[tokio::test]
async fn a_configuration_beside_the_kernel_refuses_what_cannot_boot_and_tells_what_is_missing() {
    const DEBIAN: &str = include_str!("../testdata/config-6.1.0-56-cloud-amd64");
    let home = Home::new();
    let from = home.path("mine");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("vmlinux"), elf_kernel("6.1.7", true)).unwrap();
    write_modules(&from.join("modules/6.1.7"), Distro::Debian);
    fs::write(from.join("config"), DEBIAN.replace("CONFIG_TMPFS=y\n", "")).unwrap();
    let error = home.import(request(&from)).await.unwrap_err();
    assert!(
        told(&error).ends_with("the kernel `6.1.7` cannot boot: its configuration lacks CONFIG_TMPFS"),
        "{}",
        told(&error)
    );
    assert!(home.names().is_empty(), "nothing is left");

    // The one of the release counts more.
    fs::write(from.join("config-6.1.7"), DEBIAN.replace("CONFIG_VSOCKETS=m\n", "")).unwrap();
    let stages = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = std::sync::Arc::clone(&stages);
    let progress = Progress::new(move |stage| list.lock().unwrap().push(stage.detail));
    let import = KernelImport::inspect(request(&from)).unwrap();
    home.service.import_kernel(import, Replace::Never, &progress).await.unwrap();
    let expected = "it lacks CONFIG_VSOCKETS (to boot under Firecracker)";
    assert!(stages.lock().unwrap().iter().any(|detail| detail == expected), "{stages:?}");
}
