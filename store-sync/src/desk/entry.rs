//! Entry codes: what a shopper's phone shows at the gate.
//!
//! `LF1.<credential>.<until, seconds, hex>.<HMAC-SHA256, 16 bytes, hex>`, signed with a key that this store drew for
//! itself. A code lives [`LIVES_S`] seconds; the phone asks for the next before that, so that a photograph of a code is
//! soon worth nothing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use rusqlite::OptionalExtension as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Desk, DeskError, hex, random, refused};

/// How long an entry code is good.
pub const LIVES_S: i64 = 60;

fn sign(key: &[u8], text: &str) -> Result<String, DeskError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|_| DeskError::System("the entry codes' key is broken".into()))?;
    mac.update(text.as_bytes());
    Ok(hex(&mac.finalize().into_bytes()[..16]))
}

impl Desk {
    fn entry_key(&self) -> Result<Vec<u8>, DeskError> {
        let conn = self.conn();
        let found: Option<Vec<u8>> =
            conn.query_row("SELECT value FROM secrets WHERE name = 'entry'", [], |r| r.get(0)).optional()?;
        if let Some(key) = found {
            return Ok(key);
        }
        let key: [u8; 32] = random()?;
        conn.execute("INSERT INTO secrets (name, value) VALUES ('entry', ?)", [key])?;
        Ok(key.to_vec())
    }

    /// A code for a credential, and until when it is good.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn entry_code(&self, credential: &str, now_us: i64) -> Result<(String, i64), DeskError> {
        let until_s = now_us / 1_000_000 + LIVES_S;
        let text = format!("LF1.{credential}.{until_s:x}");
        let sum = sign(&self.entry_key()?, &text)?;
        Ok((format!("{text}.{sum}"), until_s * 1_000_000))
    }

    /// Whose code it is.
    ///
    /// # Errors
    /// [`DeskError::Refused`] with the reason: no code of this store, or too old.
    pub fn check_entry_code(&self, code: &str, now_us: i64) -> Result<String, DeskError> {
        const WRONG: &str = "this is no entry code of this store";
        let Some((text, sum)) = code.rsplit_once('.') else { return refused(WRONG) };
        if !bool::from(sign(&self.entry_key()?, text)?.as_bytes().ct_eq(sum.as_bytes())) {
            return refused(WRONG);
        }
        let parts = text.strip_prefix("LF1.").and_then(|rest| rest.rsplit_once('.'));
        let Some((credential, until)) = parts else { return refused(WRONG) };
        let Ok(until_s) = i64::from_str_radix(until, 16) else { return refused(WRONG) };
        if now_us / 1_000_000 > until_s {
            return refused("this entry code is too old: the phone shows a new one");
        }
        Ok(credential.to_owned())
    }
}
