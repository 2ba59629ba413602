//! The program `streamgate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamgate::cli::main()
}
