//! Images of the host, as the daemon's clients see them. What they are made of is tested where they are made.

use std::path::PathBuf;

use banger_api::{ErrorCode, ImageDetails, ImageView, OperationKind};
use banger_ext4::{EntryKind, Ext4Writer, FormatOptions, Journal, Metadata};
use banger_model::{ArtifactKind, Hint};
use serde_json::{Value, json};

use crate::kernels::put;
use crate::sandbox::{Sandbox, refused};

/// Writes an ext4 file system that looks like the root of a system.
pub fn rootfs(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.paths.state.join("root.ext4");
    let options = FormatOptions {
        size_bytes: 16 << 20,
        label: "test".to_owned(),
        uuid: [1; 16],
        hash_seed: [2; 16],
        created_at: 0,
        inodes_min: 0,
        journal: Journal::None,
    };
    let mut writer = Ext4Writer::create(&path, options).unwrap();
    for directory in ["dev", "proc", "sys", "root"] {
        let metadata = Metadata { mode: 0o755, ..Metadata::default() };
        writer.add(directory.as_bytes(), &metadata, EntryKind::Directory).unwrap();
    }
    writer.finish_shrunk(0).unwrap();
    path
}

impl Sandbox {
    async fn image_act(&self, path: &str, body: Value) -> Result<Value, banger_api::ErrorBody> {
        let begun = self.begin(path, body).await?;
        self.finish(begun).await.map(|operation| operation.result.unwrap_or_default())
    }

    async fn register(&self, name: &str) -> PathBuf {
        put(self, "void");
        let rootfs = rootfs(self);
        let request = json!({ "name": name, "rootfs": rootfs, "kernel_ref": "void" });
        self.image_act("/v1/images", request).await.unwrap();
        rootfs
    }

    async fn image(&self, name: &str) -> ImageDetails {
        self.client.get(&format!("/v1/images/{name}")).await.unwrap()
    }

    async fn create_of(&self, image: &str, name: &str) {
        let begun = self.begin("/v1/vms", json!({ "name": name, "image": image })).await.unwrap();
        self.finish(begun).await.unwrap();
    }
}

#[tokio::test]
async fn an_image_is_registered_promoted_and_deleted() {
    let sandbox = Sandbox::start().await;
    // A name that is also a verb.
    let rootfs = sandbox.register("pull").await;
    let image = sandbox.image("pull").await;
    assert!(image.image.is_registered && image.files.is_empty());
    assert_eq!(image.host_files, [rootfs.to_str().unwrap()]);
    assert_eq!(image.image.kernel.as_str(), "void");

    let promoted = sandbox.image_act("/v1/images/pull/promote", json!(null)).await.unwrap();
    assert_eq!(promoted["is_registered"], false);
    let image = sandbox.image("pull").await;
    assert_eq!(image.files.keys().collect::<Vec<_>>(), ["rootfs.ext4"]);
    assert!(image.seeded_key.unwrap().starts_with("SHA256:"));
    let error = sandbox.image_act("/v1/images/pull/promote", json!(null)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert_eq!(
        error.message,
        "cannot promote the image `pull`: the image `pull` already has its own files; there is nothing to promote"
    );

    sandbox.image_act("/v1/images/pull/delete", json!(null)).await.unwrap();
    let images: Vec<ImageView> = sandbox.client.get("/v1/images").await.unwrap();
    assert!(images.iter().all(|image| !image.is_pulled));
    assert!(rootfs.exists(), "what was registered is the user's");
    let output = json!({ "output": "/nonexistent/x" });
    for (path, body) in [
        ("/v1/images/pull/promote", json!(null)),
        ("/v1/images/pull/delete", json!(null)),
        ("/v1/images/pull/bundle", output),
    ] {
        let error = sandbox.begin(path, body).await.unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::NotFound, "there is no local image `pull`")
        );
    }
    let error = refused(sandbox.client.get::<Value>("/v1/images/pull").await.unwrap_err());
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::NotFound, "there is no image `pull`"));
}

#[tokio::test]
async fn an_image_of_the_catalog_is_shown_before_it_is_here() {
    let sandbox = Sandbox::start().await;
    let image = sandbox.image("debian-bookworm").await;
    assert!(!image.image.is_pulled && image.directory.is_none());
    assert_eq!(image.distro, "debian");
}

