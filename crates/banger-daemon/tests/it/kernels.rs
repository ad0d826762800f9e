//! Kernels, as the daemon's clients see them. What they are made of is tested where they are made.

use banger_api::{CatalogKernel, ErrorCode, KernelDetails, KernelView};
use banger_model::{ArtifactKind, Hint};
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, refused};

/// Puts a kernel into the store, as a pull or an import leaves it.
pub fn put(sandbox: &Sandbox, name: &str) {
    let directory = sandbox.paths.kernels().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("vmlinux"), "kernel").unwrap();
    let manifest = json!({
        "format_version": 2, "name": name, "distro": "void", "arch": "x86_64", "version": "6.12.68_1",
        "files": { "vmlinux": { "sha256": "ab12", "size": 6 } }, "source": "/srv/void",
        "created_at": "2026-01-01T00:00:00Z", "agent_sha256": "",
    });
    std::fs::write(directory.join("manifest.json"), manifest.to_string()).unwrap();
}

#[tokio::test]
async fn kernels_are_listed_and_shown_with_who_uses_them() {
    let sandbox = Sandbox::start().await;
    put(&sandbox, "void-6.12.68_1");
    put(&sandbox, "debian-12");
    sandbox.create("dev").await;
    let kernels: Vec<KernelView> = sandbox.client.get("/v1/kernels").await.unwrap();
    let names: Vec<_> = kernels.iter().map(|kernel| (kernel.name.as_str(), kernel.is_pulled)).collect();
    assert_eq!(names, [("debian-12", true), ("void-6.12.68_1", true)]);
    assert!(kernels[0].description.contains("Debian 12"), "the catalog knows it");

    let kernel: KernelDetails = sandbox.client.get("/v1/kernels/debian-12").await.unwrap();
    assert_eq!(kernel.vms.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dev"]);
    let kernel: KernelDetails = sandbox.client.get("/v1/kernels/void-6.12.68_1").await.unwrap();
    assert_eq!((kernel.source.as_deref(), kernel.vms.len()), (Some("/srv/void"), 0));
    assert_eq!(kernel.files["vmlinux"].sha256, "ab12");
    assert_eq!(kernel.directory.as_deref(), sandbox.paths.kernels().join("void-6.12.68_1").to_str());

    let error = refused(sandbox.client.get::<Value>("/v1/kernels/hurd").await.unwrap_err());
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::NotFound, "there is no kernel `hurd`"));
    assert_eq!(error.hint, Some(Hint::ListKnown { kind: ArtifactKind::Kernel }));
}

#[tokio::test]
async fn the_catalog_says_what_is_here_already() {
    let sandbox = Sandbox::start().await;
    let debian = async || {
        let catalog: Vec<CatalogKernel> = sandbox.client.get("/v1/catalog/kernels").await.unwrap();
        catalog.into_iter().find(|kernel| kernel.name.as_str() == "debian-12").unwrap()
    };
    assert_eq!((debian().await.suite.as_str(), debian().await.is_pulled), ("bookworm", false));
    let kernel: KernelDetails = sandbox.client.get("/v1/kernels/debian-12").await.unwrap();
    assert!(!kernel.kernel.is_pulled && kernel.files.is_empty());
    put(&sandbox, "debian-12");
    assert!(debian().await.is_pulled);
}

#[tokio::test]
async fn a_kernel_is_not_removed_while_a_vm_uses_it_running_or_not() {
    let sandbox = Sandbox::start().await;
    put(&sandbox, "debian-12");
    sandbox.create("dev").await;
    sandbox.create("test").await;
    sandbox.act("test", "stop").await.unwrap();
    let delete = async || match sandbox.begin("/v1/kernels/debian-12/delete", json!({})).await {
        Ok(begun) => sandbox.finish(begun).await.map(drop),
        Err(error) => Err(error),
    };
    let error = delete().await.unwrap_err();
    assert_eq!(error.message, "the kernel `debian-12` is used by VMs `dev`, `test`");
    assert_eq!(
        error.hint,
        Some(Hint::ShowUsers { kind: ArtifactKind::Kernel, name: "debian-12".to_owned() })
    );
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(sandbox.paths.kernels().join("debian-12/vmlinux").exists());
    for vm in ["dev", "test"] {
        sandbox.act(vm, "delete").await.unwrap();
    }
    delete().await.unwrap();
    assert_eq!(std::fs::read_dir(sandbox.paths.kernels()).unwrap().count(), 0);
    let error = delete().await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ErrorCode::NotFound, "there is no local kernel `debian-12`")
    );
}

