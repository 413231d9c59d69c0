//! The store's certificate authority: one key in one folder, and a record of what it signed.
//!
//! `ca.pem` (public), `ca.key` (secret, mode 600), `issued.jsonl` (one line a certificate: serial, name, until when,
//! revoked when), `crl.pem` (made anew at each revocation and signing). A revoked or expired certificate ends no
//! connection that stands; it is refused at the next.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SerialNumber,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BROKER, CLOUD, DeviceName, IdentityError, OFF_THE_BUS};

/// How long the authority's own certificate holds, days.
const AUTHORITY_DAYS: u64 = 3_650;
/// How long a list of revoked certificates holds, days: it is made anew long before.
const LIST_DAYS: u64 = 365;
/// Clocks of devices may be behind by this, seconds.
const BEHIND_S: u64 = 3_600;
const DAY_S: u64 = 86_400;

/// A certificate that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// The store.
    pub store: String,
    /// The device.
    pub source: String,
    /// Its role.
    pub role: String,
    /// Until when it holds, seconds since the Unix epoch.
    pub until_s: u64,
    /// When it was revoked, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_s: Option<u64>,
}

/// A certificate authority in a folder.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    issued: Vec<Issued>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn file_error(path: &Path, why: impl std::fmt::Display) -> IdentityError {
    IdentityError::File { path: path.display().to_string(), why: why.to_string() }
}

