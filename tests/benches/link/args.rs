//! The command line.

use std::{
    env,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};

#[derive(Debug)]
pub(crate) struct Args {
    names: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) list: bool,
    pub(crate) seed: u64,
    pub(crate) json: Option<PathBuf>,
}

/// What `--quick` leaves out, unless it is named: sizes and flows between others.
const NOT_QUICK: &[&str] = &[
    "receive/sink/512B",
    "receive/sink/1400B/1024-flows",
    "receive/socket/64B/1024-flows",
    "receive/socket/512B",
    "receive/socket/1400B/1024-flows",
    "receive/socket-2cpus",
    "receive/socket-gro/64B",
    "receive/socket-gro/512B",
    "transmit/forwarded/512B",
    "transmit/forwarded/1400B",
    "transmit/socket/512B",
    "transmit/socket-gso/64B",
    "transmit/socket-gso/512B",
    "program/decap/64B/1024-flows",
    "program/decap_tc/64B/1024-flows",
    "program/encap/64B/1024-flows",
    "tcp/wire/4-flows",
    "tcp/plain",
    "start",
];

/// Whether a name begins so, up to a slash.
fn begins(name: &str, part: &str) -> bool {
    name.strip_prefix(part)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || part.ends_with('/'))
}

impl Args {
    pub(crate) fn read() -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = now.as_nanos() as u64;
        let mut read = Self { names: Vec::new(), quick: false, list: false, seed, json: None };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} without a value"));
            match arg.as_str() {
                // cargo adds it.
                "--bench" => {}
                "--quick" => read.quick = true,
                "--list" => read.list = true,
                "--seed" => read.seed = value()?.parse().context("--seed")?,
                "--json" => read.json = Some(value()?.into()),
                _ if arg.starts_with('-') => bail!("there is no {arg}"),
                _ => read.names.push(arg),
            }
        }
        Ok(read)
    }

    /// Is it named, whole or up to a slash, or is none? Without names `--quick` has fewer.
    pub(crate) fn wants(&self, name: &str) -> bool {
        if self.names.is_empty() {
            return !(self.quick && NOT_QUICK.iter().any(|part| begins(name, part)));
        }
        self.names.iter().any(|part| begins(name, part))
    }

    /// How many rounds count.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 5 } else { 12 }
    }
}
