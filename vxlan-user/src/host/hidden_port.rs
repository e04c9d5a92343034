//! Keeps hidden ports from sending: what any process sends out of one would be received by the
//! overlay interface, as if it had come out of the tunnel. No right is needed for that: a socket
//! bound to the port, and a broadcast or multicast address, will do. The programs never send there.

use std::{collections::HashSet, ffi::CString};

use futures_util::{StreamExt as _, TryStreamExt as _};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle, TcMessage},
};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};

use super::{
    connection::Host,
    error::{During as _, HostError},
};

/// Drops every packet that is sent (net/sched/sch_blackhole.c, in every kernel that has queueing
/// disciplines).
pub(super) const BLACKHOLE: &str = "blackhole";

impl Host {
    /// Has every packet dropped that is sent out of these interfaces. Returns how many did not do
    /// that yet. One that is not there is left out.
    pub async fn block_transmit(&self, names: &[&str]) -> Result<usize, HostError> {
        let dump = self.handle.qdisc().get().execute().try_collect::<Vec<_>>().await;
        let list = dump.during(|| "list the queueing disciplines".to_owned())?;
        let blocked = list.iter().filter(|qdisc| {
            qdisc.header.parent == TcHandle::ROOT && qdisc.attributes.iter().any(is_blackhole)
        });
        let blocked: HashSet<i32> = blocked.map(|qdisc| qdisc.header.index).collect();
        let mut added = 0;
        for name in names {
            if let Some(index) = index_of(name).filter(|index| !blocked.contains(index)) {
                self.add_blackhole(index).await.during(|| {
                    format!("drop what is sent out of {name} (queueing discipline {BLACKHOLE})")
                })?;
                added += 1;
            }
        }
        Ok(added)
    }

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

fn is_blackhole(attribute: &TcAttribute) -> bool {
    if let TcAttribute::Kind(kind) = attribute { kind == BLACKHOLE } else { false }
}

fn index_of(name: &str) -> Option<i32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a C string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index.cast_signed())
}
