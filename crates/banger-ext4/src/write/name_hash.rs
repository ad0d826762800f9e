//! The hash that orders large directories: MD4 cut in half, with signed characters (kernel `ext4/directory.rst`,
//! "Hash Tree Directories"; MD4 itself is RFC 1320).

const K2: u32 = 0x5a82_7999;
const K3: u32 = 0x6ed9_eba1;
const MD4_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The largest hash is reserved: it marks the end of a directory.
const END_MARK: u32 = 0xffff_fffe;

/// Returns the hash of a name. The lowest bit is always clear: the index uses it.
pub(crate) fn half_md4(name: &[u8], seed: &[u8; 16]) -> u32 {
    let mut state = start_state(seed);
    let mut rest = name;
    while !rest.is_empty() {
        transform(&mut state, words(rest));
        rest = rest.get(32..).unwrap_or_default();
    }
    let [_, hash, _, _] = state;
    match hash & !1 {
        END_MARK => END_MARK - 2,
        hash => hash,
    }
}

fn start_state(seed: &[u8; 16]) -> [u32; 4] {
    if seed.iter().all(|byte| *byte == 0) {
        return MD4_START;
    }
    let mut state = [0; 4];
    for (word, bytes) in state.iter_mut().zip(seed.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    state
}

/// Returns up to 32 bytes as 8 big-endian words, padded with the length of the rest of the name.
#[expect(clippy::cast_possible_truncation, reason = "names have at most 255 bytes")]
#[expect(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "characters are signed in this hash")]
fn words(rest: &[u8]) -> [u32; 8] {
    let pad = rest.len() as u32 * 0x0101_0101;
    let mut words = [pad; 8];
    for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
        for byte in bytes {
            *word = (*byte as i8 as u32).wrapping_add(*word << 8);
        }
    }
    words
}

/// The mixing function of three words, the constant that is added, the order of the words, and the rotations.
type Round = (fn(u32, u32, u32) -> u32, u32, [u32; 8], [u32; 4]);

fn transform(state: &mut [u32; 4], words: [u32; 8]) {
    let [w0, w1, w2, w3, w4, w5, w6, w7] = words;
    let rounds: [Round; 3] = [
        (|x, y, z| z ^ (x & (y ^ z)), 0, [w0, w1, w2, w3, w4, w5, w6, w7], [3, 7, 11, 19]),
        (|x, y, z| (x & y).wrapping_add((x ^ y) & z), K2, [w1, w3, w5, w7, w0, w2, w4, w6], [3, 5, 9, 13]),
        (|x, y, z| x ^ y ^ z, K3, [w3, w7, w2, w6, w1, w5, w0, w4], [3, 9, 11, 15]),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (mix, constant, words, shifts) in rounds {
        for (word, shift) in words.into_iter().zip(shifts.into_iter().cycle()) {
            let mixed = a.wrapping_add(mix(b, c, d)).wrapping_add(word).wrapping_add(constant);
            (a, b, c, d) = (d, mixed.rotate_left(shift), b, c);
        }
    }
    for (value, added) in state.iter_mut().zip([a, b, c, d]) {
        *value = value.wrapping_add(added);
    }
}
