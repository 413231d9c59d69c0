//! Every class of mistake is told with file, line, field and remedy, and all of a file's mistakes at once.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use linefree_recording::{
    LineProtocol, Opener, Recording, ScaleDriver, SerialLine, SerialParity, SourceDevice, StoreFile,
};

const GOOD: &str = r#"format = 1

[store]
id = "s"
name = "Shop"
timezone = "Europe/Berlin"
currency = "EUR"
floor = [[0, 0], [6, 0], [6, 4], [0, 4]]

[[gate]]
id = "door"
kind = "both"
segment = [[2.0, 0.0], [3.0, 0.0]]

[[camera]]
id = "cam1"
size_px = [640, 360]
homography = [0.01, 0, 0, 0, 0.01, 0, 0, 0, 1]

[[gondola]]
id = "1"
origin = [0, 2, 0]
yaw_deg = 0

[[gondola.shelf]]
id = "5"
height_m = 1.2
plates = [
  { id = "10", offset = [0.0, 0.0], size = [0.1, 0.4] },
  { id = "11", offset = [0.1, 0.0], size = [0.1, 0.4] },
]

[[product]]
sku = "632565000012"
name = "Water"
price = 199
weight_g = 538.0

[[facing]]
sku = "632565000012"
plates = ["1/5/10", "1/5/11"]
count = 8
"#;

fn mistakes_of(text: &str) -> Vec<String> {
    match StoreFile::parse(Path::new("store.toml"), text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.to_string().lines().map(str::to_owned).collect(),
    }
}

/// The line on which a text first stands.
fn line_of(text: &str, part: &str) -> usize {
    text[..text.find(part).unwrap()].matches('\n').count() + 1
}

#[test]
fn a_good_file_has_no_mistake() {
    let store = StoreFile::parse(Path::new("store.toml"), GOOD).unwrap();
    assert_eq!(store.warnings, []);
    assert_eq!(store.layout.plates.len(), 2);
    let plate = &store.layout.plates[1];
    assert!((plate.centre - nalgebra::Point3::new(0.15, 2.2, 1.2)).norm() < 1e-12, "{:?}", plate.centre);
    assert_eq!(store.layout.facings[0].count, Some(8));
    assert!((store.layout.products[0].weight.sd_g - 5.38).abs() < 1e-9);
    assert!((store.live.policy.review_below - 0.9).abs() < 1e-12);
}

const SCALE_ELSEWHERE: &str = "count = 8\n[[source]]\nplates = [\"1/5/10\"]\nurl = \"tcp:x\"";
const SCALE_WITH_QUERY: &str =
    "count = 8\n[[source]]\nplates = [\"1/5/10\"]\nurl = \"serial:/dev/ttyS0?baud=9600\"\ndriver = \"and\"";
const SCALE_WITHOUT_DRIVER: &str =
    "count = 8\n[[source]]\nplates = [\"1/5/10\"]\nurl = \"serial:/dev/ttyS0\"";
const SCALE_OF_TWO: &str = "count = 8\n[[source]]\nplates = [\"1/5/10\", \"1/5/11\"]\nurl = \"serial:/dev/ttyS0\"\n\
     driver = \"and\"";
const SCALE_WITH_BAUD: &str = "count = 8\n[[source]]\nplates = [\"1/5/10\"]\nurl = \"i2c:/dev/i2c-1\"\nbaud = 9600\n\
     counts_per_g = 400";
const SCALE_WITHOUT_FACTOR: &str = "count = 8\n[[source]]\nplates = [\"1/5/10\"]\nurl = \"bus:scale-1\"";
const SCALE_WITH_ONE_LINE: &str = "count = 8\n[[source]]\nplates = [\"1/5/10\", \"1/5/11\"]\ndriver = \"hx711\"\n\
     url = \"gpio:/dev/gpiochip0\"\ndata_lines = [5, 6]\nclock_lines = [7]\ncounts_per_g = 400";
