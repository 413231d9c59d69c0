//! A gate's wires: the lock's relay, the exit sensor and the fire alarm at a GPIO chip, and gates that are opened over
//! HTTP.
//!
//! **Fails safe.** The lock's line is high while the gate is shut. The relay must hold the lock only while that line is
//! high, and the lock must hold only while it has power: a dead controller, a lost cable, no power and a process that
//! ended all leave an open gate. The alarm's line is high while there is *no* alarm, so a cut wire is an alarm. A line
//! that cannot be read counts as an alarm too.
//!
//! # Limits
//! A request to an HTTP gate takes at most [`HTTP_TIMEOUT`]. It is asked to open, and opens for as long as it is set to;
//! while there is an alarm it is asked again and again. It must have a fire alarm input of its own: a network is no
//! fire protection.

use std::path::Path;
use std::time::Duration;

use embedded_hal::digital::{InputPin, OutputPin};
use linux_embedded_hal::CdevPin;
use linux_embedded_hal::gpio_cdev::{Chip, LineRequestFlags};

use super::GateError;

/// The longest request to a gate.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// What opens and shuts a gate.
pub trait Lock: Send {
    /// Opens it, or shuts it again.
    ///
    /// # Errors
    /// [`GateError`] when it cannot be asked.
    fn set_open(&mut self, open: bool) -> Result<(), GateError>;

    /// Must it be asked again while it stays open?
    fn forgets(&self) -> bool {
        false
    }
}

impl<L: Lock + ?Sized> Lock for Box<L> {
    fn set_open(&mut self, open: bool) -> Result<(), GateError> {
        (**self).set_open(open)
    }

    fn forgets(&self) -> bool {
        (**self).forgets()
    }
}

/// A threshold without a barrier.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLock;

impl Lock for NoLock {
    fn set_open(&mut self, _open: bool) -> Result<(), GateError> {
        Ok(())
    }
}

/// A relay at an output line: high is shut.
#[derive(Debug)]
pub struct RelayLock<P>(P);

impl<P: OutputPin> RelayLock<P> {
    /// Over a line.
    pub fn new(line: P) -> Self {
        Self(line)
    }
}

impl<P: OutputPin + Send> Lock for RelayLock<P> {
    fn set_open(&mut self, open: bool) -> Result<(), GateError> {
        let set = if open { self.0.set_low() } else { self.0.set_high() };
        set.map_err(|e| GateError::Line { what: "set the lock's line", why: format!("{e:?}") })
    }
}

/// A gate that opens for some seconds when it is posted to.
#[derive(Debug)]
pub struct HttpLock {
    url: String,
    agent: ureq::Agent,
}

impl HttpLock {
    /// At an address.
    #[must_use]
    pub fn new(url: String) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(HTTP_TIMEOUT)).build();
        Self { url, agent: config.into() }
    }
}

impl Lock for HttpLock {
    fn set_open(&mut self, open: bool) -> Result<(), GateError> {
        if !open {
            // It shuts by itself.
            return Ok(());
        }
        let answered = self.agent.post(&self.url).send_empty();
        answered.map(|_| ()).map_err(|e| GateError::Http { why: e.to_string() })
    }

    fn forgets(&self) -> bool {
        true
    }
}

/// A line of this machine's GPIO chip.
pub type Line = CdevPin;

/// The sensors of a gate.
#[derive(Debug)]
pub struct GateSensors<P> {
    exit: Option<P>,
    fire: Option<P>,
    somebody: bool,
}

impl<P: InputPin> GateSensors<P> {
    /// Over the lines that there are.
    pub fn new(exit: Option<P>, fire: Option<P>) -> Self {
        Self { exit, fire, somebody: false }
    }

    /// Is there a fire alarm? A line that is low or cannot be read is one.
    pub fn fire(&mut self) -> bool {
        self.fire.as_mut().is_some_and(|line| !line.is_high().unwrap_or(false))
    }

