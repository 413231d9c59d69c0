//! systemd: "I am ready", and "I am alive" while every role is (sd_notify(3)).
//!
//! A datagram to the socket that `NOTIFY_SOCKET` names. Without it, nothing happens. While a role is silent for longer
//! than it may be, nothing is sent, and systemd restarts the agent.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use super::metrics::Metrics;

/// Tells systemd that the agent is ready, and then that it is alive, for as long as it is.
pub(super) async fn tell(metrics: Metrics) {
    notify("READY=1");
    let timeout_us = std::env::var("WATCHDOG_USEC").ok().and_then(|us| us.parse::<u64>().ok());
    let Some(timeout_us) = timeout_us.filter(|us| *us > 0) else { return };
    // Half the time-out, as sd_watchdog_enabled(3) recommends.
    let mut tick = tokio::time::interval(Duration::from_micros(timeout_us) / 2);
    loop {
        tick.tick().await;
        let silent = metrics.silent(Instant::now());
        if silent.is_empty() {
            notify("WATCHDOG=1");
        } else {
            tracing::error!(silent = silent.join(", "), "a role hangs; systemd is not told that all is well");
        }
    }
}

fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

fn send(name: &std::ffi::OsStr, state: &str) -> std::io::Result<()> {
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reaches_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut bytes = [0; 32];
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
        assert!(send(std::ffi::OsStr::new("/nowhere/notify"), "x").is_err());
    }
}
