//! Binds the metrics port before the host is changed, so that a port in use stops a start early.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Config;

/// Binds the metrics port.
pub(in crate::daemon) async fn bind_metrics(config: &Config) -> anyhow::Result<TcpListener> {
    let listen = &config.metrics.listen;
    let bound = if will_be_own_address(config, listen.value.ip()) {
        bind_ahead(listen.value)
    } else {
        TcpListener::bind(listen.value).await
    };
    bound.map_err(|error| {
        let message =
            format!("listen = \"{}\": {error}. {}", listen.value, remedy(&error, listen.value));
        config.error(listen, message).into()
    })
}

/// Returns what to do about a port that cannot be had.
fn remedy(error: &io::Error, listen: SocketAddr) -> String {
    let port = listen.port();
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        format!(
            "Another program listens there, perhaps another `vxlan`: `ss -ltnp 'sport = :{port}'` \
             names it. Write another port."
        )
    } else if kind == io::ErrorKind::PermissionDenied && port < 1024 {
        "Ports below 1024 need CAP_NET_BIND_SERVICE, which this program gives up. Write a port \
         from 1024 on."
            .to_owned()
    } else {
        "Write an address of this host and a free port.".to_owned()
    }
}

/// Returns whether this start puts the address on an overlay interface.
fn will_be_own_address(config: &Config, address: IpAddr) -> bool {
    let addresses = config.networks.iter().flat_map(|network| &network.addresses);
    addresses.map(|at| at.value.addr()).any(|own| own == address)
}

/// Binds to an address that no interface has yet (`IP_FREEBIND`, ip(7); IPv6 sockets take it too).
fn bind_ahead(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = match listen {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    SockRef::from(&socket).set_freebind_v4(true)?;
    socket.bind(listen)?;
    socket.listen(1024)
}
