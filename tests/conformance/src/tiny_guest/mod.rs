//! A guest of a few hundred instructions: an ELF file with two entries, one for the PVH boot protocol, used by VMMs that
//! look for its note, and one for Linux' own protocol, used by those that do not (Firecracker before 1.12). It writes a line
//! to the serial port and then behaves as the test requires: nothing, an end, ticks, drives, an echo for streams. Source of
//! the note: Xen's `docs/misc/pvh.pandoc`: 32-bit protected mode, flat segments, interrupts off, entry from note 18. The
//! other entry is the ELF file's own: 64-bit mode.
#![allow(
    unsafe_code,
    reason = "the guest's code is data of this program, which only the linker knows the place of"
)]

use std::path::Path;

use async_trait::async_trait;
use banger_vmm::Machine;
use tokio::net::UnixStream;

use crate::guest::{CHANNEL_DEADLINE, Does, Guest};
use crate::rig::{LINE, Rig};

std::arch::global_asm!(
    ".pushsection .rodata.tiny_guest, \"a\"",
    include_str!("guest.s"),
    ".popsection",
    options(att_syntax)
);

const LOAD_ADDRESS: u32 = 0x10_0000;
const CODE_OFFSET: usize = 0x1000;
const HEADERS_BYTES: usize = 64 + 2 * 56;
const NOTE_BYTES: usize = 12 + 4 + 8;
const PHYS32_ENTRY: u32 = 18;

/// Offsets of the mode and the line in the code.
const MODE_OFFSET: usize = 8;
const LINE_OFFSET: usize = 16;
const LINE_BYTES_MAX: usize = 46;
/// The entry of Linux' 64-bit boot protocol.
const LINUX_ENTRY: u32 = LOAD_ADDRESS + 64;

/// The entry through which a VMM may start the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The PVH boot protocol, or Linux' if the VMM does not support the former.
    Any,
    /// Linux' boot protocol only: the file has no note for the other.
    Linux,
}

/// The tiny guest.
#[derive(Clone, Copy, Debug)]
pub struct TinyGuest {
    /// Whether its machine delivers streams by vsock, which is all that the guest supports.
    pub has_vsock: bool,
}

#[async_trait]
impl Guest for TinyGuest {
    fn can(&self, does: Does) -> bool {
        match does {
            Does::Run | Does::Halt | Does::End | Does::Tick | Does::Drives => true,
            Does::Echo => self.has_vsock,
        }
    }

    fn rig(&self, does: Does) -> Rig {
        Rig::with_kernel(|path| write(path, LINE, does, Entry::Any))
    }

    async fn echo(&self, machine: &dyn Machine) -> UnixStream {
        machine.connect(1024, CHANNEL_DEADLINE).await.expect("the guest listens")
    }
}

/// Writes the guest as a kernel.
///
/// # Panics
/// If the file cannot be written.
pub fn write(path: &Path, line: &str, does: Does, entry: Entry) {
    std::fs::write(path, elf(line, does, entry)).expect("the guest can be written");
}

fn elf(line: &str, does: Does, entry: Entry) -> Vec<u8> {
    let code = code(line, does);
    let headers = match entry {
        Entry::Any => 2_u16,
        Entry::Linux => 1,
    };
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2_u16, 62] {
        file.extend(half.to_le_bytes()); // executable, x86-64
    }
    file.extend(1_u32.to_le_bytes());
    for word in [u64::from(LINUX_ENTRY), 64, 0] {
        file.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, headers, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    program_header(&mut file, 1, CODE_OFFSET, code.len());
    program_header(&mut file, 4, HEADERS_BYTES, NOTE_BYTES);
    for word in [4, 8, PHYS32_ENTRY] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"Xen\0");
    file.extend(u64::from(LOAD_ADDRESS).to_le_bytes());
    file.resize(CODE_OFFSET, 0);
    file.extend(code);
    file
}

fn program_header(file: &mut Vec<u8>, kind: u32, offset: usize, bytes: usize) {
    file.extend(kind.to_le_bytes());
    file.extend(7_u32.to_le_bytes());
    let address = u64::from(LOAD_ADDRESS);
    for word in [offset as u64, address, address, bytes as u64, bytes as u64, 4] {
        file.extend(word.to_le_bytes());
    }
}

/// The numbers that `guest.s` uses.
fn mode(does: Does) -> u32 {
    match does {
        Does::Run | Does::Halt => 0,
        Does::End => 1,
        Does::Tick => 2,
        Does::Drives => 4,
        Does::Echo => 8,
    }
}

fn code(line: &str, does: Does) -> Vec<u8> {
    assert!(line.len() <= LINE_BYTES_MAX, "{line}");
    let mut code = assembled().to_vec();
    code[MODE_OFFSET..MODE_OFFSET + 4].copy_from_slice(&mode(does).to_le_bytes());
    code[LINE_OFFSET..LINE_OFFSET + line.len()].copy_from_slice(line.as_bytes());
    code[LINE_OFFSET + line.len()] = b'\n';
    code
}

fn assembled() -> &'static [u8] {
    unsafe extern "C" {
        static tiny_guest_begin: u8;
        static tiny_guest_end: u8;
    }
    let (begin, end) = (&raw const tiny_guest_begin, &raw const tiny_guest_end);
    // SAFETY: both labels are of one section of this program, which is only read.
    unsafe { std::slice::from_raw_parts(begin, end.offset_from_unsigned(begin)) }
}
