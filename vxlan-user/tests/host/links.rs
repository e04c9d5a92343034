//! Reading the underlay, and what may be done at all.

use caps::{CapSet, Capability};
use vxlan_user::{
    attach_mode::AttachMode,
    host::{Host, HostError, OverlaySpec, XdpAttachment, capabilities},
};

use crate::namespace::{ip, isolated, link, mac_text};

#[test]
fn reads_the_underlay() {
    isolated(async || {
        ip("link add eth7 mtu 1460 type veth peer name eth7p");
        ip("address add 10.0.0.2/24 dev eth7");
        ip("address add 10.0.0.3/24 dev eth7");
        ip("address add 192.0.2.9 peer 192.0.2.10/32 dev eth7");
        let host = Host::new().expect("a host");

        let underlay = host.underlay_link("eth7").await.expect("eth7");
        assert!(!underlay.up && !underlay.carrier);

        ip("link set eth7p up");
        ip("link set eth7 up");
        ip("address add 2001:db8::2/64 dev eth7 nodad");
        let underlay = host.underlay_link("eth7").await.expect("eth7");
        let shown = link("eth7");
        assert!(underlay.up && underlay.carrier);
        assert_eq!(shown["ifindex"], underlay.ifindex);
        assert_eq!(shown["address"], mac_text(underlay.mac));
        assert_eq!(underlay.mtu, 1460);
        assert_eq!(underlay.kind.as_deref(), Some("veth"));
        assert_eq!(underlay.bus, None);
        assert_eq!(underlay.xdp, None);
        let listed: Vec<_> = underlay
            .addresses
            .iter()
            .filter(|present| !present.address.to_string().starts_with("fe80"))
            .map(|present| (present.address.to_string(), present.secondary))
            .collect();
        let expected = [
            ("10.0.0.2/24", false),
            ("192.0.2.9/32", false),
            ("10.0.0.3/24", true),
            ("2001:db8::2/64", false),
        ];
        assert_eq!(listed, expected.map(|(text, flag)| (text.to_owned(), flag)));
    });
}

#[test]
fn an_unknown_interface_comes_with_the_known_ones() {
    isolated(async || {
        ip("link add eth7 type veth peer name eth8");
        let host = Host::new().expect("a host");
        for wrong in ["ens4", "a-name-that-no-interface-can-have", ""] {
            let error = host.underlay_link(wrong).await.expect_err(wrong);
            let HostError::UnknownInterface { name, existing } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(name, wrong);
            for known in ["lo", "eth7", "eth8"] {
                assert!(existing.iter().any(|name| name == known), "{existing:?}");
                assert!(error.to_string().contains(known), "{error}");
            }
        }
    });
}

#[test]
fn an_interface_without_ethernet_is_refused() {
    isolated(async || {
        ip("tuntap add tun7 mode tun");
        let host = Host::new().expect("a host");
        let error = host.underlay_link("tun7").await.expect_err("a layer 3 device");
        assert!(matches!(error, HostError::NotEthernet { .. }), "{error:?}");
        assert!(error.to_string().contains("tun7"), "{error}");
    });
}

#[test]
fn an_attached_xdp_program_is_seen() {
    isolated(async || {
        ip("link add eth7 type veth peer name eth7p");
        let host = Host::new().expect("a host");
        let before = host.underlay_link("eth7").await.expect("eth7");
        assert_eq!(before.xdp, None);
        for (flags, mode) in
            [(bpf::NATIVE, AttachMode::Native), (bpf::GENERIC, AttachMode::Generic)]
        {
            let attached = bpf::attach_pass(before.ifindex, flags);
            let shown = link("eth7");
            let program_id = shown["xdp"]["prog"]["id"].as_u64().expect("ip shows its id");
            let program_id = program_id.try_into().expect("32 bits");
            let seen = host.underlay_link("eth7").await.expect("eth7").xdp;
            assert_eq!(seen, Some(XdpAttachment { program_id, mode: Some(mode) }));
            drop(attached);
        }
        assert_eq!(host.underlay_link("eth7").await.expect("eth7").xdp, None);
    });
}