#[tokio::test]
async fn a_kernel_that_images_need_is_removed_only_by_force() {
    let sandbox = Sandbox::start().await;
    put(&sandbox, "void");
    let rootfs = crate::images::rootfs(&sandbox);
    for name in ["app", "base"] {
        let request = json!({ "name": name, "rootfs": rootfs, "kernel_ref": "void" });
        let begun = sandbox.begin("/v1/images", request).await.unwrap();
        sandbox.finish(begun).await.unwrap();
    }
    let error = sandbox.begin("/v1/kernels/void/delete", json!({})).await.unwrap_err();
    assert_eq!(error.message, "the kernel `void` is needed by images `app`, `base`");
    assert_eq!(error.code, ErrorCode::Conflict);
    assert_eq!(error.hint, Some(Hint::DeleteNeededKernel { kernel: "void".to_owned() }));
    assert!(sandbox.paths.kernels().join("void/vmlinux").exists());
    let begun = sandbox.begin("/v1/kernels/void/delete?force=true", json!({})).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    assert!(!sandbox.paths.kernels().join("void").exists());
}

#[tokio::test]
async fn an_import_that_makes_no_sense_is_refused_before_it_begins() {
    let sandbox = Sandbox::start().await;
    put(&sandbox, "mine");
    let import = async |body: Value| sandbox.begin("/v1/kernels", body).await.unwrap_err();
    let error = import(json!({ "from": "/nonexistent" })).await;
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert_eq!(error.message, "cannot read `/nonexistent`: No such file or directory (os error 2)");
    let empty = sandbox.paths.state.display().to_string();
    let error = import(json!({ "from": empty, "distro": "void" })).await;
    assert!(error.message.contains("there is no kernel of void"), "{}", error.message);
    for (body, told) in [
        (json!({ "from": empty, "distro": "gentoo" }), "gentoo"),
        (json!({ "from": empty, "name": "../x" }), "kernel name"),
        (json!({ "from": empty, "sha256": "12" }), "64 hexadecimal digits"),
        (json!({ "form": empty }), "unknown field"),
        (json!({ "from": "relative" }), "absolute"),
    ] {
        let error = import(body.clone()).await;
        assert_eq!(error.code, ErrorCode::BadRequest, "{body}");
        assert!(error.message.contains(told), "{body}: {}", error.message);
    }
    let operations: Vec<Value> = sandbox.client.get("/v1/operations").await.unwrap();
    assert!(operations.is_empty());
}

#[tokio::test]
async fn an_import_under_a_taken_name_is_refused_before_it_begins() {
    let sandbox = Sandbox::start().await;
    put(&sandbox, "mine");
    let bundle = sandbox.paths.state.join("bundle.tar.zst");
    std::fs::write(&bundle, [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
    let body = json!({ "from": bundle, "name": "mine" });
    let error = sandbox.begin("/v1/kernels", body).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::AlreadyExists);
    assert_eq!(error.hint, Some(Hint::Show { kind: ArtifactKind::Kernel, name: "mine".to_owned() }));
    // Forced, it begins, and fails on its own: what was there stays.
    let begun =
        sandbox.begin("/v1/kernels", json!({ "from": bundle, "name": "mine", "force": true })).await.unwrap();
    let error = sandbox.finish(begun).await.unwrap_err();
    assert!(
        error.message.starts_with("cannot import the kernel `mine`: cannot use the bundle"),
        "{}",
        error.message
    );
    let names: Vec<_> =
        std::fs::read_dir(sandbox.paths.kernels()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["mine"]);
}
