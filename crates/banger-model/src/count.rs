//! Numbers of things in sentences.

/// Returns a number of things, as in `1 file` or `2 files`.
#[must_use]
pub fn count(thing: &str, number: impl TryInto<u64>) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0_u64, 1, 2].map(|number| count("VM", number)), ["0 VMs", "1 VM", "2 VMs"]);
        assert_eq!(count("open stream", 1_usize), "1 open stream");
    }
}