#[test]
fn missing_capabilities_are_named_and_explained() {
    isolated(async || {
        ip("link add eth7 type veth peer name eth7p");
        assert!(capabilities::missing().is_empty(), "run the tests as root");
        let host = Host::new().expect("a host");
        // Capabilities are a thread's own: no other test feels this.
        for capability in [Capability::CAP_NET_ADMIN, Capability::CAP_BPF] {
            caps::drop(None, CapSet::Effective, capability).expect("less is always allowed");
        }
        // Each with what it is for.
        let names = || -> Vec<String> {
            let missing = capabilities::missing();
            missing.iter().filter_map(|of| Some(of.split_once(" (for ")?.0.to_owned())).collect()
        };
        assert_eq!(names(), ["CAP_NET_ADMIN"], "CAP_SYS_ADMIN stands for CAP_BPF");
        caps::drop(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).expect("allowed");
        assert_eq!(names(), ["CAP_NET_ADMIN", "CAP_BPF"]);

        let before = link("eth7");
        host.underlay_link("eth7").await.expect("reading needs none");
        let wanted = OverlaySpec {
            name: "vxlan43".to_owned(),
            hidden_name: "vxport43".to_owned(),
            vni: 43,
            mtu: 1410,
            ..OverlaySpec::default()
        };
        let refused = host.create_overlay(&wanted).await;
        let message = refused.expect_err("no CAP_NET_ADMIN").to_string();
        assert!(message.contains("overlay interface vxlan43"), "{message}");
        assert!(message.contains("CAP_NET_ADMIN"), "{message}");
        assert_eq!(link("eth7"), before);
    });
}

/// The least that attaches a program: the crate under test has no part in it.
mod bpf {
    use std::{
        ffi::c_long,
        io,
        os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    };

    pub(crate) const GENERIC: u32 = 1 << 1;
    pub(crate) const NATIVE: u32 = 1 << 2;
    const PROG_LOAD: c_long = 5;
    const LINK_CREATE: c_long = 28;
    const LINK_DETACH: c_long = 34;
    const TYPE_XDP: u32 = 6;
    const ATTACH_XDP: u32 = 37;

    /// An attachment that ends with this value. Closing the descriptor would not do: a child that
    /// another test is starting just now may hold a copy until its exec.
    pub(crate) struct Attached(OwnedFd);

    impl Drop for Attached {
        fn drop(&mut self) {
            let mut detach = [0_u64; 16];
            detach[0] = number(&self.0);
            call(LINK_DETACH, &detach);
        }
    }

    /// Attaches `return XDP_PASS`.
    pub(crate) fn attach_pass(ifindex: u32, flags: u32) -> Attached {
        // r0 = 2; exit
        let program: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
        let license = c"GPL";
        let mut load = [0_u64; 16];
        load[0] = u64::from(TYPE_XDP) | (2 << 32);
        load[1] = program.as_ptr() as u64;
        load[2] = license.as_ptr() as u64;
        let program = descriptor(call(PROG_LOAD, &load));
        let mut attach = [0_u64; 16];
        attach[0] = number(&program) | (u64::from(ifindex) << 32);
        attach[1] = u64::from(ATTACH_XDP) | (u64::from(flags) << 32);
        Attached(descriptor(call(LINK_CREATE, &attach)))
    }

    fn number(fd: &OwnedFd) -> u64 {
        fd.as_raw_fd().unsigned_abs().into()
    }

    fn descriptor(fd: c_long) -> OwnedFd {
        // SAFETY: only called with what PROG_LOAD or LINK_CREATE has just returned: an open
        // descriptor that nobody else knows.
        unsafe { OwnedFd::from_raw_fd(fd.try_into().expect("a descriptor")) }
    }

    fn call(command: c_long, attributes: &[u64; 16]) -> c_long {
        // SAFETY: the kernel reads `size_of_val(attributes)` bytes from a reference that outlives
        // the call, and what the addresses in them point to lives in the caller's frame.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes))
        };
        assert!(result >= 0, "bpf({command}): {}", io::Error::last_os_error());
        result
    }
}
