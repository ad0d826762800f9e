//! Listeners and figures of a guest, for which this machine stands in.

use std::net::{TcpListener, UdpSocket};

use banger_agent_proto::{Listener, ListenersRequest, StatsRequest, listener::Protocol};

use crate::guest::{client, ports};

async fn listeners() -> Vec<Listener> {
    client(&ports()).await.listeners(ListenersRequest {}).await.unwrap().into_inner().listeners
}

#[tokio::test]
async fn what_listens_is_told_with_its_process_and_what_is_connected_is_not() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.connect(udp.local_addr().unwrap()).unwrap();
    let client = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let seen = listeners().await;
    let find = |protocol: Protocol, port: u16| {
        seen.iter().find(|found| found.protocol() == protocol && found.port == u32::from(port))
    };
    for (protocol, address) in
        [(Protocol::Tcp, tcp.local_addr().unwrap()), (Protocol::Udp, udp.local_addr().unwrap())]
    {
        let found = find(protocol, address.port()).unwrap_or_else(|| panic!("{protocol:?}: {seen:?}"));
        assert_eq!(found.address, "127.0.0.1");
        assert!(found.processes.iter().any(|process| process.pid == std::process::id()), "{found:?}");
    }
    assert_eq!(find(Protocol::Udp, peer.local_addr().unwrap().port()), None);
    assert_eq!(find(Protocol::Tcp, client.local_addr().unwrap().port()), None);
}

#[tokio::test]
async fn figures_grow_with_what_is_done() {
    let mut client = client(&ports()).await;
    let before = client.stats(StatsRequest {}).await.unwrap().into_inner();
    let after = client.stats(StatsRequest {}).await.unwrap().into_inner();
    assert!(after.uptime_seconds > before.uptime_seconds);
    assert!(after.cpu.unwrap().busy_millis >= before.cpu.unwrap().busy_millis);
    assert_eq!(after.load.len(), 3);
    assert!(after.interfaces.iter().all(|interface| interface.name != "lo"));
}
