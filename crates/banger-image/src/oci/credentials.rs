//! What a user may show a registry: the credentials that docker and podman keep in `config.json`, or in a helper program
//! that it names. Source: docker CLI, `cli/config/configfile` and `docker-credential-helpers`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_model::Hint;
use banger_sys::exec::{Tool, ToolError};
use base64::Engine as _;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use super::secret::Secret;

/// What docker calls its own registry in its files.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const DOCKER_HUB: &str = "docker.io";
/// The user name by which a helper says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";
const HELPER_DEADLINE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// Why the credentials for a registry are not known.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum CredentialsError {
    #[error("cannot read docker's configuration `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("docker's configuration `{}` is damaged", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("the credentials for `{registry}` in docker's configuration `{}` are damaged", path.display())]
    BadAuth { path: PathBuf, registry: String },
    #[error("docker's configuration `{}` names the credential helper `{helper}`, which is not a valid program name", path.display())]
    BadHelper { path: PathBuf, helper: String },
    #[error("docker's configuration `{}` names the credential helper `{program}`, which is not on your PATH", path.display())]
    MissingHelper { path: PathBuf, program: String },
    #[error("the credential helper for `{registry}` failed")]
    Helper { registry: String, source: ToolError },
    #[error("the credential helper `{helper}` returned an invalid answer")]
    BadAnswer { helper: String },
}

impl CredentialsError {
    /// What to type or do next, where that is known.
    pub(crate) fn hint(&self) -> Option<Hint> {
        match self {
            Self::MissingHelper { path, program } => Some(Hint::advice(format!(
                "install `{program}`, or remove credsStore (or its line of credHelpers) from `{}`; to pull without a login, set \
                 DOCKER_CONFIG=/nonexistent",
                path.display()
            ))),
            Self::Read { .. }
            | Self::Damaged { .. }
            | Self::BadAuth { .. }
            | Self::BadHelper { .. }
            | Self::Helper { .. }
            | Self::BadAnswer { .. } => None,
        }
    }
}

/// What a registry is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    #[default]
    Anonymous,
    Basic {
        username: String,
        password: Secret,
    },
    /// For a token of the registry's own token server.
    Identity(Secret),
}

/// Docker's configuration, as far as it is about credentials.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Auth {
    /// `username:password` in base64.
    #[serde(rename = "auth")]
    encoded: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: Secret,
}

/// Returns the directory of docker's configuration: `DOCKER_CONFIG`, else `~/.docker`.
pub(crate) fn docker_directory() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))
}

/// Where credentials are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store<'s> {
    /// The directory of docker's configuration.
    pub(crate) directory: &'s Path,
    /// The `PATH` of whoever asks, where helpers are; ours where it is not known.
    pub(crate) search_path: Option<&'s OsStr>,
}

/// Finds what the user of this store shows a registry that is asked for this repository. Nothing is anonymous.
pub(crate) async fn find(
    store: Store<'_>,
    registry: &str,
    repository: &str,
) -> Result<Credentials, CredentialsError> {
    let path = store.directory.join("config.json");
    let Some(config) = read(&path)? else { return Ok(Credentials::Anonymous) };
    let keys = keys_of(registry);
    let named = config.cred_helpers.iter().find(|(key, _)| keys.contains(&host_of(key).to_owned()));
    let helper = named.map(|(_, helper)| helper).or(config.creds_store.as_ref());
    if let Some(helper) = helper.filter(|helper| !helper.is_empty())
        && let Some(found) = ask_helper(store, &path, helper, registry).await?
    {
        return Ok(found);
    }
    match stored(config.auths, &keys, repository) {
        Some(auth) => {
            from_auth(auth).ok_or_else(|| CredentialsError::BadAuth { path, registry: registry.to_owned() })
        }
        None => Ok(Credentials::Anonymous),
    }
}

/// Returns the entry for a repository: that of the longest name that it begins with (containers-auth.json(5)).
fn stored(auths: BTreeMap<String, Auth>, hosts: &[String], repository: &str) -> Option<Auth> {
    let suiting = auths.into_iter().filter_map(|(key, auth)| {
        if !hosts.iter().any(|host| host == host_of(&key)) {
            return None;
        }
        let below = path_of(&key);
        let is_of_it = below.is_empty()
            || repository.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        is_of_it.then_some((below.len(), auth))
    });
    suiting.max_by_key(|(length, _)| *length).map(|(_, auth)| auth)
}

