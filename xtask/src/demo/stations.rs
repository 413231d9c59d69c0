//! Which programs the demo runs, with which addresses and options: the one place that knows their command lines.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace::Workspace;

/// The device roles, in the order in which they are started: who listens before who talks.
pub const ROLES: [&str; 4] = ["floor", "gate", "shelf", "camera"];

/// Everything that the programs must agree on.
pub struct Stations<'a> {
    workspace: &'a Workspace,
    recording: PathBuf,
    data: PathBuf,
    pace: String,
    /// Is the shelf weighed live, by a simulated scale?
    live_scale: bool,
    bus: SocketAddr,
    console: SocketAddr,
    cloud: SocketAddr,
    /// The store's id, from its store.toml.
    store: String,
}

#[derive(Deserialize)]
struct StoreToml {
    store: StoreTable,
}

#[derive(Deserialize)]
struct StoreTable {
    id: String,
}

impl<'a> Stations<'a> {
    /// Plans the demo of a recording, with its data in `data`, on free ports of the loopback interface.
    ///
    /// # Errors
    /// When the recording has no readable store.toml, or no port is free.
    pub fn plan(
        workspace: &'a Workspace,
        recording: &Path,
        data: &Path,
        pace: &str,
        live_scale: bool,
    ) -> Result<Self> {
        let file = recording.join("store.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let toml: StoreToml = toml::from_str(&text).with_context(|| format!("read {}", file.display()))?;
        let [bus, console, cloud] = free_addresses().context("find free ports on 127.0.0.1")?;
        Ok(Self {
            workspace,
            recording: recording.to_owned(),
            data: data.to_owned(),
            pace: pace.to_owned(),
            live_scale,
            bus,
            console,
            cloud,
            store: toml.store.id,
        })
    }

    /// The reference cloud.
    #[must_use]
    pub fn receive(&self) -> Command {
        let mut command = self.workspace.command(self.workspace.built("store-sync"));
        command.arg("receive").args(["--listen", &self.cloud.to_string()]);
        command.arg("--data").arg(self.data.join("cloud"));
        command
    }

    /// The store's server with its embedded broker.
    #[must_use]
    pub fn serve(&self) -> Command {
        let mut command = self.workspace.command(self.workspace.built("store-sync"));
        command.arg("serve").arg("--config").arg(self.recording.join("store.toml"));
        command.args(["--listen", &self.console.to_string(), "--broker", &self.bus.to_string()]);
        command.args(["--cloud", &format!("http://{}/v1/events", self.cloud)]);
        command.arg("--data").arg(self.data.join("store"));
        command
    }

    /// Lets a channel place orders.
    #[must_use]
    pub fn add_channel(&self, name: &str) -> Command {
        let mut command = self.workspace.command(self.workspace.built("store-sync"));
        command.args(["channel", "add", name, "--data"]).arg(self.data.join("store"));
        command
    }

    /// Where a channel posts its orders.
    #[must_use]
    pub fn orders_of(&self, channel: &str) -> String {
        self.console(&format!("/api/hooks/orders/{channel}"))
    }

    /// A role of the device program, playing the recording.
    #[must_use]
    pub fn role(&self, role: &str) -> Command {
        let mut command = self.workspace.command(self.workspace.built("edge-agent"));
        command.arg(role);
        if role == "shelf" && self.live_scale {
            command.arg("--config").arg(self.recording.join("store.toml"));
        } else {
            command.arg("--recording").arg(&self.recording).args(["--pace", &self.pace]);
        }
        command.args(["--bus", &format!("mqtt://{}", self.bus)]);
        command.arg("--data").arg(self.data.join(role));
        if role == "camera" {
            command.arg("--report").arg(self.camera_report());
        }
        command
    }

    /// The store's robots and its scale, simulated.
    #[must_use]
    pub fn robots(&self) -> Command {
        let mut command = self.workspace.command(self.workspace.built("simulator"));
        command.arg("amr").arg("--store").arg(self.recording.join("store.toml"));
        command.args(["--bus", &format!("mqtt://{}", self.bus), "--scales", "--replay"]);
        command.arg(&self.recording);
        command
    }

    /// Where the camera role says what its frames cost.
    #[must_use]
    pub fn camera_report(&self) -> PathBuf {
        self.data.join("camera.json")
    }

    /// An address of the store's server.
    #[must_use]
    pub fn console(&self, path: &str) -> String {
        format!("http://{}{path}", self.console)
    }

    /// What programs on this machine read the store's API with; there once the store's server answers.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn reader_token(&self) -> Result<String> {
        let file = self.data.join("store/reader-token");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(text.trim().to_owned())
    }

    /// The console's address with the one-time password behind the #, which browsers keep to themselves.
    #[must_use]
    pub fn console_link(&self) -> String {
        match fs::read_to_string(self.data.join("store/first-password")) {
            Ok(once) => self.console(&format!("/#once={}", once.trim())),
            Err(_) => self.console("/"),
        }
    }

    /// An address of the reference cloud.
    #[must_use]
    pub fn cloud(&self, path: &str) -> String {
        format!("http://{}{path}", self.cloud)
    }

    /// Where the cloud lists this store's receipts, the last one of each visit.
    #[must_use]
    pub fn cloud_receipts(&self) -> String {
        self.cloud(&format!("/v1/stores/{}/receipts?limit=1000", self.store))
    }

    /// Where the cloud lists this store's events after a position.
    #[must_use]
    pub fn cloud_events(&self, after: i64) -> String {
        self.cloud(&format!("/v1/stores/{}/events?after={after}&limit=500", self.store))
    }
}

/// Free ports, different ones. Another program may take one before ours does; then that one says so when it starts.
fn free_addresses() -> Result<[SocketAddr; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [listen()?, listen()?, listen()?];
    Ok([held[0].local_addr()?, held[1].local_addr()?, held[2].local_addr()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ports_are_three() {
        let [a, b, c] = free_addresses().unwrap();
        assert!(a != b && b != c && a != c);
        assert!(a.ip().is_loopback());
    }
}