const SCALE_WITH_LINE_TWICE: &str = "count = 8\n[[source]]\nplates = [\"1/5/10\"]\ndriver = \"hx711\"\n\
     url = \"gpio:/dev/gpiochip0\"\ndata_lines = [5]\nclock_lines = [5]\ncounts_per_g = 400";
const SCALE_TWICE: &str = "count = 8\n[[source]]\nplates = [\"1/5/10\", \"1/5/11\"]\nurl = \"simulated:1\"\n\
     [[source]]\nplates = [\"1/5/11\"]\nurl = \"simulated:2\"";
const GATE_WITHOUT_KEY: &str = "count = 8\n[[source]]\ngate = \"door\"\nurl = \"serial:/dev/ttyACM0\"";
const GATE_WITHOUT_CHIP: &str =
    "count = 8\n[[source]]\ngate = \"door\"\nurl = \"listen:127.0.0.1:81\"\nkey_file = \"k\"\nexit_line = 4";

#[test]
fn live_sensors_are_read_with_their_drivers() {
    let text = format!(
        "{GOOD}\n[[source]]\nplates = [\"1/5/10\"]\nurl = \"serial:/dev/ttyUSB0\"\ndriver = \"sics\"\n\
         parity = \"even\"\ncapacity_g = 6000\n\
         [[source]]\nplates = [\"1/5/11\"]\nurl = \"gpio:/dev/gpiochip0\"\ndriver = \"hx711\"\ndata_lines = [5]\n\
         clock_lines = [6]\ncounts_per_g = -412.5\n\
         [[source]]\ngate = \"door\"\nurl = \"listen:127.0.0.1:8481\"\nkey_file = \"issuer.pub\"\n\
         chip = \"/dev/gpiochip0\"\nlock_line = 17\nfire_line = 22\nopen_s = 3\n"
    );
    let store = StoreFile::parse(Path::new("/etc/s/store.toml"), &text).unwrap();
    let [serial, hx711, gate] = &store.live.sources[..] else { panic!("{:?}", store.live.sources) };
    let line = SerialLine { path: "/dev/ttyUSB0".into(), baud: 9600, parity: SerialParity::Even };
    let SourceDevice::Plates(scale) = &serial.device else { panic!("{serial:?}") };
    assert_eq!(scale.driver, ScaleDriver::Serial { line, protocol: LineProtocol::Sics });
    assert_eq!((scale.counts_per_g.as_slice(), scale.capacity_g), (&[1.0][..], 6000.0));
    let SourceDevice::Plates(scale) = &hx711.device else { panic!("{hx711:?}") };
    assert_eq!(scale.counts_per_g, [-412.5]);
    assert!(matches!(&scale.driver, ScaleDriver::TwoWire { lines, gain: 128, .. } if lines == &[(5, 6)]));
    let SourceDevice::Gate(gate) = &gate.device else { panic!("{gate:?}") };
    assert_eq!(gate.key_file.as_deref(), Some(Path::new("/etc/s/issuer.pub")));
    assert_eq!((&gate.opener, gate.fire_line, gate.exit_line), (&Some(Opener::Line(17)), Some(22), None));
}

