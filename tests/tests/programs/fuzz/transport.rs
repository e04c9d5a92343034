//! What IP packets carry: UDP to tunnels' ports, SYNs with options in and out of order, ICMP of
//! every kind, tunnels, and less than there should be.

use rand::Rng as _;
use vxlan_tests::packet::{Checksum, Icmp, Layer, Packet, Tcp, Udp, flags};

use super::generate::Generator;

impl Generator<'_> {
    /// What an IP packet carries; its protocol where the layer does not say it.
    pub(super) fn transport(&mut self, v6: bool) -> (Option<u8>, Packet) {
        let length = match self.rng.random_range(0..200) {
            0 => self.rng.random_range(1_200..1_700),
            1..40 => self.rng.random_range(0..120),
            _ => self.rng.random_range(0..12),
        };
        let payload = vec![self.rng.random(); length];
        let plain = Packet::new();
        match self.rng.random_range(0..20) {
            0..6 => (None, plain.with(self.udp()).payload(&payload)),
            6..12 => (None, plain.with(self.tcp()).payload(&payload)),
            12..16 => {
                let kind = if self.one_in(2) {
                    self.pick(&[0, 3, 4, 5, 8, 11, 12, 1, 2, 128, 129])
                } else {
                    self.rng.random_range(126..160)
                };
                let icmp = Icmp::new(kind, 0, payload);
                (None, plain.with(icmp))
            }
            16 => {
                let all = [4, 41, 47, 50, 51, 0, 59, 60, 43, 132, 135, 139, 140, 253];
                (Some(self.pick(&all)), plain.payload(&payload))
            }
            17 => {
                // Too short for what they say they are.
                let all = if v6 { [6, 17, 58, 44] } else { [6, 17, 1, 6] };
                let length = self.rng.random_range(0..24);
                (Some(self.pick(&all)), plain.payload(&vec![0x12; length]))
            }
            18 => (Some(self.pick(&[4, 41, 47])), plain.payload(&payload)),
            _ => (None, plain.with(Layer::Bytes(payload))),
        }
    }

    fn udp(&mut self) -> Udp {
        let random = self.rng.random();
        let port = if self.one_in(6) { self.pick(&[4789, 8472, 4790]) } else { random };
        Udp::new(self.rng.random(), port)
    }

    fn tcp(&mut self) -> Tcp {
        let all = [flags::ACK, flags::SYN, flags::SYN | flags::ACK, flags::SYN | flags::RST, 0xff];
        let mut tcp = Tcp::new(self.rng.random(), self.rng.random()).flags(self.pick(&all));
        if self.one_in(10) {
            tcp = tcp.checksum(self.pick(&[
                Checksum::Wrong,
                Checksum::Zero,
                Checksum::Value(0xffff),
            ]));
        }
        tcp.options(self.tcp_options())
    }

    /// Mostly with a maximum segment size somewhere, sometimes broken.
    fn tcp_options(&mut self) -> Vec<u8> {
        let mut options = Vec::new();
        while options.len() < 40 && !self.one_in(6) {
            let random = self.rng.random();
            let mss =
                self.pick(&[1460, 1370, 1371, 1310, 1311, 1350, 536, 0, 0xffff, 8960, random]);
            let [high, low] = u16::to_be_bytes(mss);
            let sack = [5, 10, 1, 2, 3, 4, 5, 6, 7, 8];
            let option: &[u8] = match self.rng.random_range(0..16) {
                0..4 => &[2, 4, high, low],
                4..7 => &[1],
                7 => &[3, 3, 7],
                8 => &[4, 2],
                9 => &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0],
                10 => &sack,
                11 if self.odd() => &[2, 3, high],
                12 if self.odd() => &[9, 0],
                13 if self.odd() => &[9, 1],
                14 if self.odd() => &[0],
                15 if self.odd() => &[253, 40],
                _ => &[1, 1],
            };
            options.extend(option);
        }
        options.truncate(40);
        options.resize(options.len().next_multiple_of(4), if self.odd() { 2 } else { 0 });
        options
    }
}
