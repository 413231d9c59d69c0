//! Ed25519 keys in the files that OpenSSL reads and writes: PKCS #8 (RFC 8410) and SubjectPublicKeyInfo, as PEM.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use linefree_bus::release::PUBLIC_DER;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde_json::{Value, json};

/// What stands before the 32 bytes of a private key: PKCS #8 version 1 with id-Ed25519.
const PRIVATE_DER: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why a key cannot be used. Never holds anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file.
    #[error("the key file {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What failed.
        source: std::io::Error,
    },
    /// Others can read a private key.
    #[error("the key file {0} can be read by others: chmod 600 {0}")]
    Open(String),
    /// It holds something else.
    #[error("{path} holds no {what} (PEM)")]
    Content {
        /// Which file.
        path: String,
        /// What was looked for.
        what: &'static str,
    },
    /// No randomness to be had.
    #[error("the system gives no random bytes")]
    Random,
}

/// The store's private key. Prints as its id only.
pub struct SigningKey(Ed25519KeyPair);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

impl SigningKey {
    /// Makes a new key and writes it to a file that does not exist yet and that only its owner can read.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn generate(path: &Path) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
        let key = Self::of_seed(&seed).ok_or(KeyError::Random)?;
        let text = pem("PRIVATE KEY", &[&PRIVATE_DER[..], &seed].concat());
        let wrong = |source| KeyError::File { path: path.display().to_string(), source };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
        Ok(key)
    }

    fn of_seed(seed: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let wrong = |source| KeyError::File { path: path.display().to_string(), source };
        let about = std::fs::metadata(path).map_err(wrong)?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::Open(path.display().to_string()));
        }
        let text = std::fs::read_to_string(path).map_err(wrong)?;
        let der = unpem("PRIVATE KEY", &text);
        let seed =
            der.as_deref().and_then(|der| der.strip_prefix(&PRIVATE_DER)).filter(|seed| seed.len() == 32);
        seed.and_then(Self::of_seed).ok_or_else(|| KeyError::Content {
            path: path.display().to_string(),
            what: "Ed25519 private key",
        })
    }

    /// Reads a key, or makes it when there is no such file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read_or_generate(path: &Path) -> Result<Self, KeyError> {
        if path.exists() { Self::read(path) } else { Self::generate(path) }
    }

    /// What others verify with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// What a receipt is verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let wrong = |source| KeyError::File { path: path.display().to_string(), source };
        let text = std::fs::read_to_string(path).map_err(wrong)?;
        let der = unpem("PUBLIC KEY", &text);
        let bytes = der.as_deref().and_then(|der| der.strip_prefix(&PUBLIC_DER));
        bytes
            .and_then(|b| b.try_into().ok())
            .map(Self)
            .ok_or_else(|| KeyError::Content { path: path.display().to_string(), what: "Ed25519 public key" })
    }

    /// As PEM, for a file.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &[&PUBLIC_DER[..], &self.0].concat())
    }

    /// Its JWK thumbprint (RFC 7638 with SHA-256).
    #[must_use]
    pub fn id(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0);
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }

    /// As a JSON Web Key (RFC 8037).
    #[must_use]
    pub fn jwk(&self) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
            "kid": self.id(), "x": URL_SAFE_NO_PAD.encode(self.0),
        })
    }

    /// Its 32 bytes in base64url, as gates read keys.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(crate) fn fits(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    // 48 bytes and fewer make one line.
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn unpem(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // Appendix A.2 and A.3.
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = PublicKey(x.try_into().unwrap());
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