#[test]
fn every_class_of_mistake_names_line_field_and_remedy() {
    // What stands in the good file, what it is replaced by, the field and a part of the message that must be told.
    let cases = [
        ("format = 1", "format = 2", "format", "this program reads format 1"),
        ("id = \"s\"", "id = \"a b\"", "store.id", "no white space"),
        ("id = \"s\"\n", "", "store.id", "is missing"),
        ("name = \"Shop\"", "name = \"\"", "store.name", "is empty"),
        ("name = \"Shop\"", "nmae = \"Shop\"", "store.nmae", "did you mean `name`?"),
        ("name = \"Shop\"", "name = \"Shop\"\nwifi = 1", "store.wifi", "is not a known key"),
        ("\"Europe/Berlin\"", "\"Berlin, Germany\"", "store.timezone", "not a time zone"),
        ("\"EUR\"", "\"Euro\"", "store.currency", "not a currency code"),
        ("[[0, 0], [6, 0], [6, 4], [0, 4]]", "[[0, 0], [6, 0], [3, 0]]", "store.floor", "encloses no area"),
        ("[[0, 0], [6, 0], [6, 4], [0, 4]]", "[[0, 0], [6, 0]]", "store.floor", "at least three"),
        ("[6, 4], [0, 4]]", "[nan, 4], [0, 4]]", "store.floor[3][1]", "not a finite number"),
        ("[6, 4], [0, 4]]", "[6, 4, 0], [0, 4]]", "store.floor[3]", "has 3 entries instead of 2"),
        ("kind = \"both\"", "kind = \"in\"", "gate[1].kind", "\"entry\", \"exit\" or \"both\""),
        ("[[2.0, 0.0], [3.0, 0.0]]", "[[2.0, 0.0], [2.0, 0.0]]", "gate[1].segment", "has no length"),
        ("[640, 360]", "[640, 0]", "camera[1].size_px", "pixels"),
        ("0.01, 0, 0, 0, 1]", "0.01, 0, 0, 0, inf]", "camera[1].homography[9]", "not a finite number"),
        (
            "[0.01, 0, 0, 0, 0.01, 0,",
            "[0.01, 0, 0, 0.01, 0, 0,",
            "camera[1].homography",
            "cannot be inverted",
        ),
        ("0, 0, 0, 1]", "0, 0, 0, 1]\nlens = {}", "camera[1].homography", "either homography, or lens"),
        (
            "homography = [0.01, 0, 0, 0, 0.01, 0, 0, 0, 1]",
            "",
            "camera[1].homography",
            "calibrate the camera",
        ),
        ("yaw_deg = 0", "yaw_deg = \"0\"", "gondola[1].yaw_deg", "is a string"),
        ("height_m = 1.2\n", "", "gondola[1].shelf[1].height_m", "is missing"),
        ("id = \"11\"", "id = \"10\"", "gondola[1].shelf[1].plates[2].id", "earlier plate"),
        ("id = \"11\"", "id = \"1/1\"", "gondola[1].shelf[1].plates[2].id", "parts gondola/shelf/plate"),
        (
            "size = [0.1, 0.4] },\n]",
            "size = [0.1, -0.4] },\n]",
            "gondola[1].shelf[1].plates[2].size",
            "above 0 m",
        ),
        (
            "sku = \"632565000012\"\nname",
            "sku = 632565000012\nname",
            "product[1].sku",
            "in quotes: \"632565000012\"",
        ),
        ("price = 199", "price = -1", "product[1].price", "not negative"),
        ("price = 199", "price = 1.99", "product[1].price", "minor units"),
        ("weight_g = 538.0", "weight_g = 0", "product[1].weight_g", "more than 0 g"),
        ("weight_g = 538.0", "weight_g = { mean = 1.0 }", "product[1].weight_g", "neither"),
        ("weight_g = 538.0", "weight_g = { mean = 1.0, sd = -1 }", "product[1].weight_g.sd", "not negative"),
        ("weight_g = 538.0", "weight_g = { samples = [] }", "product[1].weight_g.samples", "is empty"),
        ("weight_g = 538.0", "weight_g = { samples = [1, -2] }", "product[1].weight_g.samples[2]", "0 g"),
        ("\"1/5/11\"]", "\"1/5/12\"]", "facing[1].plates[2]", "no plate is called \"1/5/12\""),
        ("\"1/5/11\"]", "\"1/5/10\"]", "facing[1].plates", "twice"),
        ("plates = [\"1/5/10\", \"1/5/11\"]", "plates = []", "facing[1].plates", "is empty"),
        ("count = 8", "count = -8", "facing[1].count", "is -8"),
        ("[[facing]]\nsku = \"632565000012\"", "[[facing]]\nsku = \"1\"", "facing[1].sku", "no [[product]]"),
        ("[[facing]]", "[facing]", "facing", "double brackets"),
        ("count = 8", "count = 8\n[bus]\nurl = \"http://x\"", "bus.url", "mqtt://"),
        ("count = 8", "count = 8\n[bus]\nurl = \"mqtts://x\"", "bus.tls_dir", "keys and certificates"),
        ("count = 8", "count = 8\n[bus]\nurl = \"mqtt://me:word@x\"", "bus.url", "move secrets to a file"),
        ("count = 8", "count = 8\n[server]\nlisten = \"8080\"", "server.listen", "127.0.0.1:"),
        ("count = 8", "count = 8\n[policy]\nreview_below = 90", "policy.review_below", "from 0 to 1"),
        ("count = 8", "count = 8\n[detector]\nscore_min = nan", "detector.score_min", "finite"),
        ("count = 8", "count = 8\n[vision]\nmodel = \"x\"", "vision.gallery", "edge-agent enrol"),
        ("count = 8", "count = 8\n[vision]\ngallery = \"g\"\nmemory_mb = 0", "vision.memory_mb", "1 to 4096"),
        ("count = 8", "count = 8\n[[source]]\ncamera = \"c9\"\nurl = \"x\"", "source[1].camera", "no camera"),
        ("count = 8", "count = 8\n[[source]]\nurl = \"x\"", "source[1]", "what it feeds"),
        ("count = 8", SCALE_ELSEWHERE, "source[1].url", "serial:/dev/ttyUSB0, gpio:"),
        ("count = 8", SCALE_WITH_QUERY, "source[1].url", "baud = 9600"),
        ("count = 8", SCALE_WITHOUT_DRIVER, "source[1].driver", "driver = \"sics\""),
        ("count = 8", SCALE_OF_TWO, "source[1].plates", "only driver = \"csv\""),
        ("count = 8", SCALE_WITH_BAUD, "source[1].baud", "is not a known key"),
        ("count = 8", SCALE_WITHOUT_FACTOR, "source[1].counts_per_g", "how many counts one gram is"),
        ("count = 8", SCALE_WITH_ONE_LINE, "source[1].clock_lines", "has 1 entries for 2 plates"),
        ("count = 8", SCALE_WITH_LINE_TWICE, "source[1].data_lines", "uses a line twice"),
        ("count = 8", SCALE_TWICE, "source[2]", "an earlier source feeds"),
        ("count = 8", GATE_WITHOUT_KEY, "source[1].key_file", "edge-agent credential key"),
        ("count = 8", GATE_WITHOUT_CHIP, "source[1].exit_line", "chip = \"/dev/gpiochip0\""),
        ("count = 8", "count = = 8", "", "toml.io"),
    ];
    for (good, bad, field, told) in cases {
        assert!(GOOD.contains(good), "{good:?} is not in the file");
        let mistakes = mistakes_of(&GOOD.replacen(good, bad, 1));
        let found = mistakes.iter().find(|m| m.contains(&format!(": {field}")) && m.contains(told));
        assert!(found.is_some(), "{bad:?} should be told as {field}: ...{told}..., got {mistakes:#?}");
        assert!(mistakes.iter().all(|m| m.starts_with("store.toml:")), "no line in {mistakes:#?}");
    }
}

