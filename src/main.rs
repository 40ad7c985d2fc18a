//! The program. Everything is in the library: a runtime built here would make the compiler
//! generate every asynchronous function a second time, for this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    hayloft::cli::main(std::env::args_os().collect())
}
