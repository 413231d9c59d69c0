//! Entry codes: what a shopper's phone shows at the gate.
//!
//! The text is what gates read (docs/adr/0018-gate-codes.md): `LF1.` + payload + `.` + Ed25519 signature, both in base64url,
//! the payload `store|credential|party|issued|expires|nonce`. The store signs with a key of its own,
//! `entry-key.pem` in the data folder; `entry-keys.pub.txt` beside it is a gate's `key_file`. A code lives [`LIVES_S`]
//! seconds and is good once; the phone asks for the next before that, so that a photograph of a code is soon worth nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::params;

use super::{Desk, DeskError, hex, random, refused};
use crate::signed::SigningKey;

/// How long an entry code is good.
pub const LIVES_S: i64 = 60;
/// Most people on one code, as gates have it.
pub const MAX_PARTY: u32 = 20;
/// The private key, in the data folder.
const KEY_FILE: &str = "entry-key.pem";
/// Its public half as gates read it.
const GATE_FILE: &str = "entry-keys.pub.txt";

/// Whom a code lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entering {
    /// With which credential.
    pub credential: String,
    /// How many.
    pub party: u32,
}

impl Desk {
    fn entry_key(&self) -> Result<SigningKey, DeskError> {
        let path = self.folder().join(KEY_FILE);
        SigningKey::read_or_generate(&path).map_err(|e| DeskError::System(e.to_string()))
    }

    /// Makes the key at the first start, and writes its public half for gates.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn tell_gates(&self) -> Result<(), DeskError> {
        let path = self.folder().join(GATE_FILE);
        let text = format!(
            "# What the phones of this store's shoppers show.\n{}\n",
            self.entry_key()?.public().text()
        );
        std::fs::write(&path, text)
            .map_err(|e| DeskError::System(format!("cannot write {}: {e}", path.display())))
    }

    /// A code for a credential and a party at a store, and until when it is good.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn entry_code(
        &self,
        store: &str,
        entering: &Entering,
        now_us: i64,
    ) -> Result<(String, i64), DeskError> {
        let Entering { credential, party } = entering;
        if !(1..=MAX_PARTY).contains(party) {
            return refused(format!("a party has 1 to {MAX_PARTY} people"));
        }
        let issued_s = now_us.div_euclid(1_000_000);
        let until_s = issued_s + LIVES_S;
        let nonce = hex(&random::<12>()?);
        let payload = format!("{store}|{credential}|{party}|{issued_s}|{until_s}|{nonce}");
        let signed = format!("LF1.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.entry_key()?.sign(signed.as_bytes()));
        Ok((format!("{signed}.{signature}"), until_s * 1_000_000))
    }

    /// Whom a code lets in, once: for gates that ask the server instead of checking codes themselves.
    ///
    /// # Errors
    /// [`DeskError::Refused`] with the reason: no code of this store, too old, or used.
    pub fn check_entry_code(&self, store: &str, code: &str, now_us: i64) -> Result<Entering, DeskError> {
        const WRONG: &str = "this is no entry code of this store";
        let Some((signed, signature)) = code.rsplit_once('.') else { return refused(WRONG) };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return refused(WRONG) };
        if !self.entry_key()?.public().fits(signed.as_bytes(), &signature) {
            return refused(WRONG);
        }
        let payload = signed.strip_prefix("LF1.").and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let payload = payload.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let parts: Vec<&str> = payload.split('|').collect();
        let [of, credential, party, _, until, nonce] = parts[..] else { return refused(WRONG) };
        let (Ok(party), Ok(until_s)) = (party.parse(), until.parse::<i64>()) else { return refused(WRONG) };
        if of != store {
            return refused(WRONG);
        }
        let now_s = now_us.div_euclid(1_000_000);
        if now_s > until_s {
            return refused("this entry code is too old: the phone shows a new one");
        }
        let conn = self.conn();
        conn.execute("DELETE FROM entries WHERE until_s < ?", [now_s])?;
        let first = conn.execute(
            "INSERT INTO entries (nonce, until_s) VALUES (?, ?) ON CONFLICT DO NOTHING",
            params![nonce, until_s],
        )?;
        if first == 0 {
            return refused("this entry code was used already: the phone shows a new one");
        }
        Ok(Entering { credential: credential.to_owned(), party })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_790_000_000_000_000;

    #[test]
    fn a_code_lets_its_party_in_once_and_not_a_minute_later() {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path()).unwrap();
        let family = Entering { credential: "app-1".into(), party: 4 };
        let (code, until_us) = desk.entry_code("corner", &family, NOW_US).unwrap();
        assert_eq!(until_us, NOW_US + LIVES_S * 1_000_000);
        let check = |code: &str, store: &str, at: i64| desk.check_entry_code(store, code, at);
        assert!(check(&code, "other", NOW_US).is_err());
        assert!(check(&code, "corner", until_us + 1_000_000).unwrap_err().to_string().contains("too old"));
        assert_eq!(check(&code, "corner", NOW_US).unwrap(), family);
        assert!(check(&code, "corner", NOW_US).unwrap_err().to_string().contains("used already"));
        assert!(check("LF1.x.y", "corner", NOW_US).is_err());
        assert!(desk.entry_code("corner", &Entering { party: 21, ..family }, NOW_US).is_err());
    }
}
