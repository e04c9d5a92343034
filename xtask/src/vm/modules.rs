//! Which kernel modules go into the guest: what networking and its tests may load, and what
//! those need. Loading them is the guest's kernel's, on demand, as on a real host.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
};

use anyhow::{Context as _, Result, ensure};

use super::{cpio::Archive, kernel::Kernel};

/// Everything below these.
const DIRECTORIES: [&str; 12] = [
    "kernel/net/802/",
    "kernel/net/8021q/",
    "kernel/net/bridge/",
    "kernel/net/core/",
    "kernel/net/ipv4/",
    "kernel/net/ipv6/",
    "kernel/net/llc/",
    "kernel/net/netfilter/",
    "kernel/net/packet/",
    "kernel/net/sched/",
    "kernel/lib/",
    "kernel/drivers/net/vxlan/",
];
/// And these, wherever they are.
const SINGLE: [&str; 17] = [
    "bonding",
    "crc32c_generic",
    "crc32c-intel",
    "dummy",
    "geneve",
    "ifb",
    "ipvlan",
    "macvlan",
    "net_failover",
    "tap",
    "tun",
    "veth",
    "virtio_net",
    "virtio_pci",
    "virtio_ring",
    "vrf",
    "vxlan",
];

/// Puts the modules of `kernel` into the archive, and the lists that `modprobe` reads.
pub(crate) fn put<W: Write>(archive: &mut Archive<W>, kernel: &Kernel) -> Result<()> {
    let (from, to) = (kernel.modules(), format!("/lib/modules/{}", kernel.release));
    let read = |name: &str| {
        let file = from.join(name);
        fs::read(&file).with_context(|| format!("reading {}", file.display()))
    };
    let text = String::from_utf8(read("modules.dep")?).context("modules.dep is no text")?;
    let chosen = choose(&dependencies(&text));
    ensure!(
        chosen.iter().any(|path| stem(path) == "veth"),
        "the kernel {} has no veth module",
        kernel.release
    );
    for path in chosen {
        archive.bytes(&format!("{to}/{path}"), 0o644, &read(path)?)?;
    }
    for entry in fs::read_dir(&from)?.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("modules.") {
            archive.bytes(&format!("{to}/{name}"), 0o644, &read(&name)?)?;
        }
    }
    Ok(())
}

/// Of every module in `modules.dep` those it needs: `a.ko: b.ko c.ko`, in full, not step by step.
fn dependencies(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(module, needs)| (module, needs.split_whitespace().collect())).collect()
}

fn choose<'t>(all: &BTreeMap<&'t str, Vec<&'t str>>) -> BTreeSet<&'t str> {
    let wanted = |path: &str| {
        DIRECTORIES.iter().any(|dir| path.starts_with(dir)) || SINGLE.contains(&stem(path))
    };
    let chosen = all.iter().filter(|(path, _)| wanted(path));
    chosen.flat_map(|(path, needs)| needs.iter().chain([path])).copied().collect()
}

/// `veth` of `kernel/drivers/net/veth.ko.xz`.
fn stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_with_all_it_needs() {
        let text = "kernel/drivers/net/veth.ko.xz:\n\
                    kernel/drivers/net/virtio_net.ko: kernel/net/failover.ko kernel/drivers/x.ko\n\
                    kernel/net/failover.ko:\nkernel/drivers/x.ko:\n\
                    kernel/net/sched/act_bpf.ko:\n\
                    kernel/net/mac80211/mac80211.ko: kernel/drivers/y.ko\n";
        let expected = [
            "kernel/drivers/net/veth.ko.xz",
            "kernel/drivers/net/virtio_net.ko",
            "kernel/drivers/x.ko",
            "kernel/net/failover.ko",
            "kernel/net/sched/act_bpf.ko",
        ];
        assert_eq!(choose(&dependencies(text)), BTreeSet::from(expected));
        assert_eq!(stem("kernel/drivers/net/veth.ko.xz"), "veth");
    }
}
