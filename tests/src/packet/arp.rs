//! ARP for IPv4 over Ethernet, RFC 826.

use std::net::Ipv4Addr;

use bytes::{BufMut as _, BytesMut};

use super::{Mac, header::header};

header!(Arp {
    operation: u16,
    sender_mac: Mac,
    sender: Ipv4Addr,
    target_mac: Mac,
    target: Ipv4Addr,
});

impl Arp {
    pub fn request(mac: Mac, sender: impl Into<Ipv4Addr>, target: impl Into<Ipv4Addr>) -> Self {
        Self {
            operation: 1,
            sender_mac: mac,
            sender: sender.into(),
            target_mac: [0; 6],
            target: target.into(),
        }
    }

    pub fn reply(
        mac: Mac,
        sender: impl Into<Ipv4Addr>,
        target_mac: Mac,
        target: impl Into<Ipv4Addr>,
    ) -> Self {
        Self { operation: 2, target_mac, ..Self::request(mac, sender, target) }
    }

    pub(super) fn header(&self) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_slice(&[0, 1, 8, 0, 6, 4]);
        out.put_u16(self.operation);
        out.put_slice(&self.sender_mac);
        out.put_slice(&self.sender.octets());
        out.put_slice(&self.target_mac);
        out.put_slice(&self.target.octets());
        out
    }
}
