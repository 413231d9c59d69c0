//! Keys and certificates in a folder, and TLS made of them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};

use super::authority::{write_secret, write_whole};
use super::{DeviceName, IdentityError, new_key, request};

/// A folder with a device's, or several devices', keys and certificates.
#[derive(Debug, Clone)]
pub struct IdentityDir(PathBuf);

impl IdentityDir {
    /// A folder.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// The list of revoked certificates, where there is one.
    #[must_use]
    pub fn crl(&self) -> PathBuf {
        self.0.join("crl.pem")
    }

    /// A source's certificate.
    #[must_use]
    pub fn certificate(&self, source: &str) -> PathBuf {
        self.0.join(format!("{source}.pem"))
    }

    /// A source's key.
    #[must_use]
    pub fn key(&self, source: &str) -> PathBuf {
        self.0.join(format!("{source}.key"))
    }

    /// Makes a key where there is none, and a request for a certificate; gives the request's path. Called again, it
    /// renews: the key stays unless its file was removed.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn prepare(&self, device: &DeviceName, hosts: &[String]) -> Result<PathBuf, IdentityError> {
        let failed = |path: &Path, e: std::io::Error| IdentityError::File {
            path: path.display().to_string(),
            why: e.to_string(),
        };
        std::fs::create_dir_all(&self.0).map_err(|e| failed(&self.0, e))?;
        let key_path = self.key(&device.source);
        let key = if key_path.exists() {
            std::fs::read_to_string(&key_path).map_err(|e| failed(&key_path, e))?
        } else {
            let key = new_key()?;
            write_secret(&key_path, &key)?;
            key
        };
        let path = self.0.join(format!("{}.csr", device.source));
        write_whole(&path, &request(device, &key, hosts)?)?;
        Ok(path)
    }
}

fn tls(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Tls(error.to_string())
}

fn unreadable(path: &Path, remedy: &str, error: impl std::fmt::Display) -> IdentityError {
    IdentityError::File { path: path.display().to_string(), why: format!("{error}; {remedy}") }
}

fn certificates(path: &Path, remedy: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|e| unreadable(path, remedy, e))?;
    if read.is_empty() { Err(unreadable(path, remedy, "holds no certificate")) } else { Ok(read) }
}

const SIGN: &str = "`store-sync provision sign` makes it from the request of `edge-agent provision`";

fn own(
    dir: &IdentityDir,
    source: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
    let path = dir.key(source);
    let key = PrivateKeyDer::from_pem_file(&path)
        .map_err(|e| unreadable(&path, "`edge-agent provision` makes it", e))?;
    Ok((certificates(&dir.certificate(source), SIGN)?, key))
}

fn roots(dir: &IdentityDir) -> Result<Arc<RootCertStore>, IdentityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&dir.ca(), "copy ca.pem of the store's authority here")? {
        roots.add(certificate).map_err(tls)?;
    }
    Ok(Arc::new(roots))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Who a device is to a broker over TLS.
pub type TlsIdentity = Arc<ClientConfig>;

/// TLS of a device: it trusts the folder's authority only, and shows the source's certificate, as it stands in the folder
/// at each connection: a renewed one needs no restart.
///
/// # Errors
/// [`IdentityError`], naming the file and what makes it.
pub fn client_config(dir: &IdentityDir, source: &str) -> Result<Arc<ClientConfig>, IdentityError> {
    let newest = Newest::read(dir, source)?;
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(tls)?;
    let mut config = builder.with_root_certificates(roots(dir)?).with_client_cert_resolver(Arc::new(newest));
    // A session that is taken up again would go on with the certificate that it began with.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// When files were last written, and how long they are.
pub(crate) type Stamps = Vec<Option<(SystemTime, u64)>>;

/// Stamps of files: different ones where one was replaced.
pub(crate) fn stamps(paths: &[PathBuf]) -> Stamps {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    paths.iter().map(stamp).collect()
}

/// A source's certificate and key as they stand in the folder now.
#[derive(Debug)]
struct Newest {
    dir: IdentityDir,
    source: String,
    read: Mutex<(Stamps, Arc<CertifiedKey>)>,
}

impl Newest {
    fn read(dir: &IdentityDir, source: &str) -> Result<Self, IdentityError> {
        let (dir, source) = (dir.clone(), source.to_owned());
        let read = (Self::stamps(&dir, &source), Self::load(&dir, &source)?);
        Ok(Self { dir, source, read: Mutex::new(read) })
    }

    fn stamps(dir: &IdentityDir, source: &str) -> Stamps {
        stamps(&[dir.certificate(source), dir.key(source)])
    }

    fn load(dir: &IdentityDir, source: &str) -> Result<Arc<CertifiedKey>, IdentityError> {
        let (chain, key) = own(dir, source)?;
        Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider()).map_err(tls)?))
    }
}

impl ResolvesClientCert for Newest {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let now = Self::stamps(&self.dir, &self.source);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0 != now {
            match Self::load(&self.dir, &self.source) {
                Ok(key) => {
                    tracing::info!(source = self.source, "a renewed certificate is shown from now on");
                    *read = (now, key);
                }
                // Perhaps it is just being copied: the old one is shown, and the next connection looks again.
                Err(error) => tracing::warn!(source = self.source, %error, "a renewed certificate is no use"),
            }
        }
        Some(Arc::clone(&read.1))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Whether those who connect must show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// A certificate of the folder's authority that is not revoked.
    Certified,
    /// Nothing: they prove otherwise who they are. The folder needs no `ca.pem` then.
    Anyone,
}

/// TLS of a broker: whoever connects must show a certificate of the folder's authority that is not revoked.
///
/// # Errors
/// [`IdentityError`], naming the file and what makes it.
pub fn server_config(dir: &IdentityDir, source: &str) -> Result<Arc<ServerConfig>, IdentityError> {
    server_config_for(dir, source, Clients::Certified)
}

/// TLS of a server under the certificate of a source.
///
/// # Errors
/// [`IdentityError`], naming the file and what makes it.
pub fn server_config_for(
    dir: &IdentityDir,
    source: &str,
    clients: Clients,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let (chain, key) = own(dir, source)?;
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(tls)?;
    let builder = match clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::Certified => builder.with_client_cert_verifier(client_verifier(dir)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(tls)?;
    // A session that is taken up again would not ask whether its certificate still holds.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Who is let in: whoever shows a certificate of the folder's authority that is not in its list of revoked ones, as both
/// are now. A server asks it again about connections that it keeps, since TLS asks only once.
///
/// # Errors
/// [`IdentityError`], naming the file and what makes it.
pub fn client_verifier(dir: &IdentityDir) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
    let mut verifier = WebPkiClientVerifier::builder_with_provider(roots(dir)?, provider());
    let crl = dir.crl();
    if crl.exists() {
        let lists = CertificateRevocationListDer::pem_file_iter(&crl)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| unreadable(&crl, "copy crl.pem of the store's authority here", e))?;
        if lists.is_empty() {
            // A torn file must let nobody in who was revoked.
            return Err(unreadable(&crl, "copy crl.pem of the store's authority here", "holds no list"));
        }
        verifier = verifier.with_crls(lists);
    }
    verifier.build().map_err(tls)
}
