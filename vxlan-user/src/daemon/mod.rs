//! The daemon: makes host and data plane what the configuration asks for, and keeps them so.
//!
//! [`run`] starts a daemon and returns when it ends; [`check`] reads without a change; [`down`]
//! removes what a daemon left. A start reads everything first, and then changes the host in one
//! transaction. Prints nothing: that is the command line's part.
//!
//! A module imports only from those below it in this list:
//!
//! 1. `run`: the event loop
//! 2. `reload`: applies a new configuration to a running daemon
//! 3. `parts`: what a new generation needs open before it takes over
//! 4. `down`
//! 5. `check`: what a start would come to
//! 6. `serve`: the command line's socket, metrics page, service manager, log of the programs
//! 7. `reload_preparation`: what a reload does beside the event loop
//! 8. `reload_requests`
//! 9. `probing`
//! 10. `takeover`: the transaction that changes the host
//! 11. `reconcile`: keeps the data plane in line with the host
//! 12. `paths`: path resolution and path MTUs
//! 13. `running`: the active data plane
//! 14. `overlay_specs`: what the host shall have for each network
//! 15. `preflight`: checks that read only
//! 16. `interrupt`: SIGINT and SIGTERM
//! 17. `turns`: how long the event loop takes for each event
//! 18. `directories`
//! 19. `peer_names`: names of peers for one line of the log
//! 20. `open_files`

mod check;
mod directories;
mod down;
mod interrupt;
mod open_files;
mod overlay_specs;
mod parts;
mod paths;
mod peer_names;
mod preflight;
mod probing;
mod reconcile;
mod redirect;
mod reload;
mod reload_preparation;
mod reload_requests;
mod run;
mod running;
mod segmenter;
mod serve;
mod takeover;
mod turns;

pub use check::{check, check_file, missing_rights};
pub use directories::Directories;
pub use down::{Removed, down};
pub use preflight::Preflight;
pub use run::run;
pub use running::ActivePlane;
pub use serve::api::Api;
