//! Where the binary is, and where a daemon of a certain configuration serves its metrics.

use std::{
    env,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};

/// The `vxlan` binary: `$VXLAN_BIN`, else the newest one in the target directory we run from.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("VXLAN_BIN") {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "VXLAN_BIN is {}, which is not a file", path.display());
        return Ok(path);
    }
    let this = env::current_exe().context("finding the target directory")?;
    let candidates = this
        .ancestors()
        .flat_map(|dir| ["vxlan", "release/vxlan", "debug/vxlan"].map(|name| dir.join(name)))
        .filter(|path| path.is_file());
    let newest = candidates.max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok());
    newest.with_context(|| {
        format!(
            "no `vxlan` binary beside {}: build it with `cargo build -p vxlan-user --bin vxlan`, \
             or name it in VXLAN_BIN",
            this.display()
        )
    })
}

/// `[metrics] listen` of a configuration; 0.0.0.0 and :: are reached at the loopback address.
pub(super) fn metrics_address(config: &str) -> Result<SocketAddr> {
    let table: toml::Table = config.parse().unwrap_or_default();
    let listen = table.get("metrics").and_then(|metrics| metrics.get("listen")?.as_str());
    let text = listen.unwrap_or("127.0.0.1:9839");
    let mut address: SocketAddr =
        text.parse().with_context(|| format!("[metrics] listen = \"{text}\""))?;
    if address.ip().is_unspecified() {
        let v4 = address.is_ipv4();
        address.set_ip(if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::metrics_address;

    #[test]
    fn finds_where_metrics_are_served() -> anyhow::Result<()> {
        assert_eq!(metrics_address("[node]\nname = \"a\"")?.to_string(), "127.0.0.1:9839");
        let address = metrics_address("[metrics]\nlisten = \"0.0.0.0:80\"")?;
        assert_eq!(address.to_string(), "127.0.0.1:80");
        assert!(metrics_address("[metrics]\nlisten = \"here\"").is_err());
        Ok(())
    }
}
