//! The `vxlan` command. Everything is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    vxlan_user::cli::main().await
}
