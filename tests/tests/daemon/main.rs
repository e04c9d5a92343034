//! The daemon as its user meets it: starts that must fail and leave the host alone, what a start
//! makes and `down` removes, restarts, and what it says in metrics, tables and log.

mod ageing;
mod attach_modes;
mod blackholes;
mod check;
mod clsact;
mod failed_restart;
mod families;
mod hooks;
mod host;
mod identity;
mod learned;
mod lock;
mod many_learned;
mod many_networks;
mod metrics;
mod migration;
mod output;
mod path_mtu;
mod played;
mod preflight;
mod privileges;
mod reconcile;
mod refused;
mod reload;
mod restart;
mod rolled_back;
mod service;
mod show;
mod side_doors;
mod start_and_down;
mod trace;
mod transaction;
mod underlay;
