//! A guest of a few instructions: an ELF file with the note of the PVH boot protocol. It writes a line to the serial
//! port, then halts for good or ends its machine.
//! Source: Xen's `docs/misc/pvh.pandoc`: 32-bit protected mode, flat segments, interrupts off, entry from note 18.

use std::path::Path;

const LOAD_ADDRESS: u32 = 0x10_0000;
const HEADERS_BYTES: usize = 64 + 2 * 56;
const NOTE_BYTES: usize = 12 + 4 + 8;
const PHYS32_ENTRY: u32 = 18;

/// What the guest does after its line.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Nothing, for ever.
    Halt,
    /// A triple fault, which resets the machine.
    Reset,
}

/// Writes the guest as a kernel.
pub(crate) fn write(path: &Path, line: &str, then: Then) {
    std::fs::write(path, elf(line, then)).unwrap();
}

fn elf(line: &str, then: Then) -> Vec<u8> {
    let code_offset = HEADERS_BYTES + NOTE_BYTES;
    let entry = LOAD_ADDRESS + code_offset as u32;
    let code = code(entry, line, then);
    let total = (code_offset + code.len()) as u64;
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2_u16, 62] {
        file.extend(half.to_le_bytes()); // executable, x86-64
    }
    file.extend(1_u32.to_le_bytes());
    for word in [u64::from(entry), 64, 0] {
        file.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 2, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    program_header(&mut file, 1, 0, u64::from(LOAD_ADDRESS), total);
    program_header(
        &mut file,
        4,
        HEADERS_BYTES as u64,
        u64::from(LOAD_ADDRESS) + HEADERS_BYTES as u64,
        NOTE_BYTES as u64,
    );
    for word in [4, 8, PHYS32_ENTRY] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"Xen\0");
    file.extend(u64::from(entry).to_le_bytes());
    file.extend(code);
    file
}

fn program_header(file: &mut Vec<u8>, kind: u32, offset: u64, address: u64, bytes: u64) {
    file.extend(kind.to_le_bytes());
    file.extend(7_u32.to_le_bytes());
    for word in [offset, address, address, bytes, bytes, 4] {
        file.extend(word.to_le_bytes());
    }
}

fn code(entry: u32, line: &str, then: Then) -> Vec<u8> {
    let mut code = vec![0xbe]; // mov esi, text
    let text_at = code.len();
    code.extend([0; 4]);
    code.extend([0x66, 0xba, 0xf8, 0x03]); // mov dx, 0x3f8
    code.extend([0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8]); // next: lodsb; test al, al; jz +3; out dx, al; jmp next
    match then {
        Then::Halt => code.extend([0xf4, 0xeb, 0xfd]), // hlt; jmp -3
        Then::Reset => {
            code.extend([0x0f, 0x01, 0x1d]); // lidt [no table]
            let table_at = code.len();
            code.extend([0; 4]);
            code.extend([0xcc]); // int3
            let table = (entry + code.len() as u32).to_le_bytes();
            code.splice(table_at..table_at + 4, table);
            code.extend([0; 6]);
        }
    }
    let text = (entry + code.len() as u32).to_le_bytes();
    code.splice(text_at..text_at + 4, text);
    code.extend(line.bytes());
    code.extend(b"\n\0");
    code
}
