//! The calls other than exec, and the identity as files below a root.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    time::Duration,
};

use banger_agent::test_guest;
use banger_agent_proto::{
    EnvironmentVariable, ExecStart, HelloRequest, IdentifyRequest, NetworkConfig, PROTOCOL_VERSION,
    ProcessDefaults, Readiness, SetClockRequest, WaitPortRequest, WaitReadyRequest,
};

use crate::guest::{client, ports, shell, start_on};

fn identity() -> IdentifyRequest {
    IdentifyRequest {
        hostname: "box".into(),
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        ssh_host_key: "PRIVATE\n".into(),
        ssh_host_key_public: "ssh-ed25519 AAAA box".into(),
        authorized_keys: vec!["ssh-ed25519 BBBB me".into()],
        network: Some(NetworkConfig {
            address: "10.0.2.15/24".into(),
            dns_servers: vec!["10.0.2.3".into()],
            ..NetworkConfig::default()
        }),
        ..IdentifyRequest::default()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn hello_agrees_on_a_version() {
    let mut client = client(&ports()).await;
    let common = HelloRequest {
        protocol_versions: vec![99, PROTOCOL_VERSION],
        host_version: "1".into(),
        ..HelloRequest::default()
    };
    let reply = client.hello(common).await.unwrap().into_inner();
    assert_eq!(reply.protocol_version, PROTOCOL_VERSION);
    assert_eq!(reply.boot_id.len(), 36);
    let foreign =
        HelloRequest { protocol_versions: vec![99], host_version: "9".into(), ..HelloRequest::default() };
    let reply = client.hello(foreign).await.unwrap().into_inner();
    assert_eq!((reply.protocol_version, reply.supported_versions), (0, vec![PROTOCOL_VERSION]));
}

#[tokio::test]
async fn processes_start_as_the_image_says_where_their_callers_say_nothing() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    let ports = test_guest::ports(root.path()).unwrap();
    let mut client = client(&ports).await;
    let script = r#"echo "$A $B $PWD $1""#;
    let process = ProcessDefaults {
        command: ["sh", "-c", script, "sh", "arg"].map(Into::into).to_vec(),
        environment: vec![
            EnvironmentVariable { name: "A".into(), value: "image".into() },
            EnvironmentVariable { name: "B".into(), value: "image".into() },
        ],
        user: String::new(),
        working_directory: "/usr".into(),
    };
    client.identify(IdentifyRequest { process: Some(process), ..identity() }).await.unwrap();
    let caller = vec![EnvironmentVariable { name: "B".into(), value: "caller".into() }];
    let start = ExecStart { environment: caller, image_command: true, ..ExecStart::default() };
    let outcome = start_on(client.clone(), start).await.finish().await;
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "image caller /usr arg\n");
    // The host's variables have lower precedence.
    let variable = |name: &'static str| EnvironmentVariable { name: name.into(), value: "host".into() };
    let session_environment = vec![variable("B"), variable("http_proxy")];
    client.identify(IdentifyRequest { session_environment, ..identity() }).await.unwrap();
    let caller = vec![EnvironmentVariable { name: "B".into(), value: "caller".into() }];
    let start = ExecStart { environment: caller, ..shell("echo \"$B $http_proxy\"") };
    let outcome = start_on(client.clone(), start).await.finish().await;
    assert_eq!(outcome.stdout, b"caller host\n");
    // The next identity may belong to another image.
    client.identify(identity()).await.unwrap();
    let outcome = start_on(client.clone(), shell("echo \"$A\"")).await.finish().await;
    assert_eq!(outcome.stdout, b"\n");
}

#[tokio::test]
async fn an_identity_becomes_files_with_their_modes() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::create_dir_all(path("etc")).unwrap();
    fs::create_dir_all(path("root/.ssh")).unwrap();
    symlink("../run/systemd/resolve/stub-resolv.conf", path("etc/resolv.conf")).unwrap();
    fs::write(path("root/.ssh/authorized_keys"), "ssh-rsa CCCC other").unwrap();
    let mut client = client(&test_guest::ports(root.path()).unwrap()).await;
    let reply = client.identify(identity()).await.unwrap().into_inner();
    assert_eq!(reply.warnings, Vec::<String>::new());
    let text = |name: &str| fs::read_to_string(path(name)).unwrap();
    assert_eq!(text("etc/hostname"), "box\n");
    assert!(text("etc/hosts").ends_with("127.0.1.1 box\n"));
    assert_eq!(text("etc/machine-id"), "0123456789abcdef0123456789abcdef\n");
    assert_eq!(text("etc/resolv.conf"), "nameserver 10.0.2.3\n");
    assert_eq!(text("root/.ssh/authorized_keys"), "ssh-rsa CCCC other\nssh-ed25519 BBBB me\n");
    assert_eq!(text("etc/ssh/ssh_host_ed25519_key"), "PRIVATE\n");
    assert_eq!(mode(&path("etc/ssh/ssh_host_ed25519_key")), 0o600);
    assert_eq!(mode(&path("etc/ssh/ssh_host_ed25519_key.pub")), 0o644);
    assert_eq!((mode(&path("root/.ssh")), mode(&path("root/.ssh/authorized_keys"))), (0o700, 0o600));
}

