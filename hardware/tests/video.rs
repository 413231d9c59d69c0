//! Video files, whole and cut, and image folders, through the real decoders.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use linefree_hardware::camera::{
    Camera, CameraError, CameraSource, FolderCamera, OpenCvCamera, SimulatedCamera, SimulatedScene, open,
};
use linefree_hardware::fault::FaultKind;
use opencv::core::{Mat, MatTraitConst, Size};
use opencv::videoio::{VideoWriter, VideoWriterTrait, VideoWriterTraitConst};

const SCENE: SimulatedScene =
    SimulatedScene { seed: 4, size_px: [160, 120], rate_hz: 12.5, frames: Some(50), people: 2 };

/// Films the simulated camera: MJPEG in AVI, whose index stands at the end as in most recordings.
fn film(path: &Path) {
    let code = VideoWriter::fourcc('M', 'J', 'P', 'G').unwrap();
    let mut writer =
        VideoWriter::new(path.to_str().unwrap(), code, SCENE.rate_hz, Size::new(160, 120), true).unwrap();
    assert!(writer.is_opened().unwrap());
    let mut camera = SimulatedCamera::new(SCENE);
    while let Some(frame) = camera.next_frame().unwrap() {
        let flat = Mat::from_slice(frame.data).unwrap();
        writer.write(&flat.reshape(3, 120).unwrap()).unwrap();
    }
    writer.release().unwrap();
}

fn vtest() -> Option<PathBuf> {
    let home = std::env::var("LINEFREE_HOME").unwrap_or_else(|_| "../.linefree".into());
    let places = [
        Path::new(&home).join("media/vtest.avi"),
        "/usr/share/doc/opencv-doc/examples/data/vtest.avi".into(),
    ];
    places.into_iter().find(|p| p.exists())
}

#[test]
fn a_video_gives_every_frame_at_its_time_in_one_buffer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cam1.avi");
    film(&path);
    let mut camera = OpenCvCamera::open_file(&path).unwrap();
    let info = camera.info();
    assert_eq!((info.size_px, info.frames), (Some([160, 120]), Some(50)));
    assert!((info.rate_hz.unwrap() - 12.5).abs() < 1e-9);

    let truth = SimulatedCamera::new(SCENE);
    let mut buffers = std::collections::BTreeSet::new();
    let mut index = 0;
    while let Some(frame) = camera.next_frame().unwrap() {
        assert_eq!((frame.index, frame.width_px, frame.height_px), (index, 160, 120));
        assert_eq!(frame.offset_s.to_bits(), (index as f64 / 12.5).to_bits());
        assert!(frame.arrived.is_none());
        assert_eq!(frame.data.len(), frame.stride_bytes * 120);
        // The last one painted is hidden by nobody; boxes are red on grey, and red is the third byte.
        let box_px = truth.truth(index)[1];
        let middle = (box_px.x + box_px.w / 2.0, box_px.y + box_px.h / 2.0);
        let [blue, _, red] = frame.pixel(middle.0 as u32, middle.1 as u32).unwrap();
        assert!(i32::from(red) > i32::from(blue) + 5, "frame {index}: red {red}, blue {blue}");
        buffers.insert(frame.data.as_ptr());
        index += 1;
    }
    assert_eq!(index, 50);
    assert_eq!(buffers.len(), 1, "the buffer was not reused");
    assert!(camera.next_frame().unwrap().is_none(), "the end must stay the end");
    assert!(camera.take_faults().is_empty());
}

#[test]
fn a_cut_video_gives_what_it_has_and_then_one_fault() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.avi");
    film(&whole);
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder.path().join("cut.avi");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();

    let mut camera = OpenCvCamera::open_file(&cut).unwrap();
    let mut read = 0;
    while camera.next_frame().unwrap().is_some() {
        read += 1;
    }
    assert!((15..45).contains(&read), "{read} frames of a file cut at 60 %");
    for _ in 0..3 {
        assert!(camera.next_frame().unwrap().is_none());
    }
    let faults = camera.take_faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].kind, FaultKind::TruncatedVideo);
    assert!(faults[0].message.contains(&format!("{read} of 50 frames")), "{}", faults[0].message);
}

