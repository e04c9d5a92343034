//! The `vxlan` command. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    vxlan_user::cli::main()
}
