//! A network camera on loopback: MJPEG over HTTP, as IP cameras speak it, lost and found again.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use linefree_hardware::camera::{
    BackOff, Camera, CameraError, CameraSource, OpenCvCamera, SimulatedCamera, SimulatedScene,
};
use linefree_hardware::fault::FaultKind;

const FAST: BackOff = BackOff {
    first: Duration::from_millis(20),
    max: Duration::from_millis(100),
    factor: 2.0,
    jitter: 0.0,
    stable: Duration::from_secs(1),
};

fn jpeg(size_px: [u32; 2]) -> Vec<u8> {
    let mut camera = SimulatedCamera::new(SimulatedScene { size_px, ..SimulatedScene::default() });
    let frame = camera.next_frame().unwrap().unwrap();
    let rgb: Vec<u8> = frame.data.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    let mut out = Vec::new();
    let image = image::RgbImage::from_raw(size_px[0], size_px[1], rgb).unwrap();
    image.write_to(&mut std::io::Cursor::new(&mut out), image::ImageFormat::Jpeg).unwrap();
    out
}

/// Sends some images as one HTTP response and hangs up. Errors are the client's going away.
fn serve(mut client: TcpStream, image: &[u8], images: usize) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let _ = client.read(&mut request)?;
    client
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")?;
    for _ in 0..images {
        write!(client, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", image.len())?;
        client.write_all(image)?;
        client.write_all(b"\r\n")?;
    }
    Ok(())
}

#[test]
fn a_lost_stream_is_told_once_tried_again_and_told_well() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The second time, the camera comes back with another image size.
    let server = std::thread::spawn(move || {
        for size_px in [[160, 120], [320, 240]] {
            let (client, _) = listener.accept().unwrap();
            let _ = serve(client, &jpeg(size_px), 30);
        }
    });
    let url = format!("http://admin:hunter2@{address}/video.mjpg");
    let mut camera = OpenCvCamera::open_stream(CameraSource::parse(&url).unwrap(), FAST);
    assert!(!camera.info().name.contains("hunter2"));

    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut sizes, mut last_index, mut last_s) = (std::collections::BTreeMap::new(), None, 0.0);
    let mut lost = 0;
    // Until the stream has been lost twice: after both of its lives.
    while lost < 2 {
        assert!(Instant::now() < deadline, "frames by width: {sizes:?}, lost {lost} times");
        match camera.next_frame() {
            Ok(Some(frame)) => {
                *sizes.entry(frame.width_px).or_insert(0) += 1;
                assert_eq!(frame.index, last_index.map_or(0, |i: u64| i + 1));
                assert!(frame.offset_s >= last_s && frame.arrived.is_some());
                (last_index, last_s) = (Some(frame.index), frame.offset_s);
            }
            Ok(None) => panic!("a stream never ends"),
            Err(CameraError::Reconnecting { retry_in, name, .. }) => {
                assert!(retry_in <= FAST.max && !name.contains("hunter2"));
                lost += 1;
                std::thread::sleep(retry_in);
            }
            Err(e) => panic!("{e}"),
        }
    }
    server.join().unwrap();
    assert!(sizes[&160] >= 20 && sizes[&320] >= 20, "{sizes:?}");
    let faults: Vec<_> = camera.take_faults();
    let summary: Vec<_> = faults.iter().map(|f| (f.kind, f.cleared)).collect();
    assert_eq!(
        summary,
        [(FaultKind::NoFrames, false), (FaultKind::SizeChanged, false), (FaultKind::NoFrames, true)],
        "{faults:?}"
    );
    assert!(faults.iter().all(|f| !f.message.contains("hunter2") && !f.device.contains("hunter2")));
}

#[test]
fn a_camera_that_is_not_there_does_not_block_or_give_up() {
    // A port that was free a moment ago: nobody answers.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = CameraSource::parse(&format!("http://{address}/video.mjpg")).unwrap();
    let mut camera = OpenCvCamera::open_stream(source, BackOff::default());
    let first = camera.next_frame().unwrap_err();
    let retry_in = first.retry_in().expect("a stream that is away is tried again");
    assert!(retry_in > Duration::from_millis(300), "{retry_in:?}");
    // Asked again too early, it answers at once.
    let asked = Instant::now();
    assert!(camera.next_frame().unwrap_err().retry_in().is_some());
    assert!(asked.elapsed() < Duration::from_millis(200));
    assert_eq!(camera.take_faults().len(), 1);
}

#[test]
fn a_missing_device_is_a_lost_stream() {
    let mut camera = OpenCvCamera::open_stream(CameraSource::Device(4242), FAST);
    assert!(camera.next_frame().unwrap_err().retry_in().is_some());
    assert!(camera.take_faults()[0].message.contains("/dev/video4242"));
}
