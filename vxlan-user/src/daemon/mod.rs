//! The daemon: brings configuration, host and data plane together and keeps them so.
//!
//! [`run`] starts and stays; [`check`] looks without touching; [`down`] removes what a run left.
//! The order of a start is: look at everything, change nothing; then make, and undo all of it
//! should a step fail. Prints nothing: that is the command line's part.

mod directories;
mod down;
mod paths;
mod preflight;
mod probing;
mod reconcile;
mod reload;
mod reload_requests;
mod run;
mod running;
mod serve;
mod takeover;

pub use directories::Directories;
pub use down::{Removed, down};
pub use preflight::{Preflight, check};
pub use run::run;
pub use running::ActivePlane;
pub use serve::api::Api;
