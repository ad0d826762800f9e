//! Random names: for operations, VMs and staging files.

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
    random_bytes::<N>().iter().map(|byte| format!("{byte:02x}")).collect()
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
