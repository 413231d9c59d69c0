//! The optional tables of a live store: `[bus]`, `[server]`, `[cloud]`, `[oidc]`, `[detector]`, `[vision]`, `[policy]`,
//! `[[shelf_calibration]]`, `[[source]]`.
//!
//! Secrets never stand in store.toml, only the paths of the files that hold them. Relative paths are taken from
//! store.toml's own folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use linefree_domain::layout::StoreLayout;

use super::layout::{filled, read_size_px};
use super::oidc::{self, OidcConfig};
use super::shelf_calibration::{self, ShelfCalibration};
use super::source::{self, SourceConfig};
use crate::toml_walk::{Node, Table};

/// The person model that is used unless `[detector] model` says otherwise.
pub const DEFAULT_DETECTOR: &str = "person-centernet";

/// The product model that is used unless `[vision] model` says otherwise.
const DEFAULT_PRODUCT_MODEL: &str = "product-embedding";
/// The model of products and hands that is used unless `[vision] detector` says otherwise.
const DEFAULT_HANDLING_MODEL: &str = "product-hand";
/// Memory for recent frames of each camera unless `[vision] memory_mb` says otherwise.
const DEFAULT_MEMORY_MB: u32 = 96;
/// More memory than this for one camera's recent frames is a mistake.
const MEMORY_MAX_MB: f64 = 4096.0;

/// Where store-sync listens unless `[server] listen` says otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8480";

/// Credentials of staff begin like this unless `[policy] staff` says otherwise.
const DEFAULT_STAFF: &str = "staff-";
/// Lines less certain than this go to review unless `[policy] review_below` says otherwise.
pub const DEFAULT_REVIEW_BELOW: f64 = 0.9;

/// How a live store is run, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveConfig {
    /// The broker; `None` = store-sync embeds one.
    pub bus: Option<BusConfig>,
    /// The store's server.
    pub server: ServerConfig,
    /// The chain's cloud; `None` = the outbox keeps everything until there is one.
    pub cloud: Option<CloudConfig>,
    /// Where people who work here sign in; `None` = with the store's own accounts only.
    pub oidc: Option<OidcConfig>,
    /// How people are found in frames.
    pub detector: DetectorConfig,
    /// How handled products are looked at; `None` = they are not.
    pub vision: Option<VisionConfig>,
    /// What is charged and what is reviewed.
    pub policy: PolicyConfig,
    /// Shelves whose gains and cross-talk are known.
    pub shelves: Vec<ShelfCalibration>,
    /// Where live sensors are found.
    pub sources: Vec<SourceConfig>,
}

/// `[bus]`: the MQTT broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusConfig {
    /// `mqtt://host:port` or `mqtts://host:port`.
    pub url: String,
    /// User name, where the broker wants one.
    pub username: Option<String>,
    /// File that holds the password on its first line.
    pub password_file: Option<PathBuf>,
    /// Folder of keys and certificates, for `mqtts://`.
    pub tls_dir: Option<PathBuf>,
}

/// `[server]`: store-sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Address of the HTTP API and console.
    pub listen: SocketAddr,
    /// Folder of the ledger and the journals.
    pub data_dir: PathBuf,
}

/// `[cloud]`: where receipts and events are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudConfig {
    /// `http://` or `https://` address that takes CloudEvents batches.
    pub url: String,
    /// File that holds the bearer token on its first line.
    pub token_file: Option<PathBuf>,
    /// Folder of the cloud's authority and of the store's own certificate, for `https://`.
    pub tls_dir: Option<PathBuf>,
}

/// `[detector]`: the person model.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorConfig {
    /// Its name in models/manifest.toml.
    pub model: String,
    /// Width and height the model is run at; `None` = the manifest's.
    pub input_px: Option<[u32; 2]>,
    /// Least score; `None` = the manifest's threshold.
    pub score_min: Option<f64>,
    /// Detections a second while people are in view; `None` = the program's own.
    pub rate_hz: Option<f64>,
    /// Longest time without a detection where nothing changes, seconds; `None` = the program's own.
    pub idle_s: Option<f64>,
}

impl DetectorConfig {
    /// A model with everything else left to the program.
    #[must_use]
    pub fn model(name: &str) -> Self {
        Self { model: name.to_owned(), input_px: None, score_min: None, rate_hz: None, idle_s: None }
    }
}

