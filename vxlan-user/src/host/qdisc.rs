//! Queueing disciplines: adding one, and the clsact qdisc of an interface, where TC programs are
//! filters and not links.

use futures_util::{StreamExt as _, TryStreamExt as _};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle, TcMessage},
};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};

use super::{
    connection::Host,
    error::{During as _, HostError},
};

/// Parent and handle of a clsact qdisc.
const CLSACT: (TcHandle, TcHandle) =
    (TcHandle { major: 0xffff, minor: 0xfff1 }, TcHandle { major: 0xffff, minor: 0 });

impl Host {
    /// Returns whether the interface has a clsact qdisc.
    pub async fn has_clsact(&self, ifindex: u32) -> Result<bool, HostError> {
        let name = self.name_of(ifindex).await;
        let dump = self.handle.qdisc().get().index(ifindex.cast_signed()).execute();
        let list = dump.try_collect::<Vec<_>>().await;
        let list = list.during(|| format!("list the queueing disciplines of {name}"))?;
        Ok(list.iter().any(|qdisc| {
            qdisc.header.index == ifindex.cast_signed() && qdisc.attributes.iter().any(is_clsact)
        }))
    }

    /// Adds a clsact qdisc, for filters at either end of an interface.
    pub(super) async fn add_clsact(&self, index: i32) -> Result<(), rtnetlink::Error> {
        let mut message = TcMessage::with_index(index);
        (message.header.parent, message.header.handle) = CLSACT;
        message.attributes.push(TcAttribute::Kind("clsact".to_owned()));
        self.add_qdisc(message, NLM_F_EXCL).await
    }

    /// Adds a queueing discipline.
    pub(super) async fn add_qdisc(
        &self,
        message: TcMessage,
        flags: u16,
    ) -> Result<(), rtnetlink::Error> {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | flags;
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

    /// Lists priority and handle of the filters of a hook of TC, in the order in which the kernel
    /// runs them. Without a clsact qdisc there are none.
    pub async fn filters(&self, ifindex: u32, ingress: bool) -> Result<Vec<(u16, u32)>, HostError> {
        let present = self.handle.traffic_filter(ifindex.cast_signed()).get();
        let present = if ingress { present.ingress() } else { present.egress() };
        let list = present.execute().try_collect::<Vec<_>>().await;
        let list = match list.during(|| format!("list the filters of interface {ifindex}")) {
            Err(error) if gone(&error) => return Ok(Vec::new()),
            list => list?,
        };
        let filters = list.iter().map(|filter| &filter.header);
        let filters = filters.map(|header| {
            let handle = u32::from(header.handle.major) << 16 | u32::from(header.handle.minor);
            ((header.info >> 16) as u16, handle)
        });
        // Each priority also lists itself, as a filter without a handle.
        Ok(filters.filter(|(_, handle)| *handle != 0).collect())
    }

    /// Removes the clsact qdisc if no filter of anybody is left in it. `false`: it stays, or there
    /// is none.
    pub async fn remove_clsact(&self, ifindex: u32) -> Result<bool, HostError> {
        let name = self.name_of(ifindex).await;
        let index = ifindex.cast_signed();
        let filters = || self.handle.traffic_filter(index).get();
        for present in [filters().ingress(), filters().egress()] {
            let list = present.execute().try_collect::<Vec<_>>().await;
            match list.during(|| format!("list the filters of {name}")) {
                Ok(list) if list.is_empty() => {}
                Ok(_) => return Ok(false),
                Err(error) if gone(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let mut request = self.handle.qdisc().del(index);
        let header = &mut request.message_mut().header;
        (header.parent, header.handle) = CLSACT;
        match request.execute().await.during(|| format!("remove the clsact qdisc of {name}")) {
            Ok(()) => Ok(true),
            Err(error) if gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_clsact(attribute: &TcAttribute) -> bool {
    if let TcAttribute::Kind(kind) = attribute { kind == "clsact" } else { false }
}

/// There is no such qdisc, or no such interface.
fn gone(error: &HostError) -> bool {
    matches!(error.errno(), Some(libc::EINVAL | libc::ENOENT | libc::ENODEV))
}
