//! Enumerations that the core and the events both have.

/// Two enumerations with the same variants: a function to the core's, and one to the event's.
macro_rules! same {
    ($to_core:ident, $to_told:ident, $told:ty, $core:ty, $($variant:ident),+) => {
        fn $to_core(from: $told) -> $core {
            match from { $(<$told>::$variant => <$core>::$variant),+ }
        }
        fn $to_told(from: $core) -> $told {
            match from { $(<$core>::$variant => <$told>::$variant),+ }
        }
    };
}

pub(super) use same;
