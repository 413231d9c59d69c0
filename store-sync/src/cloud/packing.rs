//! How a batch's bytes are packed on the way: `Content-Encoding` identity, gzip (RFC 1952) or zstd (RFC 8878).
//!
//! **Bounded both ways**: unpacking ends at a limit that the caller gives, whatever the packed size, and a zstd frame
//! that wants a window of more than [`WINDOW_LOG`] bits of address is refused before memory is taken for it.

use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// The largest window of a zstd frame, as a power of two: 8 MiB, what RFC 8878 asks decoders to support.
pub const WINDOW_LOG: u32 = 23;

/// zstd's own default level.
const ZSTD_LEVEL: i32 = 3;

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// zstd.
    Zstd,
    /// gzip.
    Gzip,
    /// Not at all.
    Plain,
}

/// Why bytes cannot be unpacked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpacked {
    /// They are not what their name says.
    #[error("the body is no {name}: {why}")]
    Broken {
        /// The encoding's name.
        name: &'static str,
        /// What its library says.
        why: String,
    },
    /// There is more in them than is allowed: by accident, or a decompression bomb.
    #[error(
        "the body ({packed_bytes} bytes of {name}) unpacks to more than {limit_bytes} bytes: send less at once"
    )]
    TooMuch {
        /// The encoding's name.
        name: &'static str,
        /// As it came.
        packed_bytes: usize,
        /// What is allowed.
        limit_bytes: usize,
    },
}

impl Packing {
    /// Every one, the best first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::Plain];

    /// As `Content-Encoding` says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Plain => "identity",
        }
    }

    /// As a header says it, in any case; `None` for an encoding that is not known.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|packing| packing.name().eq_ignore_ascii_case(name.trim()))
    }

    /// The next simpler one, for whoever does not know this one.
    #[must_use]
    pub fn simpler(self) -> Option<Self> {
        match self {
            Self::Zstd => Some(Self::Gzip),
            Self::Gzip => Some(Self::Plain),
            Self::Plain => None,
        }
    }

    /// Packs bytes.
    ///
    /// # Errors
    /// When memory is short.
    pub fn pack(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(bytes.to_vec()),
            Self::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
            Self::Gzip => {
                let mut packed = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
                packed.write_all(bytes)?;
                packed.finish()
            }
        }
    }

    /// Unpacks bytes to at most `limit_bytes`.
    ///
    /// # Errors
    /// [`Unpacked`].
    pub fn unpack(self, packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Unpacked> {
        let name = self.name();
        let broken = |e: std::io::Error| Unpacked::Broken { name, why: e.to_string() };
        let mut plain = Vec::new();
        let at_most = limit_bytes as u64 + 1;
        match self {
            Self::Plain => packed.take(at_most).read_to_end(&mut plain),
            Self::Gzip => MultiGzDecoder::new(packed).take(at_most).read_to_end(&mut plain),
            Self::Zstd => {
                let mut frames = zstd::stream::read::Decoder::with_buffer(packed).map_err(broken)?;
                frames.window_log_max(WINDOW_LOG).map_err(broken)?;
                frames.take(at_most).read_to_end(&mut plain)
            }
        }
        .map_err(broken)?;
        if plain.len() > limit_bytes {
            return Err(Unpacked::TooMuch { name, packed_bytes: packed.len(), limit_bytes });
        }
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(|n| (n % 977).to_string().into_bytes()).collect();
        for packing in Packing::ALL {
            let packed = packing.pack(&plain).unwrap();
            assert!(packing == Packing::Plain || packed.len() < plain.len(), "{packing:?}");
            assert_eq!(packing.unpack(&packed, plain.len()).unwrap(), plain, "{packing:?}");
            assert_eq!(Packing::named(packing.name()), Some(packing));
            // One byte less is too much.
            let refused = packing.unpack(&packed, plain.len() - 1).unwrap_err();
            assert!(matches!(refused, Unpacked::TooMuch { .. }), "{packing:?} {refused}");
            let mut twice = packed.clone();
            twice.extend_from_slice(&packed);
            assert_eq!(packing.unpack(&twice, usize::MAX / 2).unwrap().len(), 2 * plain.len(), "{packing:?}");
        }
        assert_eq!(Packing::named("GZIP"), Some(Packing::Gzip));
        assert_eq!(Packing::named("br"), None);
    }

    #[test]
    fn a_bomb_is_refused_by_name_and_costs_no_more_than_the_limit() {
        let zeros = vec![0; 256 << 20];
        for packing in [Packing::Zstd, Packing::Gzip] {
            let bomb = packing.pack(&zeros).unwrap();
            let told = packing.unpack(&bomb, 1 << 20).unwrap_err().to_string();
            let beginning = format!("the body ({} bytes of {}) unpacks to more", bomb.len(), packing.name());
            assert!(bomb.len() < 2 << 20 && told.starts_with(&beginning), "{told}");
        }
        // A frame that wants a window of 128 MiB for three bytes.
        let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        wide.window_log(27).unwrap();
        wide.write_all(b"abc").unwrap();
        wide.flush().unwrap();
        wide.write_all(b"def").unwrap();
        let told = Packing::Zstd.unpack(&wide.finish().unwrap(), 1 << 20).unwrap_err().to_string();
        assert!(told.starts_with("the body is no zstd: ") && told.contains("memory"), "{told}");
    }

    #[test]
    fn what_is_cut_or_something_else_is_refused() {
        for packing in [Packing::Zstd, Packing::Gzip] {
            let packed = packing.pack(&[7; 5000]).unwrap();
            for bad in [&packed[..packed.len() - 3], b"[]", &packed[1..]] {
                let refused = packing.unpack(bad, 1 << 20).unwrap_err();
                assert!(matches!(refused, Unpacked::Broken { .. }), "{packing:?} {refused}");
            }
        }
    }
}
