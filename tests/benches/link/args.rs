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

    /// Is it named, whole or up to a slash, or is none?
    pub(crate) fn wants(&self, name: &str) -> bool {
        let begins = |wanted: &String| {
            name.strip_prefix(wanted.as_str()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || wanted.ends_with('/')
            })
        };
        self.names.is_empty() || self.names.iter().any(begins)
    }

    /// How many rounds count.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 5 } else { 12 }
    }
}
