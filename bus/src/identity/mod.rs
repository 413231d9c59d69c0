//! Who a device is: a key that never leaves it, and a certificate that says its store, source and role.
//!
//! The certificate's subject is `O = store, OU = role, CN = source`. A device makes its key and a request
//! ([`request`]); the store's [`Authority`] signs it for a limited time, and revokes it by a list. Files of a device stand
//! in one folder: `ca.pem`, `{source}.key`, `{source}.csr`, `{source}.pem`.
//!
//! Keys are ECDSA P-256 (FIPS 186-5), made and used by *ring*.

mod authority;
mod files;

use rcgen::{CertificateParams, DnType, KeyPair};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use crate::acl::ROLES;
use crate::topic::{Topic, TopicError, TopicKind};

pub use authority::{Authority, Issued};
pub use files::{
    Clients, IdentityDir, TlsIdentity, client_config, client_verifier, server_config, server_config_for,
};
pub(crate) use files::{Stamps, stamps};

/// Role of the broker's own certificate: it serves, and is no device.
pub const BROKER: &str = "broker";
/// Role of the cloud's own certificate: it serves stores.
pub const CLOUD: &str = "cloud";
/// Role of a store towards the cloud: it delivers that store's events and takes its commands. Its source is the store.
pub const UPLINK: &str = "uplink";
/// Role of a person or program that acts for the whole chain towards the cloud.
pub const OPERATOR: &str = "operator";

/// Roles that are nobody's on the bus.
const OFF_THE_BUS: [&str; 4] = [BROKER, CLOUD, UPLINK, OPERATOR];

/// Why an identity cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A name cannot stand in a topic.
    #[error(transparent)]
    Name(#[from] TopicError),
    /// No such role.
    #[error("{0:?} is no role; known are {known}", known = ROLES.join(", "))]
    Role(String),
    /// A certificate lacks a part of the name.
    #[error("the certificate's subject is no device's: it has no {0}")]
    Subject(&'static str),
    /// A file cannot be read or written.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The certificates cannot be made.
    #[error("cannot {operation}")]
    Certificate {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// TLS refuses keys or certificates.
    #[error("TLS: {0}")]
    Tls(String),
}

/// A device: which source of which store, in which role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceName {
    /// The store.
    pub store: String,
    /// Its name on the bus.
    pub source: String,
    /// Its role.
    pub role: String,
}

impl DeviceName {
    /// Checks the parts.
    ///
    /// # Errors
    /// When a part cannot stand in a topic, or the role is unknown.
    pub fn new(store: &str, source: &str, role: &str) -> Result<Self, IdentityError> {
        Topic::new(TopicKind::Status, store, source)?;
        if !OFF_THE_BUS.contains(&role) && !ROLES.contains(&role) {
            return Err(IdentityError::Role(role.to_owned()));
        }
        Ok(Self { store: store.to_owned(), source: source.to_owned(), role: role.to_owned() })
    }

    /// Reads a certificate's subject. The certificate must have been verified by somebody else.
    ///
    /// # Errors
    /// When it is no device's.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| IdentityError::Subject("readable form"))?;
        Self::of_subject(certificate.subject())
    }

    /// Reads the name in a request for a certificate, in PEM.
    ///
    /// # Errors
    /// When it is no request of a device.
    pub fn of_request(pem: &str) -> Result<Self, IdentityError> {
        authority::name_of_request(pem)
    }

    fn of_subject(subject: &X509Name<'_>) -> Result<Self, IdentityError> {
        let store = subject.iter_organization().next().and_then(|v| v.as_str().ok());
        let role = subject.iter_organizational_unit().next().and_then(|v| v.as_str().ok());
        let source = subject.iter_common_name().next().and_then(|v| v.as_str().ok());
        Self::new(
            store.ok_or(IdentityError::Subject("O (store)"))?,
            source.ok_or(IdentityError::Subject("CN (source)"))?,
            role.ok_or(IdentityError::Subject("OU (role)"))?,
        )
    }

    fn params(&self, hosts: &[String]) -> Result<CertificateParams, IdentityError> {
        let failed = |source| IdentityError::Certificate { operation: "name the hosts", source };
        let mut params = CertificateParams::new(hosts.to_vec()).map_err(failed)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, self.store.as_str());
        params.distinguished_name.push(DnType::OrganizationalUnitName, self.role.as_str());
        params.distinguished_name.push(DnType::CommonName, self.source.as_str());
        Ok(params)
    }
}

impl std::fmt::Display for DeviceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} of {})", self.source, self.role, self.store)
    }
}

/// A new key, in PEM.
///
/// # Errors
/// When the system has no randomness.
pub fn new_key() -> Result<String, IdentityError> {
    let failed = |source| IdentityError::Certificate { operation: "make a key", source };
    Ok(KeyPair::generate().map_err(failed)?.serialize_pem())
}

/// A request for a certificate, in PEM. `hosts` are the names and addresses of a broker, and empty for devices.
///
/// # Errors
/// When the key is none.
pub fn request(device: &DeviceName, key_pem: &str, hosts: &[String]) -> Result<String, IdentityError> {
    let key = KeyPair::from_pem(key_pem)
        .map_err(|source| IdentityError::Certificate { operation: "read the key", source })?;
    let failed = |source| IdentityError::Certificate { operation: "make the request", source };
    device.params(hosts)?.serialize_request(&key).and_then(|r| r.pem()).map_err(failed)
}