/// `[vision]`: looking at what is handled, on shelf events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisionConfig {
    /// Folder of the gallery of enrolled products.
    pub gallery: PathBuf,
    /// The product model, by its name in models/manifest.toml.
    pub model: String,
    /// The model that finds products and hands, by its name there.
    pub detector: String,
    /// Memory for recent frames of each camera, MB (1 to 4096).
    pub memory_mb: u32,
}

/// `[policy]`: what is charged and what is reviewed.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig {
    /// Lines less certain than this go to review, 0 to 1.
    pub review_below: f64,
    /// Who enters with a credential that begins like this is staff; empty for none.
    pub staff: String,
}

pub(super) fn read(root: &mut Table<'_>, folder: &Path, layout: Option<&StoreLayout>) -> LiveConfig {
    let shelves = shelf_calibration::read(root, layout);
    LiveConfig {
        bus: root.get("bus").and_then(|n| read_bus(&n, folder)),
        server: read_server(root.get("server"), folder),
        cloud: root.get("cloud").and_then(|n| read_cloud(&n, folder)),
        oidc: root.get("oidc").and_then(|n| oidc::read(&n, folder)),
        detector: read_detector(root.get("detector")),
        vision: root.get("vision").and_then(|n| read_vision(&n, folder)),
        policy: read_policy(root.get("policy")),
        sources: source::read(root, folder, layout, &shelves),
        shelves,
    }
}

