//! Credentials that shoppers show as QR codes: short-lived, signed, used once. Pure.
//!
//! The text of a code is `LF1.` + payload + `.` + signature, both in base64url without padding. The payload is
//! `store|credential|party|issued|expires|nonce`: ASCII, times in seconds since the Unix epoch. The signature is
//! Ed25519 (RFC 8032) over `LF1.` + payload as it is sent. The shopper's app asks its chain for a fresh one every
//! half minute; the gate needs only the chain's public key, so it works while the network is away.
//!
//! # Limits
//! A code is valid for at most [`MAX_LIFE_S`] however long it says; clocks may differ by [`SKEW_S`]. A code has at most
//! [`MAX_TEXT_BYTES`], a party at most [`MAX_PARTY`] people.
//!
//! # Failure rules
//! Nothing of a code is believed before its signature is. Each reason to deny is one of [`Deny`], with a sentence for
//! the shopper and a name for machines; none of them repeats the code.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linefree_domain::ids::Credential;
use linefree_domain::time::StoreTime;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// The longest life of a code, seconds.
pub const MAX_LIFE_S: i64 = 120;
/// How much the issuer's clock and the gate's may differ, seconds.
pub const SKEW_S: i64 = 30;
/// The longest text of a code.
pub const MAX_TEXT_BYTES: usize = 512;
/// Most people on one credential.
pub const MAX_PARTY: u32 = 20;

const PREFIX: &str = "LF1.";

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Deny {
    /// It is not one of our codes.
    #[error("this is not a code of this store's app")]
    NotOurs,
    /// Its signature does not fit: it was made or changed by somebody else.
    #[error("this code is not genuine")]
    NotGenuine,
    /// It is for another store.
    #[error("this code is for another store")]
    OtherStore,
    /// It has expired.
    #[error("this code has expired; open the app for a new one")]
    Expired,
    /// It is of the future: a clock is wrong.
    #[error("this code is not valid yet; check the phone's clock")]
    NotYet,
    /// It was used before.
    #[error("this code was used already; open the app for a new one")]
    Used,
    /// The gate is for leaving.
    #[error("this gate is an exit; please enter at an entrance")]
    ExitOnly,
}

impl Deny {
    /// The machine-readable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::NotGenuine => "not_genuine",
            Self::OtherStore => "other_store",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Used => "used",
            Self::ExitOnly => "exit_only",
        }
    }
}

/// What a genuine code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The store it is for.
    pub store: String,
    /// Whose.
    pub credential: Credential,
    /// How many people come in on it.
    pub party: u32,
    /// When it was made, seconds since the Unix epoch.
    pub issued_s: i64,
    /// Until when it is valid, seconds since the Unix epoch.
    pub expires_s: i64,
    /// Different in every code.
    pub nonce: String,
}

/// What signs codes: the chain, and tests.
pub struct Issuer(Ed25519KeyPair);

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issuer(***)")
    }
}

/// A key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(&'static str);

