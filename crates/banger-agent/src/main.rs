//! Selects the role of this program: first process, agent, or a guest for tests.

use std::{path::PathBuf, process::ExitCode};

use banger_agent::{agent, boot, invocation, standard_streams, test_guest};

const USAGE: &str = "usage: banger-agent serve --unix DIRECTORY [--root DIRECTORY]";

#[expect(
    unsafe_code,
    reason = "what stands in this section is called before `main`, and needs nothing of Rust's runtime"
)]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_THE_RUNTIME: extern "C" fn() = open_standard_streams;

extern "C" fn open_standard_streams() {
    standard_streams::open_missing();
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
    match words.as_slice() {
        // The kernel passes its unknown parameters to the first process; they are not for us.
        _ if std::process::id() == 1 => boot::run(),
        [invocation::ARGUMENT, init] => agent::run(init, invocation::Start::First),
        [invocation::ARGUMENT, init, invocation::AGAIN] => agent::run(init, invocation::Start::Again),
        [invocation::RELEASED] => agent::run_released(),
        ["serve", "--unix", directory] => test_guest::run(&PathBuf::from(directory), None),
        ["serve", "--unix", directory, "--root", root] => {
            test_guest::run(&PathBuf::from(directory), Some(PathBuf::from(root)))
        }
        ["--version"] => {
            println!("banger-agent {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