#[test]
fn the_line_is_the_line_of_the_field() {
    let text = GOOD.replace("price = 199", "price = -1").replace("count = 8", "count = -8");
    let mistakes = mistakes_of(&text);
    let line = |m: &str| m.split(':').nth(1).unwrap().parse::<usize>().unwrap();
    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
    assert_eq!(line(&mistakes[0]), line_of(&text, "price = -1"));
    assert_eq!(line(&mistakes[1]), line_of(&text, "count = -8"));
}

#[test]
fn a_missing_key_is_told_at_its_own_table() {
    let text = GOOD.replace("price = 199\n", "");
    let mistakes = mistakes_of(&text);
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    assert!(
        mistakes[0].starts_with(&format!("store.toml:{}:", line_of(&text, "[[product]]"))),
        "{mistakes:?}"
    );
}

#[test]
fn duplicates_are_told() {
    let gate = "[[gate]]\nid = \"door\"\nkind = \"both\"\nsegment = [[2.0, 0.0], [3.0, 0.0]]\n";
    let camera = "[[camera]]\nid = \"cam1\"\nsize_px = [1, 1]\nhomography = [1, 0, 0, 0, 1, 0, 0, 0, 1]\n";
    let gondola = "[[gondola]]\nid = \"1\"\norigin = [0, 0, 0]\nyaw_deg = 0\n";
    let product = "[[product]]\nsku = \"632565000012\"\nname = \"W\"\nprice = 1\nweight_g = 1\n";
    for (again, field) in [
        (gate, "gate[2].id"),
        (camera, "camera[2].id"),
        (gondola, "gondola[2].id"),
        (product, "product[2].sku"),
    ] {
        let mistakes = mistakes_of(&format!("{GOOD}\n{again}"));
        assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
        assert!(mistakes[0].contains(field), "{mistakes:#?}");
    }
}

