//! A real RTSP server on loopback: GStreamer's, driven by a few lines of Python.
//!
//! Needs Debian's `gir1.2-gst-rtsp-server-1.0`, `python3-gi` and `gstreamer1.0-plugins-good`; says so and skips where they
//! are not.
#![allow(clippy::print_stderr, clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use linefree_hardware::camera::{BackOff, Camera, CameraError, CameraSource, LatestCamera, OpenCvCamera};
use linefree_hardware::fault::FaultKind;

const SERVER: &str = r#"
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
if Gst.ElementFactory.find("rtpjpegpay") is None or Gst.ElementFactory.find("jpegenc") is None:
    sys.exit(3)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 "
                   "! jpegenc ! rtpjpegpay name=pay0 pt=26 )")
factory.set_shared(True)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"#;

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// On a port, 0 for any. `None`, and a visible line, where it cannot be had.
    fn start(port: u16) -> Option<Self> {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", SERVER, &port.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        match line.trim().parse() {
            Ok(port) => Some(Self { child, port }),
            Err(_) => {
                let _ = child.wait();
                eprintln!(
                    "skipped: no GStreamer RTSP server (apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi \
                          gstreamer1.0-plugins-good)"
                );
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Frames until so many have come.
fn frames(camera: &mut impl Camera, wanted: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut seen = 0;
    while seen < wanted {
        assert!(Instant::now() < deadline, "{seen} of {wanted} frames: {:?}", camera.take_faults());
        match camera.next_frame() {
            Ok(Some(frame)) => {
                assert_eq!((frame.width_px, frame.height_px), (320, 240));
                assert!(frame.arrived.is_some());
                seen += 1;
            }
            Ok(None) => panic!("a stream never ends"),
            Err(CameraError::Reconnecting { retry_in, .. }) => std::thread::sleep(retry_in),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn an_rtsp_camera_is_read_lost_and_found_again() {
    let Some(server) = Server::start(0) else { return };
    let port = server.port;
    let source = CameraSource::parse(&format!("rtsp://admin:hunter2@127.0.0.1:{port}/cam")).unwrap();
    let fast = BackOff {
        first: Duration::from_millis(100),
        max: Duration::from_millis(400),
        stable: Duration::from_millis(10),
        ..BackOff::default()
    };
    let mut camera = LatestCamera::new(OpenCvCamera::open_stream(source, fast)).unwrap();
    frames(&mut camera, 10);
    // Whoever looks late gets the newest frame, and the others are counted.
    let late = Instant::now();
    while camera.dropped() < 5 {
        assert!(late.elapsed() < Duration::from_secs(20), "25 frames a second, and none was dropped");
        std::thread::sleep(Duration::from_millis(50));
    }
    frames(&mut camera, 2);
    drop(server);
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut told = Vec::new();
    while told.is_empty() {
        assert!(Instant::now() < deadline, "the loss was not told");
        let _ = camera.next_frame();
        told = camera.take_faults();
    }
    assert!(told[0].kind == FaultKind::NoFrames && !told[0].cleared, "{told:?}");
    assert!(!told[0].message.contains("hunter2"), "{told:?}");
    let Some(_again) = Server::start(port) else { panic!("it started before") };
    frames(&mut camera, 5);
    assert!(camera.take_faults().iter().any(|f| f.kind == FaultKind::NoFrames && f.cleared));
}
