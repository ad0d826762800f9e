//! Random names: for operations, VMs and staging files; and bytes as text.

use std::fmt::Write as _;

/// Fills `N` bytes from the system's random generator.
///
/// # Panics
/// If the host has no random generator, because nothing can be safe without one.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "getrandom(2) with flags 0 fails only where the kernel lacks it")]
    getrandom::fill(&mut bytes).expect("the kernel has a random generator");
    bytes
}

/// Returns `N` random bytes in lower-case hexadecimal, 2·N characters.
#[must_use]
pub fn random_hex<const N: usize>() -> String {
    hex(&random_bytes::<N>())
}

/// Returns bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_differ_and_have_the_asked_length() {
        let (first, second) = (random_hex::<8>(), random_hex::<8>());
        assert_eq!(first.len(), 16);
        assert_ne!(first, second);
    }
}
