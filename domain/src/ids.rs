//! Identifiers are types: a SKU cannot be passed where a plate is wanted.
//!
//! Textual ids are the ones people write in `store.toml`. They are cheap to clone (shared text), at most
//! [`MAX_ID_CHARS`] characters, and safe as one level of an MQTT topic: no white space, control character,
//! `+`, `#` or (except in [`PlateId`]) `/`. A [`Sku`] or [`Credential`] comes from other people's systems, is never
//! a topic, and is taken as it is: any text without control characters.

use std::fmt;
use std::sync::Arc;

/// The longest textual id, in characters. GTINs need 14; recordings allow SKUs of up to 32.
pub const MAX_ID_CHARS: usize = 64;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has no characters.
    #[error("an id must not be empty")]
    Empty,
    /// The text is longer than an id may be.
    #[error("{text:?} has {chars} characters, at most {MAX_ID_CHARS} are allowed")]
    TooLong {
        /// The offending text, cut to the limit.
        text: String,
        /// Its length in characters.
        chars: usize,
    },
    /// A character that ids may not hold.
    #[error("{text:?} holds {found:?}; an id has no white space, control character, '+', '#' or '/'")]
    Forbidden {
        /// The offending text.
        text: String,
        /// The first forbidden character.
        found: char,
    },
    /// A control character in a code that may otherwise hold anything.
    #[error("{text:?} holds the control character {found:?}")]
    Control {
        /// The offending text.
        text: String,
        /// The first control character.
        found: char,
    },
    /// A plate id that is not `gondola/shelf/plate`.
    #[error("{0:?} is not of the form gondola/shelf/plate")]
    NotAPlate(String),
}

fn check_length(text: &str) -> Result<(), IdError> {
    if text.trim().is_empty() {
        return Err(IdError::Empty);
    }
    let chars = text.chars().count();
    if chars > MAX_ID_CHARS {
        return Err(IdError::TooLong { text: text.chars().take(MAX_ID_CHARS).collect(), chars });
    }
    Ok(())
}

fn check_free(text: &str) -> Result<(), IdError> {
    check_length(text)?;
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(IdError::Control { text: text.to_owned(), found }),
        None => Ok(()),
    }
}

fn check(text: &str, slash: bool) -> Result<(), IdError> {
    check_length(text)?;
    let forbidden =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '+' | '#') || (c == '/' && !slash);
    match text.chars().find(|c| forbidden(*c)) {
        Some(found) => Err(IdError::Forbidden { text: text.to_owned(), found }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and makes it an id.
            ///
            /// # Errors
            /// [`IdError`] when the text is empty, too long or holds a forbidden character.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check(text.as_ref(), false)?;
                Ok(Self(text.as_ref().into()))
            }
        }

        text_id!(@traits $name);
    };
    (free $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and makes it an id.
            ///
            /// # Errors
            /// [`IdError`] when the text is empty, too long or holds a control character.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check_free(text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }
        }

        text_id!(@traits $name);
    };
    (@traits $name:ident) => {
        impl $name {
            /// The text as it stands in store.toml, on the bus and in the ledger.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    };
}

text_id! {
    /// A store.
    StoreId
}
text_id! {
    /// A camera.
    CameraId
}
text_id! {
    /// A gate: where shoppers enter, leave, or both.
    GateId
}
text_id! {
    free
    /// What a shopper entered with: a phone's QR code, a card token. Never a name.
    Credential
}
text_id! {
    free
    /// A product as it is sold: a GTIN where there is one, else any code.
    Sku
}
text_id! {
    free
    /// An online order. It comes from other people's systems.
    OrderId
}
text_id! {
    free
    /// Something that a robot or a person is to do.
    TaskId
}
text_id! {
    /// One stay of one shopper in the store, from entry to exit.
    VisitId
}

/// A weighing plate, `gondola/shelf/plate`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlateId(Arc<str>);

text_id!(@traits PlateId);

impl PlateId {
    /// Checks the text and makes it a plate id.
    ///
    /// # Errors
    /// [`IdError`] when a part is empty or holds a forbidden character, or there are not three parts.
    pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
        let text = text.as_ref();
        check(text, true)?;
        let mut parts = text.split('/');
        let three = (parts.next(), parts.next(), parts.next(), parts.next());
        match three {
            (Some(g), Some(s), Some(p), None) if !g.is_empty() && !s.is_empty() && !p.is_empty() => {
                Ok(Self(text.into()))
            }
            _ => Err(IdError::NotAPlate(text.to_owned())),
        }
    }

    /// The gondola, the shelf and the plate, as three texts.
    #[must_use]
    pub fn parts(&self) -> [&str; 3] {
        let mut parts = self.0.splitn(3, '/');
        // Three parts are an invariant of `new`.
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// `gondola/shelf`: where the plate stands, as recordings and product vision name a place.
    #[must_use]
    pub fn place(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(place, _)| place)
    }
}

macro_rules! index_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
    };
}

index_id! {
    /// Position of a camera in [`StoreLayout::cameras`](crate::layout::StoreLayout::cameras).
    CameraIndex(usize)
}
index_id! {
    /// Position of a gate in [`StoreLayout::gates`](crate::layout::StoreLayout::gates).
    GateIndex(usize)
}
index_id! {
    /// Position of a plate in [`StoreLayout::plates`](crate::layout::StoreLayout::plates).
    PlateIndex(usize)
}
index_id! {
    /// Position of a product in [`StoreLayout::products`](crate::layout::StoreLayout::products).
    ProductIndex(usize)
}
index_id! {
    /// A track of one camera; numbers are not used twice within a run.
    TrackId(u32)
}
index_id! {
    /// A tracklet of one camera: a stretch of a track in which nobody can have been mistaken for somebody else; numbers
    /// are not used twice within a run.
    TrackletId(u32)
}
index_id! {
    /// A person on the floor plane, as the floor role numbers them; not used twice within a run.
    ShopperId(u32)
}
index_id! {
    /// A declared handling, as whoever hands declarations to the core numbers them; not used twice within a run.
    HandlingId(u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plate_id_has_three_parts() {
        let id = PlateId::new("1/5/10").unwrap();
        assert_eq!(id.parts(), ["1", "5", "10"]);
        assert_eq!(id.place(), "1/5");
        for bad in ["1/5", "1/5/10/2", "1//10", "1/5/", "a b/c/d"] {
            assert!(PlateId::new(bad).is_err(), "{bad} was taken for a plate");
        }
    }

    #[test]
    fn a_sku_or_credential_is_taken_as_it_is() {
        for good in ["632565000012", "A/7 #2", "dG9rZW4+/w=="] {
            assert!(Sku::new(good).is_ok() && Credential::new(good).is_ok(), "{good:?} was refused");
        }
        for bad in ["", "  ", "line\nbreak"] {
            assert!(Sku::new(bad).is_err(), "{bad:?} was taken for a SKU");
        }
    }

    #[test]
    fn an_id_is_safe_in_a_topic() {
        assert!(CameraId::new("cam1").is_ok());
        for bad in ["", "a/b", "a+b", "#", "two words", "tab\t"] {
            assert!(CameraId::new(bad).is_err(), "{bad:?} was taken for a camera");
        }
        assert!(matches!(Sku::new("x".repeat(65)), Err(IdError::TooLong { chars: 65, .. })));
    }
}
