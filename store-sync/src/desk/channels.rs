//! Channels that place orders, and the codes that orders are handed over for.
//!
//! A channel signs each request as [Standard Webhooks](https://www.standardwebhooks.com) says: HMAC-SHA256 over
//! `id.timestamp.body` with a secret that `store-sync channel add` draws and prints once. A request older or younger than
//! [`MAX_SKEW_S`] is refused, so that a recorded one is soon worth nothing; the same order told twice is one order.
//!
//! A hand-over code is six digits of an HMAC over the order's id, with a key that this store drew for itself: it is kept
//! nowhere, and the same after every restart. Wrong codes of one order make it wait longer and longer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rusqlite::OptionalExtension as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Desk, DeskError, random, refused};

/// How far a channel's clock may be off, seconds.
pub const MAX_SKEW_S: i64 = 300;

/// What a channel sent with its request.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Header `webhook-id`.
    pub id: &'a str,
    /// Header `webhook-timestamp`: seconds since the Unix epoch.
    pub timestamp: &'a str,
    /// Header `webhook-signature`: one or several `v1,` and base64, parted by spaces.
    pub signature: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<[u8; 32], DeskError> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).map_err(|_| DeskError::System("a key is broken".into()))?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().into())
}

/// The signature that a channel puts on a request.
///
/// # Errors
/// [`DeskError::Refused`] when the secret is none.
pub fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Result<String, DeskError> {
    let key = secret.strip_prefix("whsec_").and_then(|text| BASE64.decode(text).ok());
    let Some(key) = key else {
        return refused("a channel's secret begins with whsec_ and goes on in base64");
    };
    let sum = mac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])?;
    Ok(format!("v1,{}", BASE64.encode(sum)))
}

fn secret_name(channel: &str) -> String {
    format!("channel:{channel}")
}

