use serde_json::{Value, json};

use super::*;

fn digest(text: &str) -> String {
    BlobDigest::of(text.as_bytes()).to_string()
}

fn descriptor(text: &str) -> Value {
    json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(text), "size": 3})
}

fn parse(document: &Value) -> Result<Document, DocumentError> {
    Document::parse(document.to_string().as_bytes())
}

fn amd64() -> Platform {
    serde_json::from_value(json!({"os": "linux", "architecture": "amd64"})).unwrap()
}

fn builds(platforms: &[Value]) -> Vec<Descriptor> {
    let mut builds = Vec::new();
    for platform in platforms {
        let mut build = descriptor(&platform.to_string());
        build["platform"] = platform.clone();
        builds.push(serde_json::from_value(build).unwrap());
    }
    builds
}

#[test]
fn an_index_gives_the_build_for_the_guests() {
    let platforms = [
        json!({"os": "windows", "architecture": "amd64"}),
        json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
        json!({"os": "linux", "architecture": "amd64"}),
        json!({"os": "unknown", "architecture": "unknown"}),
    ];
    let builds = builds(&platforms);
    assert_eq!(candidates(&builds, &amd64()).unwrap(), [&builds[2]]);
    let error = candidates(&builds[..2], &amd64()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image is not available for linux/amd64; available: windows/amd64, linux/arm64/v8"
    );
    assert_eq!(
        candidates(&builds[3..], &amd64()).unwrap_err().to_string(),
        "the image is not available for linux/amd64; available: none"
    );
}

#[test]
fn where_a_list_says_no_platform_the_config_decides() {
    let build: Descriptor = serde_json::from_value(descriptor("x")).unwrap();
    let blank: Descriptor = serde_json::from_value(json!({
        "digest": digest("y"), "size": 3, "platform": {"os": "", "architecture": ""}
    }))
    .unwrap();
    assert_eq!(candidates(&[build.clone(), blank.clone()], &amd64()).unwrap(), [&build, &blank]);
    let said = builds(&[json!({"os": "linux", "architecture": "amd64"})]).remove(0);
    assert_eq!(candidates(&[build, said.clone()], &amd64()).unwrap(), [&said]);
    let config = json!({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}}).to_string();
    let error = ConfigDocument::parse(config.as_bytes(), 0, &amd64()).unwrap_err();
    assert_eq!(error.to_string(), "the image is built for linux/arm64, but this host runs linux/amd64");
}

#[test]
fn what_a_document_is_shows_in_what_it_has() {
    let image = json!({"schemaVersion": 2, "config": descriptor("c"), "layers": [descriptor("l")]});
    assert!(matches!(parse(&image), Ok(Document::Image(image)) if image.layers.len() == 1));
    let index = json!({"schemaVersion": 2, "manifests": [descriptor("m")], "annotations": null});
    assert!(matches!(parse(&index), Ok(Document::Index(builds)) if builds.len() == 1));
    let both = json!({"config": descriptor("c"), "layers": [], "manifests": [descriptor("m")]});
    assert!(matches!(parse(&both), Err(DocumentError::NotAnImage)));
    let old = json!({"schemaVersion": 1, "fsLayers": [{"blobSum": digest("l")}]});
    assert!(matches!(parse(&old), Err(DocumentError::Schema1)));
    assert!(matches!(parse(&json!({})), Err(DocumentError::NotAnImage)));
    assert!(matches!(Document::parse(b"<html>"), Err(DocumentError::Damaged { .. })));
}

#[test]
fn an_image_that_cannot_be_whole_here_is_refused() {
    let mut foreign = descriptor("l");
    foreign["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let image = json!({"config": descriptor("c"), "layers": [foreign]});
    assert!(matches!(parse(&image), Err(DocumentError::ForeignLayer { .. })));
    let layers: Vec<_> = (0..=LAYERS_MAX).map(|number| descriptor(&number.to_string())).collect();
    let image = json!({"config": descriptor("c"), "layers": layers});
    assert!(matches!(parse(&image), Err(DocumentError::TooManyLayers { .. })));
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [digest("l")]}});
    let error = ConfigDocument::parse(config.to_string().as_bytes(), 2, &amd64()).unwrap_err();
    assert_eq!(error.to_string(), "the image has 2 layers, but its config lists 1");
}

#[test]
fn a_digest_that_is_a_path_never_comes_in() {
    let mut layer = descriptor("l");
    layer["digest"] = json!("sha256:../../../../etc/passwd");
    let image = json!({"config": descriptor("c"), "layers": [layer]});
    assert!(matches!(parse(&image), Err(DocumentError::Damaged { .. })));
}

#[test]
fn null_is_as_good_as_absent() {
    let config = json!({
        "os": "linux", "architecture": "amd64", "variant": null, "rootfs": {"type": "layers", "diff_ids": null},
        "config": {"Env": null, "Cmd": ["sh"], "Entrypoint": null, "User": null, "Labels": null}
    });
    let config = ConfigDocument::parse(config.to_string().as_bytes(), 0, &amd64()).unwrap();
    assert_eq!(config.process, ProcessDocument { cmd: vec!["sh".to_owned()], ..ProcessDocument::default() });
}

#[test]
fn an_entry_point_that_is_text_is_one_word() {
    let config = json!({"config": {"Entrypoint": "/bin/app -x", "Cmd": ""}}).to_string();
    let config = ConfigDocument::parse(config.as_bytes(), 0, &amd64()).unwrap();
    assert_eq!(config.process.entrypoint, ["/bin/app -x"]);
    assert!(config.process.cmd.is_empty());
    for platform in
        ["{}", r#"{"os": "", "architecture": ""}"#, r#"{"os": "linux", "architecture": "x86_64"}"#]
    {
        assert!(ConfigDocument::parse(platform.as_bytes(), 0, &amd64()).is_ok(), "{platform}");
    }
}

#[test]
fn what_is_wrong_with_a_document_is_told_by_its_place_and_not_in_the_words_of_a_library() {
    let told = |text: &str| {
        ConfigDocument::parse(text.as_bytes(), 0, &Platform::of_guests()).unwrap_err().to_string()
    };
    let head = "the config of the image is damaged: ";
    for (text, expected) in [
        (r#"{"config": {"Cmd": [1, 2]}}"#, "`config.Cmd` is missing or invalid"),
        (r#"{"config": {"Entrypoint": {"a": 1}}}"#, "`config.Entrypoint` is missing or invalid"),
        (r#"{"config": {"Env": ["A=b", 7]}}"#, "`config.Env[1]` is missing or invalid"),
        (r#"{"rootfs": {"diff_ids": ["sha256:zz"]}}"#, "`rootfs.diff_ids[0]` is missing or invalid"),
        ("[]", "it is not of the expected form"),
        (r#"{"config": "#, "it ends too early"),
        ("<html>", "it is not valid JSON"),
    ] {
        assert_eq!(told(text), format!("{head}{expected}"), "{text}");
    }
    let manifest = Document::parse(br#"{"config": {"digest": "x"}, "layers": []}"#).unwrap_err();
    assert_eq!(manifest.to_string(), "the manifest is damaged: `config.digest` is missing or invalid");
}
