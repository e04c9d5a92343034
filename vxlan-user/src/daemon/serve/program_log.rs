//! Forwards the messages of the BPF programs to the daemon's log, with names for their numbers.

use std::net::Ipv6Addr;

use anyhow::Context as _;
use log::{Log, Metadata, Record};
use tokio::io::{Interest, unix::AsyncFd};
use vxlan_common::reason::{RxDrop, TxDrop};

use crate::{
    daemon::running::ActivePlane,
    dataplane::{LoadOptions, ProgramLogger},
    plan::{Names, SlotOwner},
};

/// The programs' messages.
pub(in crate::daemon) struct ProgramLog(AsyncFd<ProgramLogger<Named>>);

impl ProgramLog {
    /// Opens the messages of the programs of a generation. `None`: they write none.
    pub(in crate::daemon) fn open(
        running: &mut ActivePlane,
        options: LoadOptions,
    ) -> anyhow::Result<Option<Self>> {
        let named = Named { names: running.plan.names.clone() };
        let Some(logger) = running.plane.logger(options, named) else { return Ok(None) };
        // SAFETY: the logger owns the map whose descriptor it hands out, hands out the same one
        // every time, and is itself owned by the registration until that ends.
        let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }
            .context("cannot wait for the programs' messages")?;
        Ok(Some(Self(logger)))
    }

    /// Forwards the messages to the log, in a task that lasts as long as the process.
    pub(in crate::daemon) fn forward(mut self) {
        tokio::spawn(async move {
            while let Ok(mut ready) = self.0.readable_mut().await {
                ready.get_inner_mut().flush();
                ready.clear_ready();
            }
        });
    }
}

/// The log, for messages of one generation of the programs.
struct Named {
    /// Of the generation's counter slots.
    names: Names,
}

impl Log for Named {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        log::logger().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args().to_string();
        let text = self.translate(&message).unwrap_or(message);
        log::logger().log(
            &Record::builder()
                .metadata(record.metadata().clone())
                .args(format_args!("{text}"))
                .build(),
        );
    }

    fn flush(&self) {
        log::logger().flush();
    }
}

impl Named {
    /// Translates a message on a dropped packet. `None`: it is another message.
    fn translate(&self, message: &str) -> Option<String> {
        let (program, rest) = message.split_once(": dropped, reason ")?;
        let (reason, rest) = rest.split_once(", slot ")?;
        let (slot, rest) = rest.split_once(", from ")?;
        let (source, destination) = rest.split_once(" to ")?;
        let number: u8 = reason.parse().ok()?;
        let reason = if program == "encap" {
            TxDrop::ALL.iter().find(|reason| **reason as u8 == number)?.label()
        } else {
            RxDrop::ALL.iter().find(|reason| **reason as u8 == number)?.label()
        };
        let owner = self.names.owner(slot.parse().ok()?);
        let owner = match owner {
            Some(SlotOwner { peer: Some(peer), vni: Some(vni) }) => {
                format!(", peer {peer} in network {vni}")
            }
            Some(SlotOwner { peer: Some(peer), vni: None }) => format!(", peer {peer}"),
            Some(SlotOwner { peer: None, vni: Some(vni) }) => format!(", network {vni}"),
            _ => String::new(),
        };
        let addresses = match (address(source)?, address(destination)?) {
            (source, _) if source.is_unspecified() => String::new(),
            (source, destination) => {
                format!(", from {} to {}", source.to_canonical(), destination.to_canonical())
            }
        };
        Some(format!("{program}: dropped, {reason}{owner}{addresses}"))
    }
}

fn address(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_names() {
        let owner =
            |peer: Option<&str>, vni| Some(SlotOwner { peer: peer.map(str::to_owned), vni });
        let slots = vec![
            owner(None, None),
            owner(None, Some(43)),
            owner(Some("aws"), None),
            owner(Some("aws"), Some(43)),
        ];
        let named = Named { names: Names { slots, ..Names::default() } };
        for (message, expected) in [
            (
                "decap: dropped, reason 6, slot 1, from ::ffff:192.0.2.66 to ::ffff:192.0.2.2",
                "decap: dropped, unknown_source, network 43, from 192.0.2.66 to 192.0.2.2",
            ),
            (
                "decap_tc: dropped, reason 5, slot 2, from 2001:db8::1 to 2001:db8::2",
                "decap_tc: dropped, unknown_vni, peer aws, from 2001:db8::1 to 2001:db8::2",
            ),
            (
                "encap: dropped, reason 0, slot 3, from :: to ::",
                "encap: dropped, no_route, peer aws in network 43",
            ),
            (
                "deliver: dropped, reason 17, slot 9, from :: to ::",
                "deliver: dropped, redirect_failed",
            ),
        ] {
            assert_eq!(named.translate(message).as_deref(), Some(expected));
        }
        for message in ["", "something else", "decap: dropped, reason 99, slot 0, from :: to ::"] {
            assert_eq!(named.translate(message), None);
        }
    }
}
