//! The daemon as its user meets it: starts that must fail and leave the host alone, what a start
//! makes and `down` removes, restarts, and what it says in metrics, tables and log.

mod ageing;
mod check;
mod clsact;
mod failed_restart;
mod families;
mod follow;
mod half_way;
mod host;
mod ladder;
mod learned;
mod life;
mod metrics;
mod migration;
mod path_mtu;
mod privileges;
mod refused;
mod reload;
mod restart;
mod service;
mod show;
mod trace;
mod underlay;
