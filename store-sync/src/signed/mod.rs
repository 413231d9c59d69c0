//! Receipts that prove themselves: JSON with a detached Ed25519 signature and the id of its key.
//!
//! A signed receipt is `{"receipt": {...}, "signature": {"alg", "kid", "jws"}}`. `jws` is a JSON Web Signature in
//! compact form whose payload is left out (RFC 7515, appendix F), algorithm `EdDSA` (RFC 8037). The payload is the
//! `receipt` in its canonical form (RFC 8785), so that white space and the order of names do not matter; numbers are
//! whole ones, so the canonical form needs no rules about fractions. `kid` is the key's JWK thumbprint (RFC 7638).
//!
//! **Limits.** A file of at most [`MAX_FILE_BYTES`]. **Failure.** Whatever is not exactly as above is refused with the
//! reason; a sound signature over sums that contradict each other is refused as well. **Secrets.** Private keys are read
//! from files that only their owner can read, and are never logged or printed.

mod key;
mod receipt;

pub use key::{KeyError, PublicKey, SigningKey};
pub use receipt::receipt_document;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A signed receipt longer than this is not read.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why a signed receipt is not to be believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotVerified {
    /// It is not what this module describes.
    #[error("it is no signed receipt: {0}")]
    Malformed(String),
    /// Another key.
    #[error("it was signed with key {signed_with}, this is key {given}")]
    OtherKey {
        /// Its key's id.
        signed_with: String,
        /// The given key's id.
        given: String,
    },
    /// The signature does not fit the content.
    #[error(
        "the signature does not fit: the receipt was changed after it was signed, or another key was used"
    )]
    Signature,
    /// The store signed something that contradicts itself.
    #[error("the signature fits, but the receipt contradicts itself: {0}")]
    Sums(String),
}

/// The canonical form of JSON (RFC 8785) with whole numbers.
///
/// # Errors
/// Names the number that is none.
pub fn canonical(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    write_canonical(value, &mut out)?;
    Ok(out)
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    // Beyond this, other languages' numbers are not exact (RFC 7493).
    const MAX_EXACT: u64 = (1 << 53) - 1;
    match value {
        Value::Object(fields) => {
            let mut names: Vec<(&String, &Value)> = fields.iter().collect();
            names.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (i, (name, value)) in names.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(&Value::String(name.clone()), out)?;
                out.push(b':');
                write_canonical(value, out)?;
            }
            out.push(b'}');
        }
        Value::Array(values) => {
            out.push(b'[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(value, out)?;
            }
            out.push(b']');
        }
        Value::Number(n) => {
            let whole = n.as_i64().filter(|n| n.unsigned_abs() <= MAX_EXACT);
            out.extend(
                whole
                    .ok_or_else(|| format!("{n} is no whole number of at most 2^53 - 1"))?
                    .to_string()
                    .bytes(),
            );
        }
        // What serde_json escapes, and how, is what RFC 8785 asks for.
        Value::String(_) | Value::Bool(_) | Value::Null => out.extend(value.to_string().bytes()),
    }
    Ok(())
}

/// Signs a receipt.
///
/// # Errors
/// When it holds a number that is not whole.
pub fn sign(receipt: &Value, key: &SigningKey) -> Result<Value, String> {
    let payload = canonical(receipt)?;
    let kid = key.public().id();
    let header = URL_SAFE_NO_PAD.encode(canonical(&json!({ "alg": "EdDSA", "kid": kid }))?);
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    Ok(json!({
        "receipt": receipt,
        "signature": { "alg": "EdDSA", "kid": kid, "jws": format!("{header}..{signature}") },
    }))
}

/// The receipt of a signed receipt, when it is to be believed.
///
/// # Errors
/// [`NotVerified`].
pub fn verify<'a>(signed: &'a Value, key: &PublicKey) -> Result<&'a Value, NotVerified> {
    let malformed = |why: &str| NotVerified::Malformed(why.to_owned());
    let receipt =
        signed.get("receipt").filter(|r| r.is_object()).ok_or_else(|| malformed("no \"receipt\""))?;
    let jws = signed
        .pointer("/signature/jws")
        .and_then(Value::as_str)
        .ok_or_else(|| malformed("no \"signature\" with a \"jws\""))?;
    let parts: Vec<&str> = jws.split('.').collect();
    let [header_text, "", signature] = parts.as_slice() else {
        return Err(malformed("its jws is not of the form header..signature"));
    };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed("its jws is no base64url"));
    let header: Value =
        serde_json::from_slice(&decode(header_text)?).map_err(|_| malformed("its jws has no header"))?;
    // Other names could change what the signature means (`b64`, `crit`).
    let fields = header.as_object().ok_or_else(|| malformed("its jws has no header"))?;
    if fields.keys().any(|name| name != "alg" && name != "kid") || header["alg"] != "EdDSA" {
        return Err(malformed("its header must hold alg EdDSA and a kid, nothing else"));
    }
    let kid = header["kid"].as_str().ok_or_else(|| malformed("its header holds no kid"))?;
    if kid != key.id() {
        return Err(NotVerified::OtherKey { signed_with: kid.to_owned(), given: key.id() });
    }
    let payload = canonical(receipt).map_err(NotVerified::Malformed)?;
    let input = format!("{header_text}.{}", URL_SAFE_NO_PAD.encode(payload));
    if !key.fits(input.as_bytes(), &decode(signature)?) {
        return Err(NotVerified::Signature);
    }
    receipt::check_sums(receipt).map_err(NotVerified::Sums)?;
    Ok(receipt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_that_of_rfc_8785() {
        // Section 3.2.3's example of sorting, without its fractions.
        let given: Value = serde_json::from_str(
            "{\"\\u20ac\": \"Euro Sign\", \"\\r\": \"Carriage Return\", \"\\ufb33\": \"Hebrew\", \"1\": \"One\", \
             \"\\ud83d\\ude00\": \"Emoji\", \"\\u0080\": \"Control\", \"\\u00f6\": [1, true, null]}",
        )
        .unwrap();
        let told = String::from_utf8(canonical(&given).unwrap()).unwrap();
        assert_eq!(
            told,
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":[1,true,null],\"€\":\"Euro Sign\",\
             \"😀\":\"Emoji\",\"\u{fb33}\":\"Hebrew\"}"
        );
        assert!(canonical(&json!({ "a": 0.5 })).is_err());
        assert!(canonical(&json!(1u64 << 53)).is_err());
    }
}