fn read(path: &Path) -> Result<Option<Config>, CredentialsError> {
    let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, CONFIG_BYTES_MAX), &mut text).map_err(failed)?;
    let config = serde_json::from_slice(&text);
    config.map(Some).map_err(|source| CredentialsError::Damaged { path: path.to_owned(), source })
}

/// Names under which the registry may stand in the file.
fn keys_of(registry: &str) -> Vec<String> {
    if registry == DOCKER_HUB {
        ["index.docker.io", "docker.io", "registry-1.docker.io"].map(str::to_owned).to_vec()
    } else {
        vec![registry.to_owned()]
    }
}

/// Old files have whole addresses as keys.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

/// What a key has behind the host. Old files have addresses of the API there.
fn path_of(key: &str) -> &str {
    let is_address = key.starts_with("https://") || key.starts_with("http://");
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let path = rest.split_once('/').map(|(_, path)| path.trim_end_matches('/')).unwrap_or_default();
    if is_address || matches!(path, "v1" | "v2") { "" } else { path }
}

fn from_auth(auth: Auth) -> Option<Credentials> {
    if let Some(token) = auth.identitytoken.filter(|token| !token.is_empty()) {
        return Some(Credentials::Identity(token));
    }
    if let Some(encoded) = auth.encoded.filter(|encoded| !encoded.is_empty()) {
        let engine = base64::engine::general_purpose::STANDARD;
        let decoded = String::from_utf8(engine.decode(encoded.expose().trim()).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        let password = Secret::new(password.trim_end_matches('\0'));
        return Some(basic(username.to_owned(), password));
    }
    match (auth.username, auth.password) {
        (Some(username), Some(password)) => Some(basic(username, password)),
        // A store leaves empty entries behind where it took the secrets away.
        (None, None) => Some(Credentials::Anonymous),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

/// A login without a name or a password is none: token servers refuse it where they let everybody in.
fn basic(username: String, password: Secret) -> Credentials {
    if username.is_empty() || password.is_empty() {
        Credentials::Anonymous
    } else {
        Credentials::Basic { username, password }
    }
}

/// Asks a helper. It may know nothing about the registry.
async fn ask_helper(
    store: Store<'_>,
    path: &Path,
    helper: &str,
    registry: &str,
) -> Result<Option<Credentials>, CredentialsError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !helper.chars().all(is_name) {
        return Err(CredentialsError::BadHelper { path: path.to_owned(), helper: helper.to_owned() });
    }
    let program = format!("docker-credential-{helper}");
    let server = if registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry };
    let tool = Tool::new(&program).arg("get").input(server).deadline(HELPER_DEADLINE);
    let tool = match store.search_path {
        Some(search_path) => tool.search_path(search_path),
        None => tool,
    };
    // On stdout there is the secret, or, after a failure, the reason.
    let mut answer = Vec::new();
    let ended = tool
        .run_with(async |stdout| {
            let mut stdout = stdout.take(ANSWER_BYTES_MAX);
            stdout.read_to_end(&mut answer).await.map(drop)
        })
        .await;
    match ended {
        Ok(()) => {
            let answer: HelperAnswer = serde_json::from_slice(&answer)
                .map_err(|_may_quote_the_secret| CredentialsError::BadAnswer { helper: program })?;
            let found = if answer.username == TOKEN_USER && !answer.secret.is_empty() {
                Credentials::Identity(answer.secret)
            } else {
                basic(answer.username, answer.secret)
            };
            // Some helpers say nothing about what they do not know.
            Ok(Some(found).filter(|found| *found != Credentials::Anonymous))
        }
        Err(ToolError::Missing { tool }) => {
            Err(CredentialsError::MissingHelper { path: path.to_owned(), program: tool })
        }
        Err(ToolError::Failed { .. }) if says_not_found(&answer) => Ok(None),
        Err(ToolError::Failed { tool, status, stderr }) => {
            let reason = String::from_utf8_lossy(&answer);
            let stderr = format!("{stderr}{}", super::text::plain(&reason, 300));
            let source = ToolError::Failed { tool, status, stderr };
            Err(CredentialsError::Helper { registry: registry.to_owned(), source })
        }
        Err(source) => Err(CredentialsError::Helper { registry: registry.to_owned(), source }),
    }
}

fn says_not_found(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).contains("credentials not found")
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
