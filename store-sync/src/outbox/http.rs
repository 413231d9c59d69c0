//! Batches over HTTP, with a bearer token from a file; commands and, for repairs, events from the cloud.
//!
//! Batches are packed by zstd. A cloud that does not know that refuses the first one (400 or 415) and is sent it by gzip,
//! then plain; what it takes is what this run goes on with.
//!
//! The token is read anew for every batch, so it can be changed while the store runs; it is never logged, never sent to
//! another host (redirects are not followed) and never sent in the clear except to this machine.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::tls::TlsConfig;

use super::tls::{TlsFilesError, config, refusal};
use super::{Deliver, DeliveryError};
use crate::cloud::command::Command;
use crate::cloud::packing::Packing;
use crate::cloud::{BATCH_MEDIA_TYPE, CommandPage, EventPage};
use crate::downlink::AskCommands;

/// How long a request may take.
const AT_MOST: Duration = Duration::from_secs(30);

/// A page of commands or events longer than this is refused.
const MAX_PAGE_BYTES: u64 = 32 << 20;

/// Batches smaller than this are not worth compressing.
const PLAIN_BYTES: usize = 1024;

/// An answer longer than this is cut.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Where the cloud is.
pub struct HttpCloud {
    agent: ureq::Agent,
    url: String,
    token_file: Option<PathBuf>,
    /// The best that the cloud is not known to refuse.
    packing: Mutex<Packing>,
}

/// Asks others over HTTP. Follows no redirect, so that no token goes to another host; every status is an answer.
pub(crate) fn agent(at_most: Duration) -> ureq::Agent {
    agent_with(at_most, TlsConfig::default())
}

fn agent_with(at_most: Duration, tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(at_most))
        .timeout_connect(Some(Duration::from_secs(10)))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("linefree-store-sync/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CloudUrlError {
    /// Not http(s).
    #[error("the cloud's address {0:?} must begin with http:// or https://")]
    Scheme(String),
    /// It would carry the token in the clear.
    #[error(
        "the cloud's address {0:?} is http: and not on this machine, so the token would travel in the clear: use \
         https, or leave token_file out"
    )]
    TokenInTheClear(String),
    /// Certificates are of no use there.
    #[error("the cloud's address {0:?} is not https://, so no certificates can be shown: leave tls_dir out")]
    NoTls(String),
    /// The files cannot be used.
    #[error(transparent)]
    Files(#[from] TlsFilesError),
}

/// What went wrong on the way.
fn failed(error: &ureq::Error) -> DeliveryError {
    match refusal(error) {
        Some(why) => DeliveryError::Insecure(why),
        None => DeliveryError::Unreachable(error.to_string()),
    }
}

impl HttpCloud {
    /// Checks the address; nothing is sent yet.
    ///
    /// # Errors
    /// [`CloudUrlError`].
    pub fn new(url: &str, token_file: Option<PathBuf>) -> Result<Self, CloudUrlError> {
        let clear = url.strip_prefix("http://");
        if clear.is_none() && !url.starts_with("https://") {
            return Err(CloudUrlError::Scheme(url.to_owned()));
        }
        if let Some(rest) = clear
            && token_file.is_some()
            && !is_loopback(rest)
        {
            return Err(CloudUrlError::TokenInTheClear(url.to_owned()));
        }
        Ok(Self {
            agent: agent(AT_MOST),
            url: url.to_owned(),
            token_file,
            packing: Mutex::new(Packing::ALL[0]),
        })
    }

    /// With the files of a folder: the chain's authority, and this store's certificate.
    ///
    /// # Errors
    /// [`CloudUrlError::NoTls`], [`CloudUrlError::Files`].
    pub fn with_tls(mut self, dir: &Path, store: &str) -> Result<Self, CloudUrlError> {
        if !self.url.starts_with("https://") {
            return Err(CloudUrlError::NoTls(self.url));
        }
        self.agent = agent_with(AT_MOST, config(dir, store)?);
        Ok(self)
    }
}

impl HttpCloud {
    /// Where the cloud's other resources are: its address without `/v1/events`. `None` for a cloud that takes batches at
    /// another address, and so has no commands.
    fn base(&self) -> Option<&str> {
        self.url.strip_suffix("/v1/events")
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, DeliveryError> {
        let Some(base) = self.base() else { return Ok(None) };
        let mut request = self.agent.get(format!("{base}{path}"));
        if let Some(file) = &self.token_file {
            request = request.header("Authorization", format!("Bearer {}", read_token(file)?));
        }
        let mut response = request.call().map_err(|e| failed(&e))?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_PAGE_BYTES)
            .read_to_string()
            .map_err(|e| DeliveryError::Unreachable(format!("status {status}, then {e}")))?;
        match status {
            200 => serde_json::from_str(&text)
                .map(Some)
                .map_err(|e| DeliveryError::Nonsense(format!("{e} in {:?}", beginning(&text)))),
            404 => Ok(None),
            _ => Err(DeliveryError::Refused { status, told: beginning(&text) }),
        }
    }

