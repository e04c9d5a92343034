//! How long an interface holds back an ARP reply that it gives for somebody else (`proxy_delay` of
//! neighbour tables). The kernel draws a time up to that for each reply, 0.8 s by default.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour_table::{NeighbourTableAttribute, NeighbourTableMessage, NeighbourTableParameter},
};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};

use super::{
    connection::Host,
    error::{During as _, HostError},
};

/// The name of the neighbour table of IPv4.
const ARP_CACHE: &str = "arp_cache";

impl Host {
    /// Returns the delay in ms by index of the interface.
    pub(super) async fn proxy_delays(&self) -> Result<HashMap<u32, u64>, HostError> {
        let doing = || "list the neighbour tables".to_owned();
        let mut message = NeighbourTableMessage::default();
        message.header.family = AddressFamily::Inet;
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbourTable(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut answers = self.handle.clone().request(request).during(doing)?;
        let mut delays = HashMap::new();
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload {
                return Err(rtnetlink::Error::NetlinkError(error)).during(doing);
            }
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbourTable(table)) =
                answer.payload
            {
                delays.extend(table.attributes.iter().filter_map(delay));
            }
        }
        Ok(delays)
    }

    /// Has an interface give ARP replies for others at once.
    pub(super) async fn reply_at_once(&self, ifindex: u32, name: &str) -> Result<(), HostError> {
        let doing = || format!("set proxy_delay 0 on {name}");
        let mut message = NeighbourTableMessage::default();
        message.header.family = AddressFamily::Inet;
        message.attributes = vec![
            NeighbourTableAttribute::Name(ARP_CACHE.to_owned()),
            NeighbourTableAttribute::Parms(vec![
                NeighbourTableParameter::Ifindex(ifindex),
                NeighbourTableParameter::ProxyDelay(0),
            ]),
        ];
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::SetNeighbourTable(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        let mut answers = self.handle.clone().request(request).during(doing)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(rtnetlink::Error::NetlinkError(error)).during(doing);
            }
        }
        Ok(())
    }
}

fn delay(attribute: &NeighbourTableAttribute) -> Option<(u32, u64)> {
    let NeighbourTableAttribute::Parms(parameters) = attribute else { return None };
    let (mut ifindex, mut delay) = (None, None);
    for parameter in parameters {
        if let NeighbourTableParameter::Ifindex(index) = parameter {
            ifindex = Some(*index);
        } else if let NeighbourTableParameter::ProxyDelay(ms) = parameter {
            delay = Some(*ms);
        }
    }
    Some((ifindex?, delay?))
}
