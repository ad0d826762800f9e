//! Compares the measurements of `make bench` with the record. Only ratios and memory are compared, because times depend on
//! the machine and its load, which are the same for both sides of a ratio.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// The record for one way of running guests.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// VMM and accelerator, as `banger vm show` names them.
    pub vm: String,
    /// Compared figures, by their names in the output of `make bench`.
    pub figures: BTreeMap<String, Recorded>,
}

/// One recorded figure. Smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct Recorded {
    pub value: f64,
    /// How much it differs between runs of one build, as a share of the value.
    pub noise: f64,
}

/// The result for one figure.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct Finding {
    pub name: String,
    pub recorded: Recorded,
    pub change: Change,
}

/// The comparison of a figure with the record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Within the noise.
    Same(f64),
    /// Better by more than the noise: the record can be updated.
    Better(f64),
    /// Worse by more than the noise.
    Worse(f64),
    /// The figure was not measured.
    Missing,
}

/// The reason why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum RegressionError {
    /// The measurement is not valid JSON.
    #[error("the output of `make bench` cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// The measurement is for another kind of machine.
    #[error("guests ran with `{found}`, and what was recorded is of `{recorded}`")]
    OtherVm {
        /// The machine in the measurement.
        found: String,
        /// The machine in the record.
        recorded: String,
    },
}

impl Change {
    /// Tells whether a build with this result passes.
    #[must_use]
    pub fn is_good(self) -> bool {
        match self {
            Self::Same(_) | Self::Better(_) => true,
            Self::Worse(_) | Self::Missing => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recorded { value, noise } = self.recorded;
        let (word, now) = match self.change {
            Change::Same(now) => ("ok", now.to_string()),
            Change::Better(now) => ("better", now.to_string()),
            Change::Worse(now) => ("WORSE", now.to_string()),
            Change::Missing => ("MISSING", "not measured".to_owned()),
        };
        write!(formatter, "{word:8}{}: {now}, recorded {value} ±{:.0} %", self.name, noise * 100.0)
    }
}

/// Compares each recorded figure with the output of `make bench`, which is a sequence of JSON objects.
///
/// # Errors
/// [`RegressionError`].
pub fn compare(recorded: &Baseline, measured: &str) -> Result<Vec<Finding>, RegressionError> {
    let mut figures = serde_json::Map::new();
    for object in serde_json::Deserializer::from_str(measured).into_iter::<serde_json::Map<String, Value>>() {
        figures.extend(object.map_err(RegressionError::Unreadable)?);
    }
    let found = figures.get("vm").and_then(Value::as_str).unwrap_or_default();
    if found != recorded.vm {
        return Err(RegressionError::OtherVm { found: found.to_owned(), recorded: recorded.vm.clone() });
    }
    let findings = recorded.figures.iter().map(|(name, recorded)| Finding {
        name: name.clone(),
        recorded: *recorded,
        change: judge(*recorded, figures.get(name).and_then(Value::as_f64)),
    });
    Ok(findings.collect())
}

fn judge(recorded: Recorded, now: Option<f64>) -> Change {
    let Recorded { value, noise } = recorded;
    match now {
        None => Change::Missing,
        Some(now) if now > value * (1.0 + noise) => Change::Worse(now),
        Some(now) if now < value * (1.0 - noise) => Change::Better(now),
        Some(now) => Change::Same(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline() -> Baseline {
        serde_json::from_str(
            r#"{ "vm": "qemu/tcg", "figures": {
                "ratio": { "value": 1.1, "noise": 0.1 },
                "list_ratio": { "value": 2.0, "noise": 0.25 }
            } }"#,
        )
        .unwrap()
    }

    fn changes(measured: &str) -> Vec<Change> {
        compare(&baseline(), measured).unwrap().into_iter().map(|finding| finding.change).collect()
    }

    #[test]
    fn what_is_within_the_noise_is_the_same_and_what_is_beyond_it_is_not() {
        let measured = |list: f64, run: f64| {
            format!("{{ \"vm\": \"qemu/tcg\", \"ratio\": {run} }}\n{{ \"list_ratio\": {list} }}")
        };
        assert_eq!(changes(&measured(2.5, 1.2)), [Change::Same(2.5), Change::Same(1.2)]);
        assert_eq!(changes(&measured(2.51, 1.22)), [Change::Worse(2.51), Change::Worse(1.22)]);
        assert_eq!(changes(&measured(1.4, 0.9)), [Change::Better(1.4), Change::Better(0.9)]);
    }

    #[test]
    fn a_figure_that_was_not_measured_is_no_success() {
        let found = changes(r#"{ "vm": "qemu/tcg", "ratio": 1.1, "list_ratio": "2" }"#);
        assert_eq!(found, [Change::Missing, Change::Same(1.1)]);
        assert!(!Change::Missing.is_good() && !Change::Worse(1.0).is_good());
        assert!(Change::Same(1.0).is_good() && Change::Better(1.0).is_good());
    }

    #[test]
    fn figures_of_another_kind_of_machine_are_not_compared() {
        let error = compare(&baseline(), r#"{ "vm": "firecracker/kvm", "ratio": 1.0 }"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "guests ran with `firecracker/kvm`, and what was recorded is of `qemu/tcg`"
        );
        assert!(matches!(compare(&baseline(), "{ \"vm\""), Err(RegressionError::Unreadable(_))));
    }

    #[test]
    fn a_finding_tells_both_figures_and_the_noise() {
        let findings = compare(&baseline(), r#"{ "vm": "qemu/tcg", "ratio": 1.3 }"#).unwrap();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["MISSING list_ratio: not measured, recorded 2 ±25 %", "WORSE   ratio: 1.3, recorded 1.1 ±10 %"]
        );
    }

    #[test]
    fn the_record_of_this_repository_can_be_read() {
        let text = include_str!("../../../docs/bench-baseline.json");
        let baseline: Baseline = serde_json::from_str(text).unwrap();
        assert!(!baseline.figures.is_empty());
        assert!(baseline.figures.values().all(|figure| figure.value > 0.0 && figure.noise > 0.0));
    }
}
