//! HTTPS to a cloud whose authority is the chain's own, and who this store is to it.
//!
//! A folder (`tls_dir`): `ca.pem`, which alone is trusted where it stands (else the public authorities are), and
//! `{store}.pem` with `{store}.key`, which are shown to the cloud where they stand. They are read when the store starts.

use std::path::Path;

use linefree_bus::identity::{DeviceName, IdentityDir, UPLINK};
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFilesError {
    /// A file cannot be read, or is not what it should be.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The folder has none of the files.
    #[error(
        "{0} holds neither ca.pem nor {1}.pem: copy the chain's ca.pem there; `store-sync provision request` begins \
         the store's certificate"
    )]
    Empty(String, String),
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> TlsFilesError {
    TlsFilesError::File { path: path.display().to_string(), why: why.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, TlsFilesError> {
    let text = std::fs::read(path).map_err(|e| wrong(path, e))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| wrong(path, e))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(wrong(path, "holds no certificate")) } else { Ok(found) }
}

/// TLS of a store towards its cloud.
///
/// # Errors
/// [`TlsFilesError`]: also when the certificate is not this store's.
pub fn config(dir: &Path, store: &str) -> Result<TlsConfig, TlsFilesError> {
    let files = IdentityDir::new(dir);
    let (ca, chain, key) = (files.ca(), files.certificate(store), files.key(store));
    let mut tls = TlsConfig::builder();
    if !ca.exists() && !chain.exists() {
        return Err(TlsFilesError::Empty(dir.display().to_string(), store.to_owned()));
    }
    if ca.exists() {
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates(&ca)?));
    }
    if chain.exists() {
        let shown = certificates(&chain)?;
        let name = DeviceName::of_certificate(shown[0].der()).map_err(|e| wrong(&chain, e))?;
        if name.store != store || name.role != UPLINK {
            let why = format!("is of {name}; this store is {store}, and the role must be {UPLINK}");
            return Err(wrong(&chain, why));
        }
        let text = std::fs::read(&key)
            .map_err(|e| wrong(&key, format!("{e}; `store-sync provision request` makes it")))?;
        let key = PrivateKey::from_pem(&text).map_err(|e| wrong(&key, e))?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&shown, key)));
    }
    Ok(tls.build())
}

/// What TLS refused, and what to do; `None` when it was something else that failed.
#[must_use]
pub fn refusal(error: &ureq::Error) -> Option<String> {
    let tls = match error {
        ureq::Error::Rustls(tls) => tls,
        ureq::Error::Io(io) => io.get_ref()?.downcast_ref::<TlsError>()?,
        _ => return None,
    };
    Some(match tls {
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => {
                "the cloud refuses this store's certificate, which has expired: renew it".into()
            }
            AlertDescription::CertificateRevoked => {
                "the cloud refuses this store's certificate, which was revoked: have another signed".into()
            }
            AlertDescription::CertificateRequired => {
                "the cloud wants this store's certificate: name its folder as tls_dir under [cloud]".into()
            }
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                "the cloud refuses this store's certificate, which another authority has signed".into()
            }
            other => format!("the cloud ended the handshake: {other:?}"),
        },
        TlsError::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the cloud's own certificate has expired: renew it there".into()
            }
            // Another authority of the same name is found out by its signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the cloud's certificate is not of an authority that is trusted here: is ca.pem in tls_dir the \
                 chain's?"
                    .into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the cloud's certificate is for another host than the address names".into()
            }
            other => format!("the cloud's certificate: {other}"),
        },
        other => other.to_string(),
    })
}