impl Desk {
    /// Lets a channel place orders. Returns its secret, which is shown this once.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for a name that is none, or is taken.
    pub fn add_channel(&self, channel: &str) -> Result<String, DeskError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if channel.is_empty() || channel.len() > 16 || !channel.chars().all(fits) {
            return refused("a channel's name has 1 to 16 of a-z, 0-9 and -");
        }
        let key: [u8; 24] = random()?;
        let added = self.conn().execute(
            "INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (secret_name(channel), key),
        )?;
        if added == 0 {
            return refused(format!("channel {channel:?} is there already: remove it first"));
        }
        Ok(format!("whsec_{}", BASE64.encode(key)))
    }

    /// Stops a channel. Its orders stay.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when there is none.
    pub fn remove_channel(&self, channel: &str) -> Result<(), DeskError> {
        let gone = self.conn().execute("DELETE FROM secrets WHERE name = ?", [secret_name(channel)])?;
        if gone == 0 { refused(format!("there is no channel {channel:?}")) } else { Ok(()) }
    }

    /// The channels, by name.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn channels(&self) -> Result<Vec<String>, DeskError> {
        let conn = self.conn();
        let mut names =
            conn.prepare("SELECT substr(name, 9) FROM secrets WHERE name LIKE 'channel:%' ORDER BY name")?;
        let rows = names.query_map([], |r| r.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Is a request the channel's own?
    ///
    /// # Errors
    /// [`DeskError::Refused`] with the reason, which says nothing about the secret.
    pub fn check_channel(&self, channel: &str, signed: Signed<'_>, now_us: i64) -> Result<(), DeskError> {
        const WRONG: &str = "the signature is not this channel's";
        let Ok(at_s) = signed.timestamp.parse::<i64>() else {
            return refused("webhook-timestamp: seconds since the Unix epoch are expected");
        };
        if (now_us / 1_000_000 - at_s).abs() > MAX_SKEW_S {
            return refused(format!(
                "webhook-timestamp is more than {MAX_SKEW_S} s off: is the channel's clock right?"
            ));
        }
        let key: Option<Vec<u8>> = self
            .conn()
            .query_row("SELECT value FROM secrets WHERE name = ?", [secret_name(channel)], |r| r.get(0))
            .optional()?;
        // The same work and the same words for a channel that does not exist.
        let known = key.is_some();
        let key = key.unwrap_or_else(|| vec![0; 24]);
        let parts = [signed.id.as_bytes(), b".", signed.timestamp.as_bytes(), b".", signed.body];
        let sum = mac(&key, &parts)?;
        let right = signed.signature.split(' ').take(8).any(|part| {
            let told = part.strip_prefix("v1,").and_then(|text| BASE64.decode(text).ok());
            told.is_some_and(|told| bool::from(told.as_slice().ct_eq(&sum)))
        });
        if right && known { Ok(()) } else { refused(WRONG) }
    }

    fn handover_key(&self) -> Result<Vec<u8>, DeskError> {
        let conn = self.conn();
        let find = "SELECT value FROM secrets WHERE name = 'handover'";
        let found: Option<Vec<u8>> = conn.query_row(find, [], |r| r.get(0)).optional()?;
        if let Some(key) = found {
            return Ok(key);
        }
        let key: [u8; 32] = random()?;
        conn.execute("INSERT INTO secrets (name, value) VALUES ('handover', ?)", [key])?;
        Ok(key.to_vec())
    }

    /// The code that an order is handed over for: the customer has it from their channel.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn handover_code(&self, order: &str) -> Result<String, DeskError> {
        let sum = mac(&self.handover_key()?, &[order.as_bytes()])?;
        let number = sum.iter().take(8).fold(0_u64, |n, b| n << 8 | u64::from(*b));
        Ok(format!("{:06}", number % 1_000_000))
    }

    /// Is this the order's code?
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn is_handover_code(&self, order: &str, code: &str) -> Result<bool, DeskError> {
        Ok(bool::from(self.handover_code(order)?.as_bytes().ct_eq(code.trim().as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> (tempfile::TempDir, Desk) {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path()).unwrap();
        (dir, desk)
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // The example of the specification's reference libraries.
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            b"{\"test\": 2432232314}",
        );
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn only_the_channel_itself_is_heard_and_only_now() {
        let (_dir, desk) = desk();
        let secret = desk.add_channel("market").unwrap();
        assert!(desk.add_channel("market").is_err() && desk.add_channel("No Name").is_err());
        assert_eq!(desk.channels().unwrap(), ["market"]);
        let now_us = 1_700_000_000_000_000;
        let signature = sign(&secret, "m1", "1700000000", b"{}").unwrap();
        let signed = Signed { id: "m1", timestamp: "1700000000", signature: &signature, body: b"{}" };
        desk.check_channel("market", signed, now_us).unwrap();
        // A second signature, as while a secret is changed.
        let two = format!("v1,AAAA {signature}");
        desk.check_channel("market", Signed { signature: &two, ..signed }, now_us).unwrap();
        for (channel, wrong, at_us) in [
            ("market", Signed { body: b"{ }", ..signed }, now_us),
            ("market", Signed { id: "m2", ..signed }, now_us),
            ("market", Signed { signature: "v1,", ..signed }, now_us),
            ("market", Signed { timestamp: "now", ..signed }, now_us),
            ("market", signed, now_us + 301_000_000),
            ("other", signed, now_us),
        ] {
            assert!(desk.check_channel(channel, wrong, at_us).is_err(), "{wrong:?}");
        }
        desk.remove_channel("market").unwrap();
        assert!(desk.check_channel("market", signed, now_us).is_err());
    }

    #[test]
    fn a_code_belongs_to_one_order_and_one_store() {
        let (_dir, desk) = desk();
        let (_other_dir, other) = self::desk();
        let code = desk.handover_code("app.1").unwrap();
        assert_eq!(code.len(), 6);
        assert_eq!(code, desk.handover_code("app.1").unwrap());
        assert!(desk.is_handover_code("app.1", &format!(" {code} ")).unwrap());
        let others = (2..40).filter(|n| desk.is_handover_code(&format!("app.{n}"), &code).unwrap());
        assert_eq!(others.count(), 0);
        assert_ne!(code, other.handover_code("app.1").unwrap());
    }
}