#[test]
fn what_is_no_video_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let missing = folder.path().join("gone.mp4");
    assert!(matches!(OpenCvCamera::open_file(&missing), Err(CameraError::Missing { .. })));
    for path in [
        write("empty.mp4", b""),
        write("text.avi", b"this is not a video, however long one looks at it"),
        // An MP4 without its index (moov), as a crash of a recorder leaves it.
        write(
            "headless.mp4",
            b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\x10\0mdat aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        folder.path().to_owned(),
    ] {
        let error = OpenCvCamera::open_file(&path).unwrap_err();
        assert!(matches!(error, CameraError::Unreadable { .. }), "{path:?}: {error}");
        let message = error.to_string();
        assert!(message.contains(&path.display().to_string()) && message.contains("again"), "{message}");
    }
}

#[test]
fn the_public_clip_is_read_to_its_end() {
    let Some(path) = vtest() else {
        eprintln!("skipped: vtest.avi is neither in .linefree/media nor in opencv-doc");
        return;
    };
    let mut camera = open(&CameraSource::parse(path.to_str().unwrap()).unwrap(), 10.0).unwrap();
    assert_eq!(camera.info().frames, Some(795));
    let (mut read, mut last_s) = (0, 0.0);
    while let Some(frame) = camera.next_frame().unwrap() {
        assert_eq!((frame.width_px, frame.height_px), (768, 576));
        read += 1;
        last_s = frame.offset_s;
    }
    assert_eq!(read, 795);
    assert!((last_s - 79.4).abs() < 1e-9);
    assert!(camera.take_faults().is_empty());
}

#[test]
fn a_store_s_own_recordings_are_whole() {
    let shared = PathBuf::from(std::env::var("LINEFREE_SHARED").unwrap_or_else(|_| "../../shared".into()));
    let folder = shared.join("data/nanostore/videos");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there (LINEFREE_SHARED)", folder.display());
        return;
    }
    for name in ["cam1", "cam3", "cam5", "cam7"] {
        let path = folder.join(format!("cps-test-01-nodepth-{name}.mp4"));
        let mut camera = OpenCvCamera::open_file(&path).unwrap();
        let info = camera.info();
        assert_eq!(info.size_px, Some([640, 360]));
        let mut read = 0;
        while camera.next_frame().unwrap().is_some() {
            read += 1;
        }
        assert!(read > 100 && Some(read) <= info.frames, "{name}: {read} of {:?}", info.frames);
        assert_eq!(camera.take_faults(), [], "{name}");
    }
}

#[test]
fn a_folder_of_images_is_a_camera_and_bad_images_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, width: u32, red: u8| {
        let image = image::RgbImage::from_pixel(width, 8, image::Rgb([red, 20, 30]));
        image.save(folder.path().join(name)).unwrap();
    };
    save("frame2.png", 12, 2);
    save("frame10.png", 12, 10);
    save("frame1.png", 12, 1);
    std::fs::write(folder.path().join("frame3.jpg"), b"not a picture").unwrap();
    save("frame4.png", 40, 4);
    std::fs::write(folder.path().join("notes.txt"), b"not an image").unwrap();

    let mut camera = FolderCamera::open(folder.path(), 2.0).unwrap();
    assert_eq!(camera.info().frames, Some(5));
    let mut seen = Vec::new();
    while let Some(frame) = camera.next_frame().unwrap() {
        assert_eq!(frame.data.len(), 12 * 8 * 3);
        let [blue, green, red] = frame.pixel(11, 7).unwrap();
        assert_eq!((blue, green), (30, 20));
        assert!(frame.pixel(12, 0).is_none() && frame.pixel(0, 8).is_none());
        seen.push((red, frame.index, frame.offset_s));
    }
    assert_eq!(seen, [(1, 0, 0.0), (2, 1, 0.5), (10, 4, 2.0)]);
    let kinds: Vec<FaultKind> = camera.take_faults().iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [FaultKind::UnreadableImage, FaultKind::SizeChanged]);
}

#[test]
fn folders_without_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(FolderCamera::open(folder.path(), 5.0), Err(CameraError::EmptyFolder { .. })));
    let gone = folder.path().join("gone");
    assert!(matches!(FolderCamera::open(&gone, 5.0), Err(CameraError::Missing { .. })));
    std::fs::write(folder.path().join("a.jpg"), b"no").unwrap();
    assert!(matches!(FolderCamera::open(folder.path(), 5.0), Err(CameraError::Unreadable { .. })));
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(FolderCamera::open(folder.path(), rate).is_err());
    }
}