#[tokio::test]
async fn a_second_identity_changes_what_differs_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let mut client = client(&test_guest::ports(root.path()).unwrap()).await;
    client.identify(identity()).await.unwrap();
    let key = root.path().join("etc/ssh/ssh_host_ed25519_key");
    let inode = fs::metadata(&key).unwrap().ino();
    client.identify(IdentifyRequest { hostname: "other".into(), ..identity() }).await.unwrap();
    assert_eq!(fs::metadata(&key).unwrap().ino(), inode);
    assert_eq!(fs::read_to_string(root.path().join("etc/hostname")).unwrap(), "other\n");
    let hosts = fs::read_to_string(root.path().join("etc/hosts")).unwrap();
    assert!(hosts.contains("127.0.1.1 other") && !hosts.contains("box"), "{hosts}");
}

#[tokio::test]
async fn bad_values_are_warnings_and_the_rest_is_done() {
    let root = tempfile::tempdir().unwrap();
    let mut client = client(&test_guest::ports(root.path()).unwrap()).await;
    let bad = IdentifyRequest { hostname: "a/../b".into(), machine_id: "short".into(), ..identity() };
    let warnings = client.identify(bad).await.unwrap().into_inner().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(!root.path().join("etc/hostname").exists());
    assert!(root.path().join("root/.ssh/authorized_keys").exists());
}

#[tokio::test]
async fn the_wait_for_readiness_ends_with_the_identity() {
    let root = tempfile::tempdir().unwrap();
    let ports = test_guest::ports(root.path()).unwrap();
    let (mut waiting, mut identifying) = (client(&ports).await, client(&ports).await);
    let boundary = WaitReadyRequest { boundary: Readiness::System.into() };
    let (ready, _) = tokio::join!(waiting.wait_ready(boundary), identifying.identify(identity()));
    assert_eq!(ready.unwrap().into_inner().readiness(), Readiness::System);
}

#[tokio::test]
async fn a_port_is_waited_for_until_something_listens_on_it() {
    let client = client(&ports()).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let request = |port: u16| WaitPortRequest { port: port.into() };
    client.clone().wait_port(request(address.port())).await.unwrap();
    drop(listener);
    let mut waiting = client.clone();
    let given_up = waiting.wait_port(request(address.port()));
    assert!(tokio::time::timeout(Duration::from_millis(200), given_up).await.is_err());
    let refused = client.clone().wait_port(request(0)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn the_clocks_distance_is_told() {
    let mut client = client(&ports()).await;
    let reply = client.set_clock(SetClockRequest { clock_unix_nanos: 1 }).await.unwrap().into_inner();
    assert!(reply.moved_nanos < -1_000_000_000);
}

#[tokio::test]
async fn commands_trust_the_authorities_of_the_host_until_they_are_gone() {
    let root = tempfile::tempdir().unwrap();
    let ports = test_guest::ports(root.path()).unwrap();
    let mut client = client(&ports).await;
    let pem = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n".to_owned();
    client
        .identify(IdentifyRequest { certificate_authorities: vec![pem.clone()], ..identity() })
        .await
        .unwrap();
    let outcome = start_on(client.clone(), shell("echo $SSL_CERT_FILE")).await.finish().await;
    assert_eq!(outcome.stdout, b"/etc/ssl/certs/ca-certificates.crt\n");
    let bundle = root.path().join("etc/ssl/certs/ca-certificates.crt");
    assert!(fs::read_to_string(&bundle).unwrap().contains(&pem));
    client.identify(identity()).await.unwrap();
    let outcome = start_on(client.clone(), shell("echo $SSL_CERT_FILE")).await.finish().await;
    assert_eq!((outcome.stdout.as_slice(), bundle.exists()), (&b"\n"[..], false));
}
