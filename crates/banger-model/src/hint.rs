//! What helps against an error.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kernel or an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ArtifactKind {
    /// A kernel.
    Kernel,
    /// An image.
    Image,
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kernel => "kernel",
            Self::Image => "image",
        })
    }
}

/// What to do next against an error, as data: each client words it for its own users. The command line writes the command
/// to type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Hint {
    /// See which VMs there are.
    ListVms,
    /// See the state of a VM.
    ShowVm {
        /// The VM.
        vm: String,
    },
    /// Start a VM.
    StartVm {
        /// The VM.
        vm: String,
    },
    /// Stop a VM.
    StopVm {
        /// The VM.
        vm: String,
    },
    /// Complete the deletion of a VM.
    DeleteVm {
        /// The VM.
        vm: String,
    },
    /// Open a shell in a VM and look there.
    EnterVm {
        /// The VM.
        vm: String,
    },
    /// Run a command in a VM that is running already.
    RunInVm {
        /// The VM.
        vm: String,
    },
    /// Read the console of a VM's guest.
    ReadVmLog {
        /// The VM.
        vm: String,
    },
    /// Restart a VM: its guest then has the agent of this version.
    UpdateAgent {
        /// The VM.
        vm: String,
    },
    /// Name something that is to be changed.
    NameVmChange,
    /// Do the same with a VM that is kept, to read its log.
    KeepVm,
    /// Make a VM's disks larger.
    EnlargeDisks {
        /// The size that suffices, as in `10G`.
        size: String,
    },
    /// Take the words as a command in the default image, not as an image.
    RunAsCommand {
        /// The first word.
        word: String,
    },
    /// Use the local image of this name.
    RunLocalImage {
        /// The image.
        name: String,
    },
    /// Use the catalog's image of this name.
    RunCatalogImage {
        /// The image.
        name: String,
    },
    /// Use the local image as it is, without pulling it again.
    UseLocalImage,
    /// Let the image be pulled, or choose a local one.
    AllowPull,
    /// See which kernels or images are local.
    ListLocal {
        /// Kernels or images.
        kind: ArtifactKind,
    },
    /// See which kernels or images are local, or can be pulled by their name alone.
    ListKnown {
        /// Kernels or images.
        kind: ArtifactKind,
    },
    /// See what a kernel or an image is, and which VMs use it.
    Show {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// See which VMs use a kernel or an image: it can be replaced or deleted when none does.
    ShowUsers {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// Pull a kernel or an image.
    Pull {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// Pull a kernel or an image again, and replace the local one.
    PullAgain {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// Pull the kernel of an image that is local already.
    PullKernelOfImage {
        /// The kernel.
        kernel: String,
    },
    /// Import a kernel that nobody can pull.
    ImportKernel {
        /// The name that it needs.
        kernel: String,
    },
    /// Import a kernel or an image again, and replace the local one.
    ImportAgain {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// Delete a kernel or an image whose files are lost.
    Delete {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// Delete a kernel although images need it.
    DeleteNeededKernel {
        /// The kernel.
        kernel: String,
    },
    /// Choose the name under which a source is pulled.
    NameImage {
        /// The source, as in `docker-archive:app.tar`.
        source: String,
    },
    /// Pull a source under another name, and use that one.
    PullUnderOtherName {
        /// The source.
        source: String,
    },
    /// Choose another name for an image.
    ChooseOtherName,
    /// Choose one image of several in an archive.
    ChooseImage {
        /// The name of one of them.
        name: String,
    },
    /// Choose the kernel of an image.
    ChooseKernel,
    /// Say what a download must be: its SHA-256, or a key that signed it.
    ProveDownload,
    /// Raise the limit of this pull, if the image is right so.
    RaiseMaxSize,
    /// Trust a registry without TLS, or one with a certificate of its own.
    TrustRegistry,
    /// Log in to a registry.
    LogIn {
        /// Its host, and its port if it has one.
        registry: String,
    },
    /// Convert the layers of an image to a form that can be read.
    ConvertLayers,
    /// Choose another file for what is written.
    ChooseOtherFile,
    /// Make room on the disk, or let less of it stay free.
    FreeSpace,
    /// Look at what is missing on the host.
    ExamineHost,
    /// Install a package of the host's distribution.
    InstallPackage {
        /// Its name.
        package: String,
    },
    /// Install Firecracker.
    SetUpFirecracker,
    /// Stop the daemon although it is at work.
    StopDaemon,
    /// Type this shell command on the daemon's host.
    OnHost {
        /// The command.
        command: String,
    },
    /// Advice that is the same for every client.
    Advice {
        /// One sentence, without a command of any client.
        text: String,
    },
    /// What a newer daemon proposes, and this version does not know.
    #[serde(other)]
    Unknown,
}

impl Hint {
    /// Returns the hint to type a shell command on the host.
    pub fn on_host(command: impl Into<String>) -> Self {
        Self::OnHost { command: command.into() }
    }

    /// Returns advice in one sentence.
    pub fn advice(text: impl Into<String>) -> Self {
        Self::Advice { text: text.into() }
    }

    /// Returns the hint to install a package.
    pub fn install(package: impl Into<String>) -> Self {
        Self::InstallPackage { package: package.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_travels_as_its_action_and_what_it_is_about() {
        let hint = Hint::PullAgain { kind: ArtifactKind::Kernel, name: "debian-12".to_owned() };
        let text = serde_json::to_string(&hint).unwrap();
        assert_eq!(text, r#"{"action":"pull_again","kind":"kernel","name":"debian-12"}"#);
        assert_eq!(serde_json::from_str::<Hint>(&text).unwrap(), hint);
    }

    #[test]
    fn a_hint_of_a_newer_daemon_is_read() {
        let hint: Hint = serde_json::from_str(r#"{"action":"pray","to":"someone"}"#).unwrap();
        assert_eq!(hint, Hint::Unknown);
    }
}
