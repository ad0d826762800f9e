use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A docker directory with this configuration, and a directory of helper programs.
struct Docker(tempfile::TempDir);

impl Docker {
    fn with(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.json"), config).unwrap();
        Self(home)
    }

    async fn find(&self, registry: &str) -> Result<Credentials, CredentialsError> {
        find(self.0.path(), registry).await
    }
}

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: Secret::new(password) }
}

#[tokio::test]
async fn stored_credentials_are_found_by_host_in_every_old_form() {
    // `dXNlcjpwYTpzcw==` is `user:pa:ss`.
    let docker = Docker::with(
        r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "dXNlcjpwYTpzcw=="},
            "http://old.example:5000/v2/": {"username": "u", "password": "p"},
            "ghcr.io": {"auth": "dXNlcjpwYTpzcw==", "identitytoken": "token"},
            "empty.example": {}
        }, "HttpHeaders": {"X": "y"}}"#,
    );
    assert_eq!(docker.find("docker.io").await.unwrap(), basic("user", "pa:ss"));
    assert_eq!(docker.find("old.example:5000").await.unwrap(), basic("u", "p"));
    assert_eq!(docker.find("ghcr.io").await.unwrap(), Credentials::Identity(Secret::new("token")));
    for registry in ["empty.example", "old.example", "io", "example.ghcr.io"] {
        assert_eq!(docker.find(registry).await.unwrap(), Credentials::Anonymous, "{registry}");
    }
}

#[tokio::test]
async fn without_a_configuration_everybody_is_anonymous() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(find(home.path(), "docker.io").await.unwrap(), Credentials::Anonymous);
}

#[tokio::test]
async fn damaged_credentials_are_told_without_them() {
    let docker = Docker::with(r#"{"auths": {"a.example": {"auth": "aHVudGVyMg=="}}}"#);
    let error = docker.find("a.example").await.unwrap_err();
    assert!(matches!(&error, CredentialsError::BadAuth { registry, .. } if registry == "a.example"));
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = Docker::with("{").find("a.example").await.unwrap_err();
    assert!(matches!(error, CredentialsError::Damaged { .. }));
}

#[tokio::test]
async fn a_helper_that_is_a_path_or_is_not_installed_is_refused() {
    let docker = Docker::with(r#"{"credsStore": "../../bin/evil"}"#);
    assert!(matches!(docker.find("a.example").await, Err(CredentialsError::BadHelper { .. })));
    let docker = Docker::with(r#"{"credHelpers": {"a.example": "of-banger-that-nobody-has"}}"#);
    let error = docker.find("a.example").await.unwrap_err();
    assert!(matches!(error, CredentialsError::Helper { source: ToolError::Missing { .. }, .. }));
    assert_eq!(docker.find("b.example").await.unwrap(), Credentials::Anonymous);
}

/// Names the directory of helpers of the process that the test below starts: `PATH` is one per process.
const HELPERS: &str = "BANGER_TEST_HELPERS";

#[test]
fn helpers_are_asked_in_a_process_with_a_path_of_its_own() {
    let helpers = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = helpers.path().join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    script(
        "good",
        r#"test "$1" = get && read -r server; echo "{\"ServerURL\":\"x\",\"Username\":\"$server\",\"Secret\":\"s\"}""#,
    );
    script("token", r#"echo '{"Username":"<token>","Secret":"t"}'"#);
    script("empty", "echo 'credentials not found in native keychain'; exit 1");
    script("broken", "echo 'the key\u{1b}chain is locked'; exit 1");
    script("odd", "echo hunter2");
    let path = format!("{}:{}", helpers.path().display(), std::env::var("PATH").unwrap());
    let ended = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "oci::credentials::tests::the_process_that_asks_helpers", "--ignored"])
        .env("PATH", path)
        .env(HELPERS, "yes")
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}

#[tokio::test]
#[ignore = "is the process that the test above starts"]
async fn the_process_that_asks_helpers() {
    if std::env::var_os(HELPERS).is_none() {
        return;
    }
    let docker = Docker::with(
        r#"{"credsStore": "good",
            "credHelpers": {"token.example": "token", "none.example": "empty", "bad.example": "broken",
                            "odd.example": "odd"},
            "auths": {"none.example": {"username": "u", "password": "p"}, "any.example": {}}}"#,
    );
    assert_eq!(docker.find("docker.io").await.unwrap(), basic("https://index.docker.io/v1/", "s"));
    assert_eq!(docker.find("any.example").await.unwrap(), basic("any.example", "s"));
    assert_eq!(docker.find("token.example").await.unwrap(), Credentials::Identity(Secret::new("t")));
    assert_eq!(docker.find("none.example").await.unwrap(), basic("u", "p"), "the file is asked after it");
    let error = docker.find("bad.example").await.unwrap_err();
    let told = std::error::Error::source(&error).unwrap().to_string();
    assert!(told.contains("the key chain is locked"), "{told}");
    let error = docker.find("odd.example").await.unwrap_err();
    assert!(matches!(error, CredentialsError::BadAnswer { .. }));
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}
