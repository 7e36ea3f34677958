//! `generator`: see [`generator::cli`].

use std::panic;
use std::process::ExitCode;

use generator::cli;
use generator::report::Exit;

fn main() -> ExitCode {
    // A bug has its own exit code too; its message has been printed when this returns.
    let result = panic::catch_unwind(|| cli::run(std::env::args_os()).map_err(anyhow::Error::from));
    match result {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => {
            eprintln!("error: {error:#}");
            Exit::Failed.into()
        }
        Err(_) => Exit::Failed.into(),
    }
}
