//! Doors for the fuzz targets to the documents and layers of images.

use banger_ext4::Ext4Writer;

use super::documents::{ConfigDocument, Document, candidates};
use super::flatten::LayerVisitor;
use super::layer::decoder;
use super::left_out::LeftOut;
use super::platform::Platform;
use crate::limits::Allowance;

/// Reads what could be a manifest, an index or a config.
pub fn oci_document(bytes: &[u8]) {
    let platform = Platform::of_guests();
    match Document::parse(bytes) {
        Ok(Document::Index(builds)) => drop(candidates(&builds, &platform)),
        Ok(Document::Image(_)) | Err(_) => {}
    }
    for layers in 0..3 {
        let _ = ConfigDocument::parse(bytes, layers, &platform);
    }
}

/// Adds a layer, compressed or not, without its digests: no fuzzer finds those.
pub(crate) fn add_layer(writer: &mut Ext4Writer, mut bytes: &[u8]) -> bool {
    writer.begin_layer();
    let (allowance, mut left_out) = (Allowance::endless(), LeftOut::default());
    let mut visitor = LayerVisitor { allowance: &allowance, left_out: &mut left_out };
    decoder(&mut bytes).is_ok_and(|tar| writer.add_tar_members(tar, &mut visitor).is_ok())
}