#[tokio::test]
async fn an_image_that_vms_use_running_or_not_is_neither_deleted_nor_replaced() {
    let sandbox = Sandbox::start().await;
    let rootfs = sandbox.register("mine").await;
    sandbox.create_of("mine", "dev").await;
    sandbox.create_of("mine", "test").await;
    sandbox.create("other").await;
    sandbox.act("test", "stop").await.unwrap();
    let vms = sandbox.image("mine").await.vms;
    assert_eq!(vms.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dev", "test"]);
    let register = json!({ "name": "mine", "rootfs": rootfs, "kernel_ref": "void", "force": true });
    let pull = json!({ "source": "docker-archive:/nonexistent", "name": "mine", "force": true });
    let bundle = json!({ "location": "/nonexistent", "name": "mine", "force": true });
    for (path, body) in [
        ("/v1/images/mine/delete", json!(null)),
        ("/v1/images", register.clone()),
        ("/v1/images:pull", pull),
        ("/v1/images:pull-bundle", bundle),
    ] {
        let error = sandbox.begin(path, body).await.unwrap_err();
        assert_eq!(error.message, "the image `mine` is used by VMs `dev`, `test`", "{path}");
        assert_eq!(error.code, ErrorCode::Conflict);
        assert_eq!(error.hint, Some(Hint::ShowUsers { kind: ArtifactKind::Image, name: "mine".to_owned() }));
    }
    for vm in ["dev", "test"] {
        sandbox.act(vm, "delete").await.unwrap();
    }
    sandbox.image_act("/v1/images", register).await.unwrap();
    sandbox.image_act("/v1/images/mine/delete", json!(null)).await.unwrap();
    assert_eq!(std::fs::read_dir(sandbox.paths.images()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_registration_that_makes_no_sense_is_refused_before_it_begins() {
    let sandbox = Sandbox::start().await;
    put(&sandbox, "void");
    let rootfs = rootfs(&sandbox);
    let request = |change: Value| {
        let mut request = json!({ "name": "mine", "rootfs": rootfs, "kernel_ref": "void" });
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        request
    };
    for (change, told) in [
        (json!({ "kernel": "/boot/vmlinuz" }), "give either the name of a kernel or its files"),
        (json!({ "kernel_ref": null }), "the image needs a kernel"),
        (json!({ "modules": "/lib/modules" }), "an initramfs and modules need the file of their kernel"),
        (json!({ "kernel_ref": null, "kernel": "/nonexistent" }), "cannot read `/nonexistent`"),
        (json!({ "kernel_ref": null, "kernel": "vmlinux" }), "`vmlinux` is not an absolute path"),
        (json!({ "kernel_ref": null, "kernel": rootfs }), "cannot use the kernel"),
        (json!({ "rootfs": "/nonexistent" }), "cannot use `/nonexistent`: No such file"),
        (json!({ "rootfs": "root.ext4" }), "`root.ext4` is not an absolute path"),
        (json!({ "work_seed": sandbox.paths.database() }), "is not an ext4 file system"),
        (json!({ "name": "../x" }), "image name"),
        (json!({ "name": "debian-bookworm" }), "is the name of a catalog image"),
        (json!({ "size": 1 }), "unknown field"),
    ] {
        let error = sandbox.begin("/v1/images", request(change.clone())).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest, "{change}");
        assert!(error.message.contains(told), "{change}: {}", error.message);
    }
    let error = sandbox.begin("/v1/images", request(json!({ "kernel_ref": "hurd" }))).await.unwrap_err();
    assert_eq!(error.message, "the kernel `hurd` is neither local nor in the catalog");
    assert_eq!(error.hint, Some(Hint::ListKnown { kind: ArtifactKind::Kernel }));
    let operations: Vec<Value> = sandbox.client.get("/v1/operations").await.unwrap();
    assert!(operations.is_empty());

    sandbox.image_act("/v1/images", request(json!({}))).await.unwrap();
    let error = sandbox.begin("/v1/images", request(json!({}))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::AlreadyExists);
    assert_eq!(error.hint, Some(Hint::Show { kind: ArtifactKind::Image, name: "mine".to_owned() }));
    let operations: Vec<Value> = sandbox.client.get("/v1/operations").await.unwrap();
    assert_eq!(operations.len(), 1);
    assert_eq!(operations[0]["kind"], serde_json::to_value(OperationKind::ImageRegister).unwrap());
}
