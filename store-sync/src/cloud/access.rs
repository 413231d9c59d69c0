//! Who may do what at the reference cloud: by the certificate of the connection, else by a bearer token.
//!
//! | shown | may |
//! | --- | --- |
//! | a certificate with role `uplink` | deliver its store's events, read its store's commands and events |
//! | a certificate with role `operator` | everything |
//! | any other certificate | nothing, whatever token comes with it |
//! | the chain's token | everything |
//! | a store's token | what that store's certificate may |

use std::collections::BTreeMap;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use linefree_bus::identity::{DeviceName, OPERATOR, UPLINK};

use super::listen::Peer;
use super::receive::{Cloud, told};

/// Who may do what.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Whoever bears it may do everything.
    pub chain: Option<String>,
    /// Whoever bears a store's token may deliver its events and read its commands and events.
    pub stores: BTreeMap<String, String>,
    /// Connections show certificates. Without these and without tokens, everybody may do everything.
    pub certificates: bool,
}

impl Credentials {
    /// Reads lines of `STORE TOKEN`; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// Names the line that is wrong, never its token.
    pub fn with_stores(mut self, text: &str) -> Result<Self, String> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [store, token] = words.as_slice() else {
                return Err(format!("line {number}: write a store's id, a space and its token"));
            };
            if linefree_domain::ids::StoreId::new(store).is_err() {
                return Err(format!("line {number}: {store:?} is no store's id"));
            }
            if self.stores.insert((*store).to_owned(), (*token).to_owned()).is_some() {
                return Err(format!("line {number}: store {store} stands there twice"));
            }
        }
        Ok(self)
    }

    /// Everybody may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.chain.is_none() && self.stores.is_empty() && !self.certificates
    }

    fn bearer(&self, peer: Option<&DeviceName>, headers: &HeaderMap) -> Bearer {
        match peer {
            Some(name) if name.role == UPLINK => return Bearer::Store(name.store.clone()),
            Some(name) if name.role == OPERATOR => return Bearer::Chain,
            Some(name) => return Bearer::Stranger(name.to_string()),
            None => {}
        }
        if self.is_open() {
            return Bearer::Chain;
        }
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.as_bytes().strip_prefix(b"Bearer "))
            .unwrap_or_default();
        if self.chain.as_deref().is_some_and(|token| same(token, given)) {
            return Bearer::Chain;
        }
        let mut bearer = Bearer::Nobody;
        for (store, token) in &self.stores {
            if same(token, given) {
                bearer = Bearer::Store(store.clone());
            }
        }
        bearer
    }
}

/// Every byte is compared, so that the time taken tells nothing about where they differ.
fn same(token: &str, given: &[u8]) -> bool {
    let differing = token.bytes().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
    differing == 0 && token.len() == given.len()
}

/// Whom certificate and token make of whoever asks. Who has nothing to do here is refused before anything else of the
/// request is looked at.
pub(super) enum Bearer {
    Nobody,
    /// The certificate is somebody's who has no business here.
    Stranger(String),
    Store(String),
    Chain,
}

impl Bearer {
    /// May they act for a store? `None` when so. An empty store's name stands for the whole chain.
    pub(super) fn refused(&self, store: &str) -> Option<Response> {
        match self {
            Self::Chain => None,
            Self::Store(own) if own == store => None,
            Self::Store(own) if store.is_empty() => Some(told(
                StatusCode::FORBIDDEN,
                &format!("these credentials are of store {own}; this is for the whole chain"),
            )),
            Self::Store(own) => Some(told(
                StatusCode::FORBIDDEN,
                &format!("these credentials are of store {own}, not of {store}"),
            )),
            Self::Stranger(name) => Some(told(
                StatusCode::FORBIDDEN,
                &format!("the certificate is of {name}: the cloud lets in roles {UPLINK} and {OPERATOR}"),
            )),
            Self::Nobody => Some(told(StatusCode::UNAUTHORIZED, "a bearer token is needed")),
        }
    }

    /// Do they have nothing to do here at all?
    fn turned_away(&self) -> Option<Response> {
        match self {
            Self::Nobody | Self::Stranger(_) => self.refused(""),
            Self::Store(_) | Self::Chain => None,
        }
    }
}

impl FromRequestParts<Cloud> for Bearer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, cloud: &Cloud) -> Result<Self, Response> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>().and_then(|ConnectInfo(peer)| peer.0.clone());
        let bearer = cloud.credentials().bearer(peer.as_ref(), &parts.headers);
        bearer.turned_away().map_or(Ok(bearer), Err)
    }
}