fn certificate(operation: &'static str) -> impl Fn(rcgen::Error) -> IdentityError {
    move |source| IdentityError::Certificate { operation, source }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Authority {
    /// Makes a new authority in a folder that has none.
    ///
    /// # Errors
    /// When there is one, or the folder cannot be written.
    pub fn create(dir: &Path, store: &str) -> Result<Self, IdentityError> {
        fs::create_dir_all(dir).map_err(|e| file_error(dir, e))?;
        let key_path = dir.join("ca.key");
        let key = KeyPair::generate().map_err(certificate("make the authority's key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, store);
        params.distinguished_name.push(DnType::CommonName, format!("{store} devices"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = at(now_s().saturating_sub(BEHIND_S)).into();
        params.not_after = at(now_s() + AUTHORITY_DAYS * DAY_S).into();
        let ca_pem = params.self_signed(&key).map_err(certificate("sign the authority"))?.pem();
        write_secret(&key_path, &key.serialize_pem())?;
        write_whole(&dir.join("ca.pem"), &ca_pem)?;
        let authority =
            Self { dir: dir.to_owned(), issuer: Issuer::new(params, key), ca_pem, issued: Vec::new() };
        authority.write_list()?;
        Ok(authority)
    }

    /// Opens an authority.
    ///
    /// # Errors
    /// When a file is missing or wrong.
    pub fn open(dir: &Path) -> Result<Self, IdentityError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|e| {
                file_error(&path, format!("{e}; `store-sync provision init` makes an authority"))
            })
        };
        let ca_pem = read("ca.pem")?;
        let key = KeyPair::from_pem(&read("ca.key")?).map_err(certificate("read the authority's key"))?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key)
            .map_err(certificate("read the authority's certificate"))?;
        let path = dir.join("issued.jsonl");
        let text = if path.exists() { read("issued.jsonl")? } else { String::new() };
        let line = |(i, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|e| file_error(&path, format!("line {}: {e}", i + 1)))
        };
        let issued = text.lines().enumerate().map(line).collect::<Result<_, _>>()?;
        Ok(Self { dir: dir.to_owned(), issuer, ca_pem, issued })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Everything it ever signed.
    #[must_use]
    pub fn issued(&self) -> &[Issued] {
        &self.issued
    }

    /// The devices whose newest certificate holds.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceName> {
        let holds = |i: &&Issued| {
            i.revoked_s.is_none() && i.until_s > now_s() && !OFF_THE_BUS.contains(&i.role.as_str())
        };
        let name = |i: &Issued| DeviceName {
            store: i.store.clone(),
            source: i.source.clone(),
            role: i.role.clone(),
        };
        let mut devices: Vec<DeviceName> = self.issued.iter().filter(holds).map(name).collect();
        devices.sort();
        devices.dedup();
        devices
    }

    /// Signs a request for so many days. The request decides the name; whoever signs has looked at it.
    ///
    /// # Errors
    /// When the request is none, or is signed by another key than it names.
    pub fn sign(&mut self, request_pem: &str, days: u32) -> Result<(DeviceName, String), IdentityError> {
        self.sign_until(request_pem, now_s() + u64::from(days) * DAY_S)
    }

    /// Signs a request until a moment, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_until(
        &mut self,
        request_pem: &str,
        until_s: u64,
    ) -> Result<(DeviceName, String), IdentityError> {
        let mut request = CertificateSigningRequestParams::from_pem(request_pem)
            .map_err(certificate("read the request"))?;
        let name = requested_name(&request.params)?;
        let serial = Uuid::new_v4().into_bytes();
        // Positive, as RFC 5280 wants it.
        let serial = [&[serial[0] & 0x7f | 0x40], &serial[1..]].concat();
        let params = &mut request.params;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let serves = matches!(name.role.as_str(), BROKER | CLOUD);
        params.extended_key_usages = vec![if serves {
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        }];
        if !serves {
            params.subject_alt_names.clear();
        }
        params.use_authority_key_identifier_extension = true;
        params.not_before = at(now_s().saturating_sub(BEHIND_S)).into();
        params.not_after = at(until_s).into();
        let pem = request.signed_by(&self.issuer).map_err(certificate("sign the request"))?.pem();
        self.issued.push(Issued {
            serial: serial.iter().map(|b| format!("{b:02x}")).collect(),
            store: name.store.clone(),
            source: name.source.clone(),
            role: name.role.clone(),
            until_s,
            revoked_s: None,
        });
        self.write_list()?;
        Ok((name, pem))
    }

    /// Revokes every certificate of a source; gives how many.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn revoke(&mut self, source: &str) -> Result<usize, IdentityError> {
        let now = now_s();
        let mut revoked = 0;
        for issued in self.issued.iter_mut().filter(|i| i.source == source && i.revoked_s.is_none()) {
            issued.revoked_s = Some(now);
            revoked += 1;
        }
        self.write_list()?;
        Ok(revoked)
    }

    /// Writes the record and the list of revoked certificates.
    fn write_list(&self) -> Result<(), IdentityError> {
        let mut text = String::new();
        for issued in &self.issued {
            let line = serde_json::to_string(issued).map_err(|e| IdentityError::Tls(e.to_string()))?;
            text += &line;
            text.push('\n');
        }
        write_whole(&self.dir.join("issued.jsonl"), &text)?;
        let revoked = self.issued.iter().filter_map(|i| {
            Some(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&bytes_of(&i.serial)?),
                revocation_time: at(i.revoked_s?).into(),
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            })
        });
        let list = CertificateRevocationListParams {
            this_update: at(now_s().saturating_sub(BEHIND_S)).into(),
            next_update: at(now_s() + LIST_DAYS * DAY_S).into(),
            crl_number: SerialNumber::from(now_s()),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let failed = certificate("sign the list of revoked certificates");
        let pem = list.signed_by(&self.issuer).and_then(|l| l.pem()).map_err(failed)?;
        write_whole(&self.dir.join("crl.pem"), &pem)
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

pub(super) fn name_of_request(pem: &str) -> Result<DeviceName, IdentityError> {
    let request = CertificateSigningRequestParams::from_pem(pem).map_err(certificate("read the request"))?;
    requested_name(&request.params)
}

fn requested_name(params: &CertificateParams) -> Result<DeviceName, IdentityError> {
    let part = |kind: DnType, what: &'static str| {
        let text = match params.distinguished_name.get(&kind) {
            Some(DnValue::Utf8String(text)) => Some(text.clone()),
            Some(DnValue::PrintableString(text)) => Some(text.as_str().to_owned()),
            _ => None,
        };
        text.ok_or(IdentityError::Subject(what))
    };
    DeviceName::new(
        &part(DnType::OrganizationName, "O (store)")?,
        &part(DnType::CommonName, "CN (source)")?,
        &part(DnType::OrganizationalUnitName, "OU (role)")?,
    )
}

pub(super) fn write_secret(path: &Path, text: &str) -> Result<(), IdentityError> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => file_error(path, "is there already; a key is not overwritten"),
        _ => file_error(path, e),
    };
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}

pub(super) fn write_whole(path: &Path, text: &str) -> Result<(), IdentityError> {
    let beside = path.with_extension("part");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|e| file_error(path, e))
}
