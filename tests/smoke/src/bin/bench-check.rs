//! `bench-check <record> <measurement>`: fails if a figure is worse than recorded by more than its noise.

use std::process::ExitCode;

use banger_smoke::regression::{Baseline, compare};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(record), Some(measurement)) = (arguments.next(), arguments.next()) else {
        eprintln!("bench-check: two files are needed: what was recorded, and what `make bench` has printed");
        return ExitCode::from(2);
    };
    match check(&record, &measurement) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-check: {error}");
            ExitCode::from(2)
        }
    }
}

fn check(record: &str, measurement: &str) -> Result<bool, Box<dyn std::error::Error>> {
    let baseline: Baseline = serde_json::from_str(&std::fs::read_to_string(record)?)?;
    let findings = compare(&baseline, &std::fs::read_to_string(measurement)?)?;
    for finding in &findings {
        println!("{finding}");
    }
    Ok(findings.iter().all(|finding| finding.change.is_good()))
}
