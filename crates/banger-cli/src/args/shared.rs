//! What the arguments of several commands have in common.

use banger_model::{ImageName, NameError, VmName};
use clap::Args;
use clap_complete::ArgValueCandidates;

use crate::completion;

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a list of images or kernels shows.
#[derive(Debug, Args)]
pub(crate) struct AvailableArgs {
    /// Also list those that can be pulled from the catalog
    #[arg(short, long, visible_alias = "available")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Pull again even if it is already present
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A VM as typed: its name, its id or the beginning of its id. All of them have the form of a name.
pub(crate) fn parse_vm(text: &str) -> Result<String, NameError> {
    text.parse::<VmName>().map(String::from)
}

/// Reads an image: a name, which the daemon looks for among the local images, in the catalog and on docker.io, or a
/// source with a registry, a tag or the prefix of a file.
pub(crate) fn parse_image(text: &str) -> Result<String, NameError> {
    if !is_source(text) {
        text.parse::<ImageName>()?;
    }
    Ok(text.to_owned())
}

/// Returns whether a word names the source of an image beyond doubt.
fn is_source(text: &str) -> bool {
    text.contains([':', '/', '@']) && !text.starts_with(['.', '/', '~', ':', '-'])
}

#[derive(Debug, Args)]
pub(crate) struct OneVm {
    /// Name, ID, or unique beginning of an ID
    #[arg(value_name = "VM", value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vm: String,
}

#[derive(Debug, Args)]
pub(crate) struct ManyVms {
    /// Names, IDs, or unique beginnings of IDs
    #[arg(value_name = "VM", required = true, value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vms: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AnyVms {
    /// Names, IDs, or unique beginnings of IDs [default: all running VMs]
    #[arg(value_name = "VM", value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vms: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
