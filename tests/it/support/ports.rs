//! Ports of loopback that a test keeps for itself while its server is stopped and started again.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// A port that nobody listens on, and no other test takes until this process ends: it lies below those that
/// Linux gives to outgoing connections (from 32,768), and an abstract socket's name stands for it.
pub fn claim() -> u16 {
    static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    loop {
        let port = rand::random_range(10_000..16_000);
        let name = SocketAddr::from_abstract_name(format!("hayloft test port {port}"))
            .expect("a name that fits");
        if let Ok(claim) = UnixListener::bind_addr(&name)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            CLAIMS.lock().expect("unpoisoned").push(claim);
            return port;
        }
    }
}