    /// Has somebody come to the exit since the last look?
    pub fn at_exit(&mut self) -> bool {
        let Some(line) = &mut self.exit else { return false };
        let before = self.somebody;
        self.somebody = line.is_high().unwrap_or(false);
        self.somebody && !before
    }
}

/// Lines of a GPIO chip for a gate.
///
/// # Errors
/// [`GateError::Chip`] when the chip or a line cannot be used.
pub fn open_lines(
    chip: &Path,
    lock: Option<u32>,
    exit: Option<u32>,
    fire: Option<u32>,
) -> Result<(Option<RelayLock<CdevPin>>, GateSensors<CdevPin>), GateError> {
    let failed = |e: linux_embedded_hal::gpio_cdev::Error| GateError::Chip {
        chip: chip.display().to_string(),
        why: e.to_string(),
    };
    let mut opened = Chip::new(chip).map_err(failed)?;
    let mut pin = |line: Option<u32>, flags: LineRequestFlags, value: u8| {
        let request = |line| {
            let handle = opened.get_line(line)?.request(flags, value, "linefree")?;
            CdevPin::new(handle)
        };
        line.map(request).transpose().map_err(failed)
    };
    // Shut from the first moment.
    let lock = pin(lock, LineRequestFlags::OUTPUT, 1)?.map(RelayLock::new);
    let exit = pin(exit, LineRequestFlags::INPUT, 0)?;
    let fire = pin(fire, LineRequestFlags::INPUT, 0)?;
    Ok((lock, GateSensors::new(exit, fire)))
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Read, Write};
    use std::net::TcpListener;

    use embedded_hal_mock::eh1::MockError;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    use super::*;

    #[test]
    fn the_lock_s_line_is_high_only_while_it_is_shut() {
        let mut line = Mock::new(&[Transaction::set(State::Low), Transaction::set(State::High)]);
        let mut lock = RelayLock::new(line.clone());
        lock.set_open(true).unwrap();
        lock.set_open(false).unwrap();
        line.done();
    }

    #[test]
    fn a_low_or_unreadable_alarm_line_is_an_alarm() {
        let broken = Transaction::get(State::High).with_error(MockError::Io(ErrorKind::NotFound));
        let looks = [Transaction::get(State::High), Transaction::get(State::Low), broken];
        let mut line = Mock::new(&looks);
        let mut sensors = GateSensors::new(None, Some(line.clone()));
        assert_eq!([sensors.fire(), sensors.fire(), sensors.fire()], [false, true, true]);
        assert!(!sensors.at_exit());
        line.done();
        let mut none = GateSensors::<Mock>::new(None, None);
        assert!(!none.fire());
    }

    #[test]
    fn coming_to_the_exit_is_told_once() {
        let looks = [State::Low, State::High, State::High, State::Low, State::High].map(Transaction::get);
        let mut line = Mock::new(&looks);
        let mut sensors = GateSensors::new(Some(line.clone()), None);
        let seen: Vec<bool> = (0..5).map(|_| sensors.at_exit()).collect();
        assert_eq!(seen, [false, true, false, false, true]);
        line.done();
    }

    #[test]
    fn an_http_gate_is_posted_to_and_its_absence_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/relay/0?turn=on", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || -> Result<String, Error> {
            let (mut socket, _) = listener.accept()?;
            let mut request = vec![0; 1024];
            let read = socket.read(&mut request)?;
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            Ok(String::from_utf8_lossy(&request[..read]).into_owned())
        });
        let mut lock = HttpLock::new(url);
        lock.set_open(false).unwrap();
        lock.set_open(true).unwrap();
        assert!(server.join().unwrap().unwrap().starts_with("POST /relay/0?turn=on "));
        let error = lock.set_open(true).unwrap_err().to_string();
        assert!(error.contains("the gate's controller"), "{error}");
    }
}
