use super::*;

fn select(files: &[(&str, &str)], suite: &str) -> Option<String> {
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| SourceFile { name: (*name).to_owned(), text: (*text).to_owned() })
        .collect();
    select_sources(&files, suite, |path| {
        (path == "/etc/apt/mirrors/debian.list").then(|| {
            "# near first\nhttps://near.test/debian\tpriority:1\nhttps://far.test/debian\n".to_owned()
        })
    })
}

const DEB822: &str = "\
Types: deb deb-src
# an old snapshot
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
Check-Valid-Until: no
";

#[test]
fn the_suite_its_updates_and_its_security_are_taken_from_deb822() {
    assert_eq!(
        select(&[("debian.sources", DEB822)], "bookworm").unwrap(),
        "\
Types: deb
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
Check-Valid-Until: no
"
    );
}

#[test]
fn one_line_sources_are_taken_with_their_options() {
    let text = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main # home\n\
                deb-src http://mirror.test/debian bookworm main\n\
                #deb http://mirror.test/debian bookworm-updates main\n";
    assert_eq!(
        select(&[("/etc/apt/sources.list", text)], "bookworm").unwrap(),
        "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\nSigned-By: /k.gpg\n"
    );
}

#[test]
fn third_parties_and_disabled_sources_are_left_out() {
    let docker = "deb https://docker.test/linux/debian bookworm stable\n";
    let off =
        "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n";
    assert_eq!(select(&[("docker.list", docker), ("off.sources", off)], "bookworm"), None);
    assert_eq!(select(&[("debian.sources.disabled", DEB822)], "bookworm"), None);
}

#[test]
fn a_host_of_another_release_has_no_sources() {
    assert_eq!(select(&[("debian.sources", DEB822)], "trixie"), None);
    let only_updates = "deb http://mirror.test/debian bookworm-updates main\n";
    assert_eq!(select(&[("a.list", only_updates)], "bookworm"), None);
}

#[test]
fn a_mirror_list_of_the_host_is_resolved_and_a_disc_is_left_out() {
    let text = "deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\n\
                deb cdrom:[Debian]/ bookworm main\n";
    assert_eq!(
        select(&[("a.list", text)], "bookworm").unwrap(),
        "Types: deb\nURIs: https://near.test/debian https://far.test/debian\nSuites: bookworm\nComponents: main\n"
    );
}

#[test]
fn a_key_inside_a_stanza_stays_whole() {
    let text = "Types: deb\nURIs: http://m.test\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n -----END\n";
    assert!(
        select(&[("a.sources", text)], "bookworm")
            .unwrap()
            .ends_with("Signed-By: \n -----BEGIN\n .\n -----END\n")
    );
}
