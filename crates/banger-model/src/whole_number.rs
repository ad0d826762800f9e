//! Numbers in JSON. A number whose fraction is zero counts as an integer there (JSON Schema, "integer"), so `2.0` is read as
//! 2.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Floating-point integers up to this one are exact.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// A whole number. A number beyond the type becomes the type's last value, which is also beyond each of our limits.
pub(crate) struct WholeNumber(pub(crate) i64);

/// A whole number that is not negative.
pub(crate) struct Natural(pub(crate) u64);

struct Reader;

impl Visitor<'_> for Reader {
    type Value = i128;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i128, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i128, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i128, E> {
        if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within what is exact")]
            return Ok(number as i128);
        }
        Err(E::invalid_type(Unexpected::Float(number), &self))
    }
}

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(Reader)?;
        Ok(Self(i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })))
    }
}

impl<'de> Deserialize<'de> for Natural {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        natural(deserializer).map(Self)
    }
}

/// Deserializes a whole number of some type, for `deserialize_with`.
///
/// # Errors
/// If the number is not whole, or beyond the type.
pub fn natural<'de, D: Deserializer<'de>, N: TryFrom<u64>>(deserializer: D) -> Result<N, D::Error> {
    let number = deserializer.deserialize_any(Reader)?;
    let fitting = u64::try_from(number).ok().and_then(|number| N::try_from(number).ok());
    fitting.ok_or_else(|| {
        let most = u128::MAX >> (128 - 8 * size_of::<N>());
        D::Error::custom(format_args!("must be a whole number from 0 to {most}, not {number}"))
    })
}

/// Deserializes a whole number that may be absent or `null`, for `deserialize_with`.
///
/// # Errors
/// As [`natural`].
pub fn optional_natural<'de, D: Deserializer<'de>, N: TryFrom<u64>>(
    deserializer: D,
) -> Result<Option<N>, D::Error> {
    struct Number<N>(N);
    impl<'de, N: TryFrom<u64>> Deserialize<'de> for Number<N> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            natural(deserializer).map(Self)
        }
    }
    let number = Option::<Number<N>>::deserialize(deserializer)?;
    Ok(number.map(|Number(number)| number))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::{DiskBytes, Ttl, TtlChange, VcpuCount};

    #[derive(Debug, Deserialize)]
    struct Request {
        #[serde(default, deserialize_with = "super::optional_natural")]
        grace_secs: Option<u32>,
    }

    #[test]
    fn a_number_that_is_whole_is_taken_however_it_is_written() {
        assert_eq!(serde_json::from_str::<VcpuCount>("2.0").unwrap().get(), 2);
        assert_eq!(serde_json::from_str::<Ttl>("6e1").unwrap().as_secs(), 60);
        assert_eq!(serde_json::from_str::<TtlChange>("0.0").unwrap(), TtlChange::Remove);
        for (text, grace) in
            [("{}", None), (r#"{"grace_secs": null}"#, None), (r#"{"grace_secs": 5.0}"#, Some(5))]
        {
            assert_eq!(serde_json::from_str::<Request>(text).unwrap().grace_secs, grace);
        }
    }

    #[test]
    fn another_number_is_refused_with_what_is_expected() {
        let refusal = |text: &str| serde_json::from_str::<VcpuCount>(text).unwrap_err().to_string();
        assert!(refusal("1.5").starts_with("invalid type: floating point `1.5`, expected a whole number"));
        assert!(refusal("\"2\"").starts_with("invalid type: string \"2\", expected a whole number"));
        assert!(serde_json::from_str::<DiskBytes>("18446744073709551615").is_err());
        assert!(serde_json::from_str::<TtlChange>("-60").is_err());
        for bad in ["-1", "4294967296", "1e300", "0.5", "true"] {
            assert!(
                serde_json::from_str::<Request>(&format!(r#"{{"grace_secs": {bad}}}"#)).is_err(),
                "{bad}"
            );
        }
        let error = serde_json::from_str::<Request>(r#"{"grace_secs": -1}"#).unwrap_err().to_string();
        assert!(error.starts_with("must be a whole number from 0 to 4294967295, not -1"), "{error}");
    }
}
