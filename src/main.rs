//! The program: sets up TLS and the runtime, and hands the command line over.

use std::process::ExitCode;

/// Enough for the disk, and a bound on memory: each thread that reads holds a buffer.
const BLOCKING_THREADS: usize = 64;

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(hayloft::cli::run(std::env::args_os()));
            // A read of standard input that nobody waits for any more must not keep us alive.
            runtime.shutdown_background();
            code
        }
        Err(e) => {
            eprintln!("error: cannot start the runtime: {e}");
            ExitCode::FAILURE
        }
    }
}