    /// A page of the events that the cloud has of a store, after a position of the cloud's. `None` when it cannot say.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub fn events(&self, store: &str, after: i64) -> Result<Option<EventPage>, DeliveryError> {
        self.get(&format!("/v1/stores/{store}/events?after={after}&limit=1000"))
    }

    fn send_packed(&self, batch: &[u8], packing: Packing) -> Result<(u16, String), DeliveryError> {
        if packing == Packing::Plain {
            return self.send(batch, packing);
        }
        match packing.pack(batch) {
            Ok(packed) => self.send(&packed, packing),
            // Out of memory, if ever: the batch itself is at hand.
            Err(_) => self.send(batch, Packing::Plain),
        }
    }

    fn send(&self, body: &[u8], packing: Packing) -> Result<(u16, String), DeliveryError> {
        let mut request = self.agent.post(&self.url).header("Content-Type", BATCH_MEDIA_TYPE);
        if let Some(path) = &self.token_file {
            request = request.header("Authorization", format!("Bearer {}", read_token(path)?));
        }
        if packing != Packing::Plain {
            request = request.header("Content-Encoding", packing.name());
        }
        let mut response = request.send(body).map_err(|e| failed(&e))?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|e| DeliveryError::Unreachable(format!("status {status}, then {e}")))?;
        Ok((status, text))
    }
}

/// Is the host of `host[:port]/path` this machine?
pub(crate) fn is_loopback(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The token on the first line of a file.
///
/// # Errors
/// [`DeliveryError::Token`]: no file, no token in it, or one that no header can carry.
pub fn read_token(path: &Path) -> Result<String, DeliveryError> {
    let wrong = |why: String| DeliveryError::Token { path: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    if token.is_empty() {
        return Err(wrong("its first line holds no token".into()));
    }
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong("a token is printable ASCII without spaces".into()));
    }
    Ok(token.to_owned())
}

#[derive(Deserialize)]
struct Answer {
    acknowledged: u64,
}

impl AskCommands for HttpCloud {
    fn commands(&self, store: &str, after: u64) -> Result<Option<Vec<Command>>, DeliveryError> {
        let page: Option<CommandPage> =
            self.get(&format!("/v1/stores/{store}/commands?after={after}&limit=100"))?;
        Ok(page.map(|page| page.commands))
    }
}

impl Deliver for HttpCloud {
    fn deliver(&self, batch: &[u8]) -> Result<u64, DeliveryError> {
        let known = *self.packing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut packing = if batch.len() < PLAIN_BYTES { Packing::Plain } else { known };
        let (mut status, mut text) = self.send_packed(batch, packing)?;
        while matches!(status, 400 | 415)
            && let Some(simpler) = packing.simpler()
        {
            packing = simpler;
            (status, text) = self.send_packed(batch, packing)?;
            if status == 200 {
                tracing::info!(
                    "this cloud takes no {} batches: from now on {}",
                    known.name(),
                    packing.name()
                );
                *self.packing.lock().unwrap_or_else(PoisonError::into_inner) = packing;
            }
        }
        if status != 200 {
            return Err(DeliveryError::Refused { status, told: beginning(&text) });
        }
        serde_json::from_str::<Answer>(&text)
            .map(|answer| answer.acknowledged)
            .map_err(|e| DeliveryError::Nonsense(format!("{e} in {:?}", beginning(&text))))
    }
}

/// The first line of an answer, short enough for a log.
fn beginning(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_travels_in_the_clear() {
        let token = || Some(PathBuf::from("token"));
        for fine in
            ["http://127.0.0.1:1/x", "http://[::1]:1", "http://localhost/x", "https://cloud.example/x"]
        {
            assert!(HttpCloud::new(fine, token()).is_ok(), "{fine}");
        }
        for bad in ["http://cloud.example/x", "http://127.0.0.1.example/", "http://192.168.1.2"] {
            assert!(matches!(HttpCloud::new(bad, token()), Err(CloudUrlError::TokenInTheClear(_))), "{bad}");
            assert!(HttpCloud::new(bad, None).is_ok(), "{bad}");
        }
        assert!(matches!(HttpCloud::new("ftp://x", None), Err(CloudUrlError::Scheme(_))));
    }

    #[test]
    fn a_token_file_holds_one_printable_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for (text, expected) in [("s3cret\n", Some("s3cret")), ("\n", None), ("a b", None), ("é", None)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_token(&path).ok().as_deref(), expected, "{text:?}");
        }
        let told = read_token(&dir.path().join("none")).unwrap_err().to_string();
        assert!(told.contains("none"), "{told}");
    }
}