impl Issuer {
    /// From a private key as [`Self::generate`] made it: 32 bytes in base64url.
    ///
    /// # Errors
    /// [`KeyError`] when it is no such text.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let wrong = KeyError(
            "no private key: wanted are 32 bytes in base64url, as `edge-agent credential key` writes",
        );
        let seed = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| wrong.clone())?;
        Ed25519KeyPair::from_seed_unchecked(&seed).map(Self).map_err(|_| wrong)
    }

    /// The text of a new private key.
    ///
    /// # Errors
    /// [`KeyError`] when the system has no randomness.
    pub fn generate() -> Result<String, KeyError> {
        let seed: ring::rand::Random<[u8; 32]> = ring::rand::generate(&ring::rand::SystemRandom::new())
            .map_err(|_| KeyError("the system has no randomness"))?;
        Ok(URL_SAFE_NO_PAD.encode(seed.expose()))
    }

    /// The text of the public key.
    #[must_use]
    pub fn public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref())
    }

    /// The text of a code.
    #[must_use]
    pub fn sign(&self, token: &Token) -> String {
        let Token { store, credential, party, issued_s, expires_s, nonce } = token;
        let payload = format!("{store}|{}|{party}|{issued_s}|{expires_s}|{nonce}", credential.as_str());
        let signed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// What a gate checks codes with. Remembers what was used for as long as it could be used again.
#[derive(Debug, Clone)]
pub struct Verifier {
    store: String,
    keys: Vec<Vec<u8>>,
    /// Nonces that were used, with the second at which they are of no use any more.
    used: BTreeMap<String, i64>,
}

impl Verifier {
    /// From the text of a key file: one public key a line, so that keys can be changed one after the other; `#` begins
    /// a remark.
    ///
    /// # Errors
    /// [`KeyError`] when a line is no key, or there is none.
    pub fn from_text(store: &str, text: &str) -> Result<Self, KeyError> {
        let lines =
            text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty());
        let key = |line: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(line).ok().filter(|b| b.len() == 32);
            bytes.ok_or(KeyError("a line is no public key: wanted are 32 bytes in base64url"))
        };
        let keys = lines.map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError("it holds no public key"));
        }
        Ok(Self { store: store.to_owned(), keys, used: BTreeMap::new() })
    }

    /// Lets in, once, whoever shows a genuine code.
    ///
    /// # Errors
    /// [`Deny`], why not.
    pub fn admit(&mut self, text: &str, now: StoreTime) -> Result<Token, Deny> {
        let now_s = now.micros.div_euclid(1_000_000);
        let token = self.verify(text.trim())?;
        if token.store != self.store {
            return Err(Deny::OtherStore);
        }
        let life_ends_s = token.expires_s.min(token.issued_s.saturating_add(MAX_LIFE_S));
        if now_s > life_ends_s.saturating_add(SKEW_S) {
            return Err(Deny::Expired);
        }
        if now_s < token.issued_s.saturating_sub(SKEW_S) {
            return Err(Deny::NotYet);
        }
        self.used.retain(|_, until_s| *until_s >= now_s);
        if self.used.contains_key(&token.nonce) {
            return Err(Deny::Used);
        }
        self.used.insert(token.nonce.clone(), life_ends_s.saturating_add(SKEW_S));
        Ok(token)
    }

    /// What was used and could still be shown again, a line each, for the gate's disk.
    #[must_use]
    pub fn used_text(&self) -> String {
        self.used.iter().map(|(nonce, until_s)| format!("{nonce} {until_s}\n")).collect()
    }

    /// Takes back what [`Self::used_text`] gave; lines that are torn are passed over.
    pub fn restore_used(&mut self, text: &str) {
        let line = |l: &str| l.split_once(' ').and_then(|(n, s)| Some((n.to_owned(), s.parse().ok()?)));
        self.used.extend(text.lines().filter_map(line));
    }

    fn verify(&self, text: &str) -> Result<Token, Deny> {
        if text.len() > MAX_TEXT_BYTES || !text.starts_with(PREFIX) {
            return Err(Deny::NotOurs);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Deny::NotOurs)?;
        let payload = signed.strip_prefix(PREFIX).ok_or(Deny::NotOurs)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Deny::NotOurs)?;
        let genuine = |key: &Vec<u8>| {
            UnparsedPublicKey::new(&ED25519, key).verify(signed.as_bytes(), &signature).is_ok()
        };
        if !self.keys.iter().any(genuine) {
            return Err(Deny::NotGenuine);
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).ok().and_then(|b| String::from_utf8(b).ok());
        payload.as_deref().and_then(parse_payload).ok_or(Deny::NotOurs)
    }
}