pub(super) fn url(node: &Node<'_>, schemes: &[&str]) -> Option<String> {
    let text = node.str("an address")?;
    let rest = schemes.iter().find_map(|s| text.strip_prefix(s));
    let host = rest.and_then(|r| r.split('/').next()).unwrap_or_default();
    if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        node.mistake(
            "is not an address this program can use",
            format!("begin it with {} and a host", schemes.join(" or ")),
        );
        return None;
    }
    if host.contains('@') {
        // The text itself is not repeated: it may hold a password.
        node.mistake("holds a user name or password", "move secrets to a file and name that file instead");
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn path(node: &Node<'_>, folder: &Path) -> Option<PathBuf> {
    filled(node, "a path").map(|p| folder.join(p))
}

fn read_bus(node: &Node<'_>, folder: &Path) -> Option<BusConfig> {
    let mut t = node.table("[bus] with single brackets")?;
    let url = t
        .need("url", "write the broker's address: mqtt://host:1883, or remove [bus] to use the built-in one")
        .and_then(|n| url(&n, &["mqtt://", "mqtts://"]));
    let username = t.get("username").and_then(|n| filled(&n, "the user name"));
    let password_file = t.get("password_file").and_then(|n| path(&n, folder));
    if username.is_none() && password_file.is_some() {
        t.mistake("username", "is missing beside password_file", "add the user name");
    }
    let tls_dir = t.get("tls_dir").and_then(|n| path(&n, folder));
    if tls_dir.is_none() && url.as_deref().is_some_and(|u| u.starts_with("mqtts://")) {
        t.mistake(
            "tls_dir",
            "is missing beside an mqtts:// address",
            "name the folder of keys and certificates: tls_dir = \"/etc/linefree/tls\" (docs/guide/ops.md)",
        );
    }
    t.finish();
    Some(BusConfig { url: url?, username, password_file, tls_dir })
}

fn read_server(node: Option<Node<'_>>, folder: &Path) -> ServerConfig {
    let mut server = ServerConfig {
        // The constant parses; were it ever broken, port 0 would be a visible answer.
        listen: DEFAULT_LISTEN.parse().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
        data_dir: folder.join("data"),
    };
    let Some(mut t) = node.and_then(|n| n.table("[server] with single brackets")) else { return server };
    if let Some(n) = t.get("listen")
        && let Some(text) = n.str("an address and a port")
    {
        match text.parse() {
            Ok(listen) => server.listen = listen,
            Err(_) => n.mistake(
                format!("{text:?} is not an IP address with a port"),
                format!("write for example \"{DEFAULT_LISTEN}\", or \"0.0.0.0:8480\" for every interface"),
            ),
        }
    }
    if let Some(dir) = t.get("data_dir").and_then(|n| path(&n, folder)) {
        server.data_dir = dir;
    }
    t.finish();
    server
}

fn read_cloud(node: &Node<'_>, folder: &Path) -> Option<CloudConfig> {
    let mut t = node.table("[cloud] with single brackets")?;
    let url = t
        .need("url", "write where events are delivered: https://..., or nats://host:4222/chain")
        .and_then(|n| url(&n, &["http://", "https://", "nats://", "tls://"]));
    let token_file = t.get("token_file").and_then(|n| path(&n, folder));
    let tls_dir = t.get("tls_dir").and_then(|n| path(&n, folder));
    if tls_dir.is_some() && url.as_deref().is_some_and(|u| !u.starts_with("https://")) {
        t.mistake(
            "tls_dir",
            "stands beside an address that is not https://",
            "write the cloud's https:// address, or leave tls_dir out",
        );
    }
    t.finish();
    Some(CloudConfig { url: url?, token_file, tls_dir })
}

fn fraction(node: &Node<'_>) -> Option<f64> {
    let value = node.num("a number from 0 to 1")?;
    if !(0.0..=1.0).contains(&value) {
        node.mistake(format!("is {value}"), "write a number from 0 to 1");
        return None;
    }
    Some(value)
}

pub(super) fn above_zero(node: &Node<'_>, what: &str) -> Option<f64> {
    let value = node.num(&format!("a positive number of {what}"))?;
    if value <= 0.0 {
        node.mistake(format!("is {value}"), format!("write a positive number of {what}"));
        return None;
    }
    Some(value)
}

fn read_detector(node: Option<Node<'_>>) -> DetectorConfig {
    let mut detector = DetectorConfig::model(DEFAULT_DETECTOR);
    let Some(mut t) = node.and_then(|n| n.table("[detector] with single brackets")) else { return detector };
    if let Some(model) = t.get("model").and_then(|n| filled(&n, "a model's name")) {
        detector.model = model;
    }
    detector.input_px = t.get("input_px").and_then(|n| read_size_px(&n));
    detector.score_min = t.get("score_min").and_then(|n| fraction(&n));
    detector.rate_hz = t.get("rate_hz").and_then(|n| above_zero(&n, "detections a second"));
    detector.idle_s = t.get("idle_s").and_then(|n| above_zero(&n, "seconds"));
    t.finish();
    detector
}

fn read_vision(node: &Node<'_>, folder: &Path) -> Option<VisionConfig> {
    let mut t = node.table("[vision] with single brackets")?;
    let gallery = t
        .need("gallery", "name the folder that `edge-agent enrol --gallery` fills, or remove [vision]")
        .and_then(|n| path(&n, folder));
    let mut name = |key: &'static str, default: &str| {
        t.get(key).and_then(|n| filled(&n, "a model's name")).unwrap_or_else(|| default.to_owned())
    };
    let (model, detector) = (name("model", DEFAULT_PRODUCT_MODEL), name("detector", DEFAULT_HANDLING_MODEL));
    let memory_mb = t.get("memory_mb").and_then(|n| {
        let mb = n.num("a number of megabytes")?;
        if !(1.0..=MEMORY_MAX_MB).contains(&mb) {
            n.mistake(format!("is {mb}"), format!("write a number of megabytes from 1 to {MEMORY_MAX_MB}"));
            return None;
        }
        Some(mb as u32)
    });
    t.finish();
    Some(VisionConfig {
        gallery: gallery?,
        model,
        detector,
        memory_mb: memory_mb.unwrap_or(DEFAULT_MEMORY_MB),
    })
}

fn read_policy(node: Option<Node<'_>>) -> PolicyConfig {
    let mut policy = PolicyConfig { review_below: DEFAULT_REVIEW_BELOW, staff: DEFAULT_STAFF.into() };
    let Some(mut t) = node.and_then(|n| n.table("[policy] with single brackets")) else { return policy };
    if let Some(value) = t.get("review_below").and_then(|n| fraction(&n)) {
        policy.review_below = value;
    }
    if let Some(prefix) = t.get("staff").and_then(|n| n.str("the beginning of staff credentials")) {
        policy.staff = prefix.to_owned();
    }
    t.finish();
    policy
}
