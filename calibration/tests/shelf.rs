//! Simulated shelves: counts with noise, leaks, warmth, and wrong wiring.
#![allow(clippy::unwrap_used)]

use linefree_calibration::shelf::{Reading, ShelfError, fit, steps};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

const PLATES: usize = 8;

fn names() -> Vec<String> {
    (1..=PLATES).map(|i| format!("1/2/{i}")).collect()
}

fn gain(channel: usize) -> f64 {
    21.0 + 0.7 * (channel as f64) - 0.09 * (channel * channel) as f64
}

/// 3 % of a load is felt by the next plate, 2 % by the one before; counts of about 21 a gram.
fn leak(channel: usize, plate: usize) -> f64 {
    let share = match channel as i64 - plate as i64 {
        0 => 1.0,
        1 => 0.03,
        -1 => 0.02,
        _ => 0.0,
    };
    share * gain(channel)
}

/// A walk with two weights, at two temperatures; noise of 0.2 g.
fn walk(seed: u64) -> Vec<Reading> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = Normal::new(0.0, 0.2 * 21.0).unwrap();
    let mut readings = Vec::new();
    for temperature_c in [18.0, 25.0] {
        for (plate, load_g, _) in steps(&names(), &[500.0, 2000.0]) {
            let count = |channel: usize, rng: &mut ChaCha8Rng| {
                let felt = plate.map_or(0.0, |p| leak(channel, p) * load_g);
                8000.0 + 100.0 * channel as f64 + 12.0 * (temperature_c - 20.0) + felt + noise.sample(rng)
            };
            let counts = (0..PLATES).map(|c| count(c, &mut rng)).collect();
            readings.push(Reading { plate, load_g, temperature_c: Some(temperature_c), counts });
        }
    }
    readings
}

#[test]
fn gains_are_right_within_a_fifth_of_a_percent_under_cross_talk() {
    for seed in 0..10 {
        let found = fit(&names(), &walk(seed)).unwrap();
        for channel in 0..PLATES {
            let wrong = (found.leaks[(channel, channel)] / gain(channel) - 1.0).abs();
            assert!(wrong < 0.002, "seed {seed}, plate {channel}: gain {:.3} % wrong", wrong * 100.0);
        }
        assert!(found.rms_g < 0.5, "{}", found.rms_g);
        let drift = found.counts_a_degree.as_ref().unwrap();
        assert!(drift.iter().all(|d| (d - 12.0).abs() < 1.0), "{drift:?}");
        // Two plates loaded at once at another temperature, which no reading showed.
        let counts: Vec<f64> = (0..PLATES)
            .map(|c| 8000.0 + 100.0 * c as f64 + 12.0 * 10.0 + leak(c, 3) * 1234.0 + leak(c, 4) * 321.0)
            .collect();
        let grams = found.grams(&counts, Some(30.0)).unwrap();
        assert!((grams[3] - 1234.0).abs() < 3.0 && (grams[4] - 321.0).abs() < 3.0, "{grams:?}");
        assert!(grams[2].abs() < 3.0 && grams[5].abs() < 3.0, "{grams:?}");
    }
}

#[test]
fn wrong_wiring_is_named() {
    let told = |change: &dyn Fn(&mut Vec<f64>)| {
        let mut readings = walk(1);
        for r in &mut readings {
            change(&mut r.counts);
        }
        match fit(&names(), &readings) {
            Err(ShelfError::Wiring(faults)) => faults.join("\n"),
            other => panic!("{other:?}"),
        }
    };
    let swapped = told(&|c| c.swap(2, 5));
    assert_eq!(swapped, "plates 1/2/3 and 1/2/6 are swapped: exchange their cables");
    let dead = told(&|c| c[4] = 8123.0);
    assert!(dead.starts_with("plate 1/2/5 is dead") && dead.lines().count() == 1, "{dead}");
    let backwards = told(&|c| c[0] = 16_000.0 - c[0]);
    assert!(backwards.starts_with("plate 1/2/1 counts backwards"), "{backwards}");
    let turned = told(&|c| c[1..4].rotate_left(1));
    assert_eq!(turned.lines().filter(|l| l.contains("is wired to channel")).count(), 3, "{turned}");
}