fn parse_payload(payload: &str) -> Option<Token> {
    let [store, credential, party, issued, expires, nonce] =
        payload.split('|').collect::<Vec<_>>().try_into().ok()?;
    let party = party.parse().ok().filter(|p| (1..=MAX_PARTY).contains(p))?;
    let plain = !nonce.is_empty() && nonce.len() <= 64 && nonce.bytes().all(|b| b.is_ascii_graphic());
    Some(Token {
        store: store.to_owned(),
        credential: Credential::new(credential).ok()?,
        party,
        issued_s: issued.parse().ok()?,
        expires_s: expires.parse().ok()?,
        nonce: plain.then(|| nonce.to_owned())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_790_000_000;

    fn at(seconds: i64) -> StoreTime {
        StoreTime::from_micros((NOW_S + seconds) * 1_000_000)
    }

    fn issuer(seed: u8) -> Issuer {
        Issuer::from_text(&URL_SAFE_NO_PAD.encode([seed; 32])).unwrap()
    }

    fn verifier(issuer: &Issuer) -> Verifier {
        Verifier::from_text("nano", &format!("# the chain's\n{}\n", issuer.public_text())).unwrap()
    }

    fn token(nonce: &str) -> Token {
        Token {
            store: "nano".into(),
            credential: Credential::new("c-17").unwrap(),
            party: 3,
            issued_s: NOW_S,
            expires_s: NOW_S + 60,
            nonce: nonce.into(),
        }
    }

    #[test]
    fn a_genuine_code_lets_a_party_in_once() {
        let issuer = issuer(7);
        let mut gate = verifier(&issuer);
        let code = issuer.sign(&token("n1"));
        assert!(code.len() < 200, "a code must be easy to read for a camera: {}", code.len());
        assert_eq!(gate.admit(&format!("{code}\r\n"), at(5)), Ok(token("n1")));
        assert_eq!(gate.admit(&code, at(6)), Err(Deny::Used));
        assert!(gate.admit(&issuer.sign(&token("n2")), at(6)).is_ok());
    }

    #[test]
    fn what_was_used_stays_used_over_a_restart_and_is_forgotten_when_useless() {
        let issuer = issuer(7);
        let mut gate = verifier(&issuer);
        let code = issuer.sign(&token("n1"));
        gate.admit(&code, at(5)).unwrap();
        let kept = format!("{}torn", gate.used_text());
        let mut restarted = verifier(&issuer);
        restarted.restore_used(&kept);
        assert_eq!(restarted.admit(&code, at(50)), Err(Deny::Used));
        let late = Token { issued_s: NOW_S + 900, expires_s: NOW_S + 960, ..token("n9") };
        restarted.admit(&issuer.sign(&late), at(900)).unwrap();
        assert_eq!(restarted.used_text().lines().count(), 1);
    }

    #[test]
    fn each_reason_to_deny_is_told() {
        let (issuer, stranger) = (issuer(7), issuer(8));
        let admit = |token: Token, at_s| verifier(&issuer).admit(&issuer.sign(&token), at(at_s)).unwrap_err();
        assert_eq!(admit(token("n"), 91), Deny::Expired);
        assert_eq!(
            admit(Token { expires_s: NOW_S + 9_999, ..token("n") }, 151),
            Deny::Expired,
            "too long a life"
        );
        assert_eq!(admit(token("n"), -31), Deny::NotYet);
        assert_eq!(admit(Token { store: "mega".into(), ..token("n") }, 0), Deny::OtherStore);
        assert_eq!(admit(Token { party: 0, ..token("n") }, 0), Deny::NotOurs);
        assert_eq!(admit(Token { party: 21, ..token("n") }, 0), Deny::NotOurs);
        let forged = stranger.sign(&token("n"));
        assert_eq!(verifier(&issuer).admit(&forged, at(0)), Err(Deny::NotGenuine));
        for rubbish in ["", "LF1.", "LF1.a.b", "http://example.org/", "LF1.!!.!!", &"LF1.".repeat(200)] {
            let denied = verifier(&issuer).admit(rubbish, at(0)).unwrap_err();
            assert!(matches!(denied, Deny::NotOurs | Deny::NotGenuine), "{rubbish:?}: {denied}");
        }
    }

    #[test]
    fn one_changed_character_makes_a_code_worthless() {
        let issuer = issuer(7);
        let code = issuer.sign(&token("n"));
        for i in 4..code.len() {
            let mut changed = code.clone().into_bytes();
            changed[i] = if changed[i] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == code || verifier(&issuer).admit(&changed, at(0)).is_err(), "{i}: {changed}");
        }
    }

    #[test]
    fn keys_can_be_changed_one_after_the_other() {
        let (old, new) = (issuer(1), issuer(2));
        let both = format!("{} # until May\n{}\n", old.public_text(), new.public_text());
        let mut gate = Verifier::from_text("nano", &both).unwrap();
        assert!(gate.admit(&old.sign(&token("a")), at(0)).is_ok());
        assert!(gate.admit(&new.sign(&token("b")), at(0)).is_ok());
        assert!(Verifier::from_text("nano", "# nothing").is_err());
        assert!(Verifier::from_text("nano", "abc").is_err());
        assert!(!format!("{old:?}").contains(&URL_SAFE_NO_PAD.encode([1; 32])));
        assert_ne!(Issuer::generate().unwrap(), Issuer::generate().unwrap());
    }
}
