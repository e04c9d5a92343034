//! Keeps hidden ports from sending: what any process sends out of one would be received by the
//! overlay interface, as if it had come out of the tunnel. No right is needed for that: a socket
//! bound to the port, and a broadcast or multicast address, will do. The programs never send there.

use futures_util::StreamExt as _;
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle, TcMessage},
};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};

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
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let mut answers = self.handle.clone().request(request)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(rtnetlink::Error::NetlinkError(error));
            }
        }
        Ok(())
    }
}