#[test]
fn a_walk_that_tells_too_little_is_refused() {
    let all = walk(1);
    let loaded: Vec<Reading> = all.iter().filter(|r| r.plate.is_some()).cloned().collect();
    assert_eq!(fit(&names(), &loaded), Err(ShelfError::NeverEmpty));
    let skipped: Vec<Reading> = all.iter().filter(|r| r.plate != Some(3)).cloned().collect();
    assert_eq!(fit(&names(), &skipped), Err(ShelfError::NeverLoaded("1/2/4".into())));
    let mut broken = all.clone();
    broken[7].counts[2] = f64::NAN;
    assert!(
        fit(&names(), &broken).unwrap_err().to_string().contains("reading 8: channel 1/2/3 is no number")
    );
    let cold: Vec<Reading> = all[..all.len() / 2].to_vec();
    assert!(fit(&names(), &cold).unwrap().warnings.iter().any(|w| w.contains("temperature")));
    assert!(fit(&names(), &[]).is_err());
}

/// From the walk's file to a store.toml that the agent takes, and to weights without cross-talk.
#[test]
fn the_table_that_is_written_is_one_that_the_agent_uses() {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = format!("plate,load_g,temperature_c,{}\n", names().join(","));
    for r in walk(1) {
        let plate = r.plate.map_or("-".to_owned(), |p| names()[p].clone());
        let counts: Vec<String> = r.counts.iter().map(|c| format!("{c:.0}")).collect();
        csv += &format!("{plate},{},{},{}\n", r.load_g, r.temperature_c.unwrap(), counts.join(","));
    }
    std::fs::write(folder.path().join("walk.csv"), csv).unwrap();
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_calibrate"))
        .args(["shelf", "--walk", "walk.csv", "--out", "shelf.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let table = std::fs::read_to_string(folder.path().join("shelf.toml")).unwrap();
    let plate = |i: usize| format!("{{ id = \"{}\", offset = [{}.0, 0.0], size = [0.9, 0.4] }}", i + 1, i);
    let plates: Vec<String> = (0..PLATES).map(plate).collect();
    let store = format!(
        "format = 1\n[store]\nid = \"s\"\nname = \"s\"\ntimezone = \"UTC\"\ncurrency = \"EUR\"\n\
         floor = [[0, 0], [9, 0], [9, 4]]\n[[gondola]]\nid = \"1\"\norigin = [0, 3, 0]\nyaw_deg = 0\n\
         [[gondola.shelf]]\nid = \"2\"\nheight_m = 1\nplates = [{}]\n{table}\
         [[source]]\nplates = {:?}\nurl = \"bus:scale-1\"\n",
        plates.join(", "),
        names()
    );
    let read = linefree_recording::StoreFile::parse(std::path::Path::new("store.toml"), &store).unwrap();
    let linefree_recording::SourceDevice::Plates(scale) = &read.live.sources[0].device else { panic!() };
    let mut filter = linefree_domain::shelf::CrosstalkFilter::new(
        read.live.shelves.iter().map(|s| s.mixing.clone()).collect(),
    );
    // Grams as the scale's driver makes them: counts by the channel's own gain, nothing zeroed.
    let mut weigh = |load_g: f64| -> Vec<f64> {
        let counts = (0..PLATES).map(|c| 8000.0 + 100.0 * c as f64 + leak(c, 3) * load_g);
        let weights_g =
            scale.plates.iter().zip(counts.zip(&scale.counts_per_g)).map(|(p, (c, g))| (*p, c / g));
        let time = linefree_domain::time::StoreTime::from_micros(0);
        let sample = linefree_domain::shelf::WeightSample { time, weights_g: weights_g.collect() };
        filter.apply(sample).weights_g.iter().map(|(_, g)| *g).collect()
    };
    let (empty, loaded) = (weigh(0.0), weigh(800.0));
    for plate in 0..PLATES {
        let change = loaded[plate] - empty[plate];
        let wanted = if plate == 3 { 800.0 } else { 0.0 };
        // Uncorrected, neighbours would show 16 and 24 g.
        assert!((change - wanted).abs() < 1.6, "plate {plate}: {change}");
    }
}
