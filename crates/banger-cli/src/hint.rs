//! Words for the hints that come as data: the command to type, or what to do.

use banger_model::Hint;

/// What to do about a pipe through which nothing has come.
pub(crate) const EMPTY_PIPE: &str = "the command before the pipe has probably failed; see what it said";

/// Returns what a user of the command line is told; `None` for what only a newer version knows.
pub(crate) fn words(hint: &Hint) -> Option<String> {
    Some(match hint {
        Hint::ListVms => "banger vm list".to_owned(),
        Hint::ShowVm { vm } => format!("banger vm show {vm}"),
        Hint::StartVm { vm } => format!("banger vm start {vm}"),
        Hint::StopVm { vm } => format!("banger vm stop {vm}"),
        Hint::DeleteVm { vm } => format!("banger vm delete {vm}"),
        Hint::EnterVm { vm } => format!("banger vm exec {vm}"),
        Hint::RunInVm { vm } => format!("banger vm exec {vm} -- <command>"),
        Hint::ReadVmLog { vm } => format!("banger vm logs {vm}"),
        Hint::UpdateAgent { .. } => "restart the VM to update its agent".to_owned(),
        Hint::NameVmChange => "banger vm set --help".to_owned(),
        Hint::KeepVm => "run it without --rm to keep the VM and its log".to_owned(),
        Hint::EnlargeDisks { size } => {
            format!("make the disks larger: --disk-size {size} (--work-size for `/root` alone)")
        }
        Hint::RunAsCommand { word } => format!("to run `{word}` as a command: banger run -- {word}"),
        Hint::RunLocalImage { name } => format!("to use the local image: banger run {name}"),
        Hint::RunCatalogImage { name } => format!("to use the image of the catalog: banger run {name}"),
        Hint::UseLocalImage => "leave out `--pull always` to use the local image as it is".to_owned(),
        Hint::AllowPull => "leave out `--pull never`, or choose one of `banger image list`".to_owned(),
        Hint::ListLocal { kind } => format!("banger {kind} list"),
        Hint::ListKnown { kind } => format!("banger {kind} list --all"),
        Hint::Show { kind, name } => format!("banger {kind} show {name}"),
        Hint::ShowUsers { kind, name } => {
            format!("banger {kind} show {name}; it can be replaced or deleted when no VM uses it")
        }
        Hint::Pull { kind, name } => format!("banger {kind} pull {name}"),
        Hint::PullAgain { kind, name } => format!("banger {kind} pull --force {name}"),
        Hint::PullKernelOfImage { kernel } => {
            format!("banger kernel pull {kernel}; the image need not be pulled again")
        }
        Hint::ImportKernel { kernel } => format!("banger kernel import --name {kernel} <file>"),
        Hint::ImportAgain { kind, name } => {
            format!("banger {kind} import --force --name {name} --from <path>")
        }
        Hint::Delete { kind, name } => format!("banger {kind} delete {name}"),
        Hint::DeleteNeededKernel { kernel } => {
            format!("delete the images first, or use --force: banger kernel delete --force {kernel}")
        }
        Hint::NameImage { source } => format!("banger image pull {source} --name <name>"),
        Hint::PullUnderOtherName { source } => {
            format!("banger image pull {source} --name <name>, then use that name")
        }
        Hint::ChooseOtherName => "choose another name with `--name <name>`".to_owned(),
        Hint::ChooseImage { name } => {
            format!("choose one by its name at the end of the source, as in `FILE:{name}`")
        }
        Hint::ChooseKernel => "--kernel <name>".to_owned(),
        Hint::ProveDownload => "use `--sha256 <digest>` or `--minisign-key <key>`".to_owned(),
        Hint::RaiseMaxSize => "if it is right so: --max-size <size>".to_owned(),
        Hint::TrustRegistry => {
            "if the registry has no TLS, pull with --insecure-http; if it has a certificate of its own, put it into \
             /etc/docker/certs.d/<host>/ca.crt"
                .to_owned()
        }
        // What docker calls its own registry.
        Hint::LogIn { registry } if registry == "docker.io" => "docker login".to_owned(),
        Hint::LogIn { registry } => format!("docker login {registry}"),
        Hint::ConvertLayers => {
            "skopeo copy --dest-compress-format gzip docker://<image> oci:<directory>, then banger image pull \
             oci:<directory>"
                .to_owned()
        }
        Hint::ChooseOtherFile => "delete it, or choose another file with `--output`".to_owned(),
        Hint::FreeSpace => {
            "free space with `banger vm delete <name>`, `banger vm prune` or `banger image cache prune`; `disk_floor` \
             in config.toml sets how much stays free"
                .to_owned()
        }
        Hint::ExamineHost => "banger doctor".to_owned(),
        Hint::InstallPackage { package } => format!("sudo apt-get install {package}"),
        Hint::SetUpFirecracker => "banger setup firecracker".to_owned(),
        Hint::StopDaemon => "banger daemon stop --force".to_owned(),
        Hint::OnHost { command } => command.clone(),
        Hint::Advice { text } => text.clone(),
        Hint::Unknown => return None,
    })
}

#[cfg(test)]
mod tests {
    use banger_model::ArtifactKind;

    use super::*;

    #[test]
    fn a_hint_is_a_command_to_type() {
        let name = || "app".to_owned();
        let hints = [
            Hint::StartVm { vm: "dev".to_owned() },
            Hint::ListKnown { kind: ArtifactKind::Kernel },
            Hint::PullAgain { kind: ArtifactKind::Image, name: name() },
            Hint::LogIn { registry: "docker.io".to_owned() },
            Hint::LogIn { registry: "localhost:5000".to_owned() },
            Hint::install("kmod"),
            Hint::on_host("sudo modprobe kvm"),
        ];
        let told: Vec<_> = hints.iter().map(|hint| words(hint).unwrap()).collect();
        let expected = [
            "banger vm start dev",
            "banger kernel list --all",
            "banger image pull --force app",
            "docker login",
            "docker login localhost:5000",
            "sudo apt-get install kmod",
            "sudo modprobe kvm",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_only_a_newer_version_knows_is_left_out() {
        assert_eq!(words(&Hint::Unknown), None);
    }
}
