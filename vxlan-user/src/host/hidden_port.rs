//! Keeps hidden ports from sending: what any process sends out of one would be received by the
//! overlay interface, as if it had come out of the tunnel. No right is needed for that: a socket
//! bound to the port, and a broadcast or multicast address, will do. The programs never send there.

use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use rtnetlink::packet_core::NLM_F_REPLACE;

use super::connection::Host;

/// Drops every packet that is sent (net/sched/sch_blackhole.c, in every kernel that has queueing
/// disciplines).
pub(super) const BLACKHOLE: &str = "blackhole";

impl Host {
    /// Has every packet dropped that is sent out of an interface.
    pub(super) async fn add_blackhole(&self, index: i32) -> Result<(), rtnetlink::Error> {
        let mut message = TcMessage::with_index(index);
        message.header.parent = TcHandle::ROOT;
        message.attributes.push(TcAttribute::Kind(BLACKHOLE.to_owned()));
        self.add_qdisc(message, NLM_F_REPLACE).await
    }
}