#[test]
fn suspicious_is_not_wrong() {
    let text = GOOD.replace("632565000012", "632565000013");
    let store = StoreFile::parse(Path::new("store.toml"), &text).unwrap();
    assert_eq!(store.warnings.len(), 1);
    let warning = store.warnings[0].to_string();
    assert!(warning.contains("check digit would be 2"), "{warning}");
    // A code that is no GTIN is taken as it is.
    let text = GOOD.replace("632565000012", "fruit/7 #2");
    assert_eq!(StoreFile::parse(Path::new("store.toml"), &text).unwrap().warnings, []);
    let text = GOOD.replace("[[2.0, 0.0], [3.0, 0.0]]", "[[2.0, -9.0], [3.0, -9.0]]");
    let store = StoreFile::parse(Path::new("store.toml"), &text).unwrap();
    assert!(store.warnings[0].to_string().contains("9.0 m from the walkable floor"), "{:?}", store.warnings);
}

#[test]
fn few_samples_are_not_believed_to_agree() {
    let sd = |samples: &str| {
        let text = GOOD.replace("weight_g = 538.0", &format!("weight_g = {{ samples = {samples} }}"));
        StoreFile::parse(Path::new("store.toml"), &text).unwrap().layout.products[0].weight
    };
    let two = sd("[500.0, 500.0]");
    assert!((two.mean_g - 500.0).abs() < 1e-9 && two.sd_g > 3.0 && two.sd_g < 8.0, "{two:?}");
    let wide = sd("[480, 520, 490, 510, 500, 470, 530]");
    assert!(wide.sd_g > 15.0 && wide.sd_g < 30.0, "{wide:?}");
}

/// A recording in which one file is replaced.
fn recording(name: &str, text: &str) -> (tempfile::TempDir, Result<(), String>) {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    put("store.toml", GOOD);
    put("recording.toml", "format = 1\nstart = 2026-01-28T22:24:00Z\nduration_s = 40.0\n");
    put(name, text);
    let read = || {
        let r = Recording::open(dir.path()).map_err(|m| m.to_string())?;
        for sample in r.weights().map_err(|m| m.to_string())?.into_iter().flatten() {
            sample.map_err(|m| m.to_string())?;
        }
        for line in r.people().map_err(|m| m.to_string())?.into_iter().flatten() {
            line.map_err(|m| m.to_string())?;
        }
        r.gates().map_err(|m| m.to_string())?;
        r.views().map_err(|m| m.to_string())?;
        r.expected().map_err(|m| m.to_string())?;
        Ok(())
    };
    let result = read();
    (dir, result)
}

