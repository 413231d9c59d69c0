//! The keys of a `[[source]]` that feeds a gate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use linefree_domain::ids::GateIndex;

use super::scale::{SerialLine, serial_line};
use super::{behind, whole};
use crate::store_file::live::path;
use crate::toml_walk::{Node, Table};

/// How long a gate stays open unless `open_s` says otherwise, seconds.
const DEFAULT_OPEN_S: f64 = 5.0;

const SCHEMES: &str = "serial:/dev/ttyACM0 (a reader), listen:127.0.0.1:8481 (readers that speak HTTP) or \
                       gpio:/dev/gpiochip0 (no reader: an exit)";

/// How a live gate is read and opened.
#[derive(Debug, Clone, PartialEq)]
pub struct GateConfig {
    /// Which gate.
    pub gate: GateIndex,
    /// Where credentials are presented.
    pub reader: GateReader,
    /// File with the public key that credentials are signed with; always there with a reader.
    pub key_file: Option<PathBuf>,
    /// What opens it; `None` for a threshold without a barrier.
    pub opener: Option<Opener>,
    /// How long it stays open, seconds.
    pub open_s: f64,
    /// GPIO chip of the lines below.
    pub chip: Option<PathBuf>,
    /// Line that is high while somebody passes on the way out.
    pub exit_line: Option<u32>,
    /// Line that is high while there is no fire alarm: a cut wire is an alarm.
    pub fire_line: Option<u32>,
}

/// Where credentials are presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateReader {
    /// A reader that sends a line for each code.
    Serial(SerialLine),
    /// Readers that post codes to this address.
    Listen(SocketAddr),
    /// None.
    None,
}

/// What opens a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opener {
    /// A relay at a line of the GPIO chip: high holds the gate locked, so that no power opens it.
    Line(u32),
    /// An address that is posted to.
    Http(String),
}

pub(super) fn read(
    t: &mut Table<'_>,
    address: Option<&(Node<'_>, String)>,
    folder: &Path,
    gate: Option<GateIndex>,
) -> Option<GateConfig> {
    let reader = address.and_then(|(node, url)| read_reader(t, node, url));
    let of_url = address.and_then(|(_, url)| url.strip_prefix("gpio:")).map(PathBuf::from);
    let chip = t.get("chip").and_then(|n| path(&n, Path::new(""))).or(of_url);
    let key_file = t.get("key_file").and_then(|n| path(&n, folder));
    if key_file.is_none() && matches!(reader, Some(GateReader::Serial(_) | GateReader::Listen(_))) {
        t.mistake(
            "key_file",
            "is missing",
            "write the file of the public key that credentials are signed with (`edge-agent credential key` makes one)",
        );
        return None;
    }
    let mut line = |key: &'static str| {
        let node = t.get(key)?;
        let number = whole(&node, 0, 1_023, "the number of a GPIO line")?;
        if chip.is_none() {
            node.mistake("needs the GPIO chip", "write chip = \"/dev/gpiochip0\"");
        }
        Some(number)
    };
    let lock_line = line("lock_line");
    let exit_line = line("exit_line");
    let fire_line = line("fire_line");
    let open_url = t.get("open_url").and_then(|n| {
        let text = n.str("the address that opens the gate")?;
        let ok = text.starts_with("http://") || text.starts_with("https://");
        if !ok {
            n.mistake("is no http:// or https:// address", "write what the gate's controller is posted to");
        }
        ok.then(|| text.to_owned())
    });
    if lock_line.is_some() && open_url.is_some() {
        t.mistake("open_url", "stands beside lock_line", "keep the one that opens this gate");
    }
    let open_s = match t.get("open_s") {
        None => Some(DEFAULT_OPEN_S),
        Some(n) => n.num("seconds").filter(|s| {
            let fits = (0.5..=60.0).contains(s);
            if !fits {
                n.mistake(format!("is {s}"), "write how long the gate stays open, 0.5 to 60 seconds");
            }
            fits
        }),
    };
    let opener = lock_line.map(Opener::Line).or(open_url.map(Opener::Http));
    Some(GateConfig {
        gate: gate?,
        reader: reader?,
        key_file,
        opener,
        open_s: open_s?,
        chip,
        exit_line,
        fire_line,
    })
}

fn read_reader(t: &mut Table<'_>, node: &Node<'_>, url: &str) -> Option<GateReader> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("serial") => serial_line(t, node, url).map(GateReader::Serial),
        Some("listen") => {
            let text = behind(node, url, "listen:", "an address and a port: listen:127.0.0.1:8481")?;
            match text.parse() {
                Ok(address) => Some(GateReader::Listen(address)),
                Err(_) => {
                    node.mistake(
                        format!("{text:?} is not an IP address with a port"),
                        "write for example listen:127.0.0.1:8481",
                    );
                    None
                }
            }
        }
        Some("gpio") => {
            behind(node, url, "gpio:", "the GPIO chip: gpio:/dev/gpiochip0").map(|_| GateReader::None)
        }
        _ => {
            node.mistake("is no place of a gate that this program knows", format!("write one of {SCHEMES}"));
            None
        }
    }
}
