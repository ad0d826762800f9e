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
        self.find_for(registry, "team/app").await
    }

    async fn find_for(&self, registry: &str, repository: &str) -> Result<Credentials, CredentialsError> {
        find(Store { directory: self.0.path(), search_path: None }, registry, repository).await
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
    assert_eq!(
        find(Store { directory: home.path(), search_path: None }, "docker.io", "library/x").await.unwrap(),
        Credentials::Anonymous
    );
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
    assert!(matches!(error, CredentialsError::MissingHelper { .. }));
    assert!(error.to_string().contains("config.json") && error.hint().is_some());
    assert_eq!(docker.find("b.example").await.unwrap(), Credentials::Anonymous);
}

#[tokio::test]
async fn a_login_that_is_empty_is_none() {
    let docker = Docker::with(
        r#"{"auths": {"pair.example": {"username": "", "password": ""}, "colon.example": {"auth": "Og=="},
            "half.example": {"auth": "dXNlcjo="}}}"#,
    );
    for registry in ["pair.example", "colon.example", "half.example"] {
        assert_eq!(docker.find(registry).await.unwrap(), Credentials::Anonymous, "{registry}");
    }
}

#[tokio::test]
async fn the_login_of_the_longest_name_counts() {
    let docker = Docker::with(
        r#"{"auths": {
            "a.example": {"username": "host", "password": "p"},
            "a.example/team": {"username": "team", "password": "p"},
            "a.example/team/app": {"username": "app", "password": "p"},
            "b.example/team": {"username": "other", "password": "p"},
            "docker.io/owner": {"username": "owner", "password": "p"}
        }}"#,
    );
    for (registry, repository, expected) in [
        ("a.example", "team/app", "app"),
        ("a.example", "team/app/part", "app"),
        ("a.example", "team/apple", "team"),
        ("a.example", "else/x", "host"),
        ("docker.io", "owner/x", "owner"),
    ] {
        let found = docker.find_for(registry, repository).await.unwrap();
        assert_eq!(found, basic(expected, "p"), "{registry}/{repository}");
    }
    assert_eq!(docker.find_for("b.example", "else/x").await.unwrap(), Credentials::Anonymous);
}

#[tokio::test]
async fn helpers_are_asked_that_are_on_the_path_of_the_caller() {
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
    script("blank", r#"echo '{"ServerURL":"","Username":"","Secret":""}'"#);
    let docker = Docker::with(
        r#"{"credsStore": "good",
            "credHelpers": {"token.example": "token", "none.example": "empty", "bad.example": "broken",
                            "odd.example": "odd", "blank.example": "blank"},
            "auths": {"none.example": {"username": "u", "password": "p"}, "any.example": {}}}"#,
    );
    let path = format!("relative:{}:{}", helpers.path().display(), std::env::var("PATH").unwrap());
    let store = Store { directory: docker.0.path(), search_path: Some(OsStr::new(&path)) };
    let find = async |registry| find(store, registry, "team/app").await;
    assert_eq!(find("docker.io").await.unwrap(), basic("https://index.docker.io/v1/", "s"));
    assert_eq!(find("any.example").await.unwrap(), basic("any.example", "s"));
    assert_eq!(find("token.example").await.unwrap(), Credentials::Identity(Secret::new("t")));
    assert_eq!(find("none.example").await.unwrap(), basic("u", "p"), "the file is asked after it");
    assert_eq!(find("blank.example").await.unwrap(), Credentials::Anonymous);
    let error = find("bad.example").await.unwrap_err();
    let told = std::error::Error::source(&error).unwrap().to_string();
    assert!(told.contains("the key chain is locked"), "{told}");
    let error = find("odd.example").await.unwrap_err();
    assert!(matches!(error, CredentialsError::BadAnswer { .. }));
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}