#[test]
fn every_file_of_a_recording_is_read_strictly() {
    let good_person = r#"{"foot": [1, 1], "cov": [0.01, 0, 0.01], "score": 0.9}"#;
    let people =
        |t: f64, person: &str| format!("{{\"t\": {t}, \"camera\": \"cam1\", \"people\": [{person}]}}\n");
    let two = format!("{}{}", people(1.0, good_person), people(0.9, good_person));
    let unknown = people(1.0, r#"{"box": [1, 2, 3, 4], "score": 0.9}"#).replace("cam1", "cam7");
    let cases: Vec<(&str, String, &str, &str)> = vec![
        ("recording.toml", "format = 1\nduration_s = 1".into(), "recording.toml", "start: is missing"),
        ("recording.toml", "format = 1\nstart = 2026-01-28T22:24:00\nduration_s = 1".into(), ":2:", "offset"),
        ("recording.toml", "format = 1\nstart = \"now\"\nduration_s = 1".into(), ":2:", "not in quotes"),
        ("recording.toml", "format = 1\nstart = 2026-01-28T22:24:00Z\nduration_s = 0".into(), ":3:", "above 0"),
        (
            "recording.toml",
            "format = 1\nstart = 2026-01-28T22:24:00Z\nduration_s = 9\n[[camera]]\nid = \"c\"\nfile = \"f\"\noffset_s = 0"
                .into(),
            ":5:",
            "no camera \"c\"",
        ),
        ("weights.csv", "time,1/5/10\n".into(), ":1", "not `t`"),
        ("weights.csv", "t,1/5/10,1/5/99\n0,1,2\n".into(), ":1: column 3", "no plate \"1/5/99\""),
        ("weights.csv", "t,1/5/10,1/5/10\n0,1,2\n".into(), ":1: column 3", "already"),
        ("weights.csv", "t,1/5/10\n0,1\n0.1,2\n0.05,1\n".into(), ":4: t", "backwards"),
        ("weights.csv", "t,1/5/10\n0,1\n0.1,heavy\n".into(), ":3: 1/5/10", "not a weight"),
        ("weights.csv", "t,1/5/10\n0,inf\n".into(), ":2: 1/5/10", "not a weight"),
        ("weights.csv", "t,1/5/10,1/5/11\n0,1,2\n0.1,5".into(), ":3", "has 2 fields"),
        ("weights.csv", "t,1/5/10\nnan,1\n".into(), ":2: t", "not a time"),
        ("people.jsonl", two, ":2: t", "backwards"),
        ("people.jsonl", unknown, ":1: people[1].box", "no camera of this id"),
        ("people.jsonl", people(1.0, good_person)[..40].to_owned(), ":1", "ends in the middle"),
        ("people.jsonl", people(1.0, r#"{"foot": [1, 1], "score": 0.9}"#), ":1: people[1].cov", "missing"),
        ("people.jsonl", people(1.0, r#"{"score": 0.9}"#), ":1: people[1].box", "either box or foot"),
        ("people.jsonl", people(1.0, r#"{"box": [1, 2, 3, -4], "score": 0.9}"#), "people[1].box", "width"),
        ("people.jsonl", people(1.0, r#"{"box": [1, 2, 3, 4], "score": 0.9, "name": 1}"#), ":1:", "name"),
        (
            "people.jsonl",
            people(1.0, r#"{"foot": [1, 1], "cov": [0.01, 0.02, 0.01], "score": 0.9}"#),
            ":1: people[1].cov",
            "covariance",
        ),
        ("gate.jsonl", r#"{"t": 1, "gate": "x", "event": "entry", "credential": "c"}"#.into(), ":1: gate", "no gate"),
        ("gate.jsonl", r#"{"t": 1, "gate": "door", "event": "entry"}"#.into(), ":1: credential", "missing"),
        ("gate.jsonl", r#"{"t": 1, "gate": "door", "event": "leave"}"#.into(), ":1:", "leave"),
        (
            "gate.jsonl",
            r#"{"t": 1, "gate": "door", "event": "entry", "credential": "c", "party": 0}"#.into(),
            ":1: party",
            "is 0",
        ),
        ("views.jsonl", r#"{"t": 1, "place": "1/6", "likelihood": {}}"#.into(), ":1: place", "no shelf"),
        ("views.jsonl", r#"{"t": 1, "place": "1/5", "likelihood": {"7": 1}}"#.into(), "likelihood.7", "no product"),
        (
            "views.jsonl",
            r#"{"t": 1, "place": "1/5", "likelihood": {"632565000012": -1}}"#.into(),
            "likelihood.632565000012",
            "negative",
        ),
        ("expected.json", "{\"receipts\": [\n{\"credential\": \"c\"}]}".into(), ":2:", "lines"),
        (
            "expected.json",
            "{\"receipts\": [{\"credential\": \"c\",\n \"lines\": [{\"sku\": \"1\", \"quantity\": 1}]}]}".into(),
            ":2: sku",
            "no product \"1\"",
        ),
        (
            "expected.json",
            "{\"receipts\": [{\"credential\": \"c\", \"lines\": [{\"sku\": \"1\", \"quantity\": 0}]}]}".into(),
            ":1:",
            "quantity is 0",
        ),
    ];
    for (name, text, place, told) in cases {
        let (dir, result) = recording(name, &text);
        let message = result.expect_err(&format!("{name} was taken: {text}"));
        let path = dir.path().join(name).display().to_string();
        assert!(message.contains(&path), "{name}: no file in {message}");
        assert!(message.contains(place) && message.contains(told), "{name} {text:?}: {message}");
    }
}

#[test]
fn optional_files_may_be_absent_and_faults_are_data() {
    let (_dir, result) = recording("weights.csv", "t,1/5/11\r\n0.0,\r\n0.1,nan\r\n0.1,12.5");
    assert_eq!(result, Ok(()));
    let (dir, _) = recording("weights.csv", "t,1/5/11,1/5/10\n0.5,,7\n1.0,nan,-3.5\n");
    let r = Recording::open(dir.path()).unwrap();
    let samples: Vec<_> = r.weights().unwrap().unwrap().map(Result::unwrap).collect();
    assert_eq!(samples[0].weights_g.len(), 1);
    assert_eq!(samples[0].time, r.manifest.time_at(0.5));
    assert!(samples[1].weights_g[0].1.is_nan());
    assert!(
        r.people().unwrap().is_none() && r.gates().unwrap().is_empty() && r.expected().unwrap().is_none()
    );
}

#[test]
fn a_floor_point_needs_no_calibrated_camera() {
    let line =
        r#"{"t": 1, "camera": "ceiling-9", "people": [{"foot": [1, 1], "cov": [1, 0, 1], "score": 1}]}"#;
    let (dir, result) = recording("people.jsonl", line);
    assert_eq!(result, Ok(()));
    let r = Recording::open(dir.path()).unwrap();
    let line = r.people().unwrap().unwrap().next().unwrap().unwrap();
    assert_eq!((line.camera.as_str(), line.index), ("ceiling-9", None));
}

#[test]
fn a_folder_that_is_none_is_told() {
    let missing = Recording::open("/no/such/recording").unwrap_err().to_string();
    assert!(missing.contains("is not a folder"), "{missing}");
    let dir = tempfile::tempdir().unwrap();
    let both = Recording::open(dir.path()).unwrap_err().to_string();
    assert!(both.contains("recording.toml") && both.contains("store.toml"), "{both}");
}

#[test]
fn a_calibration_worse_than_its_limit_is_refused_with_the_step_to_repeat() {
    let with = |quality: &str, limits: &str| {
        let camera = format!("homography = [0.01, 0, 0, 0, 0.01, 0, 0, 0, 1]\nquality = {quality}");
        let text = GOOD.replace("homography = [0.01, 0, 0, 0, 0.01, 0, 0, 0, 1]", &camera);
        text.replace("[store]", &format!("{limits}\n[store]"))
    };
    assert_eq!(mistakes_of(&with("{ floor_error_m = 0.05, points = 12 }", "")), Vec::<String>::new());
    let told = mistakes_of(&with("{ floor_error_m = 0.31, lens_rms_px = 2.5 }", "")).join("\n");
    assert!(
        told.contains("0.31 m, worse than the limit of 0.15 m") && told.contains("calibrate pose"),
        "{told}"
    );
    assert!(told.contains("2.5 px") && told.contains("calibrate lens"), "{told}");
    let raised = "[calibration]\nmax_floor_error_m = 0.5\n";
    assert_eq!(mistakes_of(&with("{ floor_error_m = 0.31 }", raised)), Vec::<String>::new());
    let told = mistakes_of(&with("{ floor_error_m = -1.0, sharpness = 3 }", "")).join("\n");
    assert!(told.contains("floor_error_m") && told.contains("sharpness"), "{told}");
    assert!(
        mistakes_of(&with("{ points = 4 }", "[calibration]\nmax_lens_rms_px = 0"))
            .join("")
            .contains("above 0")
    );
}

/// Two plates of one shelf, calibrated together.
const SHELF_CALIBRATION: &str = "\n[[shelf_calibration]]\nplates = [\"1/5/10\", \"1/5/11\"]\n\
     counts_per_g = [21.5, -20.0]\nshares = [[1.001, -0.02], [-0.03, 1.001]]\ntare_counts = [8000.0, 8100.0]\n\
     quality = { rms_g = 0.3 }\n";
const BOTH_PLATES: &str = "[[source]]\nplates = [\"1/5/10\", \"1/5/11\"]\nurl = \"bus:scale-1\"\n";

#[test]
fn a_shelf_s_calibration_gives_its_source_the_gains() {
    let text = format!("{GOOD}{SHELF_CALIBRATION}{BOTH_PLATES}");
    let store = StoreFile::parse(Path::new("store.toml"), &text).unwrap();
    let SourceDevice::Plates(scale) = &store.live.sources[0].device else { panic!() };
    assert_eq!(scale.counts_per_g, [21.5, -20.0]);
    assert_eq!(store.live.shelves[0].mixing.shares[1], [-0.03, 1.001]);
}

#[test]
fn a_bad_calibration_of_a_shelf_is_refused_with_the_step_to_repeat() {
    let whole = format!("{GOOD}{SHELF_CALIBRATION}{BOTH_PLATES}");
    for (good, bad, told) in [
        ("rms_g = 0.3", "rms_g = 2.5", "repeat `calibrate shelf`"),
        ("rms_g = 0.3", "rms_g = -1.0", "copy what calibrate wrote"),
        ("[21.5, -20.0]", "[21.5]", "one gain other than 0"),
        ("[21.5, -20.0]", "[21.5, 0.0]", "one gain other than 0"),
        ("[21.5, -20.0]", "[21.5, nan]", "finite"),
        ("[[1.001, -0.02], ", "[", "a row and a column of shares"),
        (
            "plates = [\"1/5/10\", \"1/5/11\"]\ncounts",
            "plates = [\"1/5/10\", \"1/5/77\"]\ncounts",
            "no plate is called",
        ),
        ("url = \"bus:scale-1\"", "url = \"bus:scale-1\"\ncounts_per_g = 4", "remove it"),
        ("[[source]]", "[calibration]\nmax_shelf_rms_g = 0.2\n[[source]]", "worse than the limit of 0.2 g"),
        ("[[source]]", "[calibration]\nmax_shelf_rms_g = 0\n[[source]]", "a limit is above 0"),
    ] {
        assert!(whole.contains(good), "{good}");
        let mistakes = mistakes_of(&whole.replacen(good, bad, 1));
        assert!(mistakes.iter().any(|m| m.contains(told)), "{bad}: {mistakes:#?}");
    }
    // A limit that somebody raised knowingly.
    let raised = whole.replacen("rms_g = 0.3", "rms_g = 2.5", 1) + "[calibration]\nmax_shelf_rms_g = 3.0\n";
    assert!(StoreFile::parse(Path::new("store.toml"), &raised).is_ok());
}
