//! Opens serial lines: raw, and with reads that end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::termios::{ControlModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};

/// The parity bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// None, 8 data bits.
    None,
    /// Even, 7 data bits.
    Even,
    /// Odd, 7 data bits.
    Odd,
}

/// Opens a line raw. A read returns what there is, or nothing after 0.2 s.
///
/// # Errors
/// What the system said.
pub fn open(path: &Path, baud: u32, parity: Parity) -> io::Result<File> {
    // Without NONBLOCK, opening waits for a modem's carrier; it is switched off again below.
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits() as i32;
    let port = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let mut line = tcgetattr(&port)?;
    line.make_raw();
    line.set_speed(baud)?;
    line.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    line.control_modes.remove(ControlModes::CSTOPB | ControlModes::CRTSCTS);
    if parity != Parity::None {
        line.control_modes.remove(ControlModes::CSIZE);
        line.control_modes |= ControlModes::CS7 | ControlModes::PARENB;
        line.control_modes.set(ControlModes::PARODD, parity == Parity::Odd);
    }
    line.special_codes[SpecialCodeIndex::VMIN] = 0;
    line.special_codes[SpecialCodeIndex::VTIME] = 2;
    tcsetattr(&port, OptionalActions::Flush, &line)?;
    let status = rustix::fs::fcntl_getfl(&port)?;
    rustix::fs::fcntl_setfl(&port, status - OFlags::NONBLOCK)?;
    Ok(port)
}

/// A read of nothing is a time-out, or the end of a line that hung up: then its settings are gone too.
#[must_use]
pub fn hung_up(port: &File) -> bool {
    tcgetattr(port).is_err()
}
