//! What can be measured of shelf signals, the same way for real and simulated ones.

use std::fmt::Write;

use super::Signals;

/// Away from handling by so much, shelves are quiet, seconds.
const QUIET_AFTER_S: f64 = 4.0;
const QUIET_BEFORE_S: f64 = 1.5;

/// Figures of one recording; lists are over shelves or handlings, sorted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Noise of quiet seconds, grams rms.
    pub quiet_g: Vec<f64>,
    /// How far means of half a second are from the second's level, when quiet, grams.
    pub settled_g: Vec<f64>,
    /// Lowest reading of each handling against the level before, grams.
    pub lowest_g: Vec<f64>,
    /// Highest.
    pub highest_g: Vec<f64>,
    /// Shaking of the other shelves meanwhile, grams rms.
    pub shake_g: Vec<f64>,
    /// How often it swings, hertz.
    pub shake_hz: Vec<f64>,
    /// Lasting shift of the other shelves, grams.
    pub shift_g: Vec<f64>,
    /// From the end of handling until the level holds within 5 g for a second, seconds.
    pub settling_s: Vec<f64>,
    /// Measured change against the labelled one, grams.
    pub off_g: Vec<f64>,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn rms_about_mean(values: &[f64]) -> f64 {
    let m = mean(values);
    (values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Signals {
    fn part(&self, shelf: usize, from_s: f64, to_s: f64) -> &[f64] {
        let at = |t: f64| self.times_s.partition_point(|x| *x < t);
        let (a, b) = (at(from_s), at(to_s));
        &self.shelves_g[shelf][a..b.max(a)]
    }

    /// Is anything handled between these moments, seconds?
    fn busy(&self, from_s: f64, to_s: f64) -> bool {
        self.handled.iter().any(|h| h.1 < to_s && h.2 > from_s)
    }
}

impl Figures {
    /// Measures a recording.
    #[must_use]
    pub fn of(signals: &Signals) -> Self {
        let mut f = Self::default();
        let end_s = signals.times_s.last().copied().unwrap_or(0.0);
        for second in 0..end_s.floor() as u32 {
            let (from, to) = (f64::from(second), f64::from(second) + 1.0);
            if signals.busy(from - QUIET_AFTER_S, to + QUIET_BEFORE_S) {
                continue;
            }
            for shelf in 0..signals.shelves_g.len() {
                let whole = signals.part(shelf, from, to);
                f.quiet_g.push(rms_about_mean(whole));
                let half = signals.part(shelf, from, from + 0.5);
                f.settled_g.push((mean(half) - mean(whole)).abs());
            }
        }
        for (shelf, from, to, delta_g) in &signals.handled {
            let before = median(signals.part(*shelf, from - 1.0, *from));
            let during = signals.part(*shelf, *from, *to);
            f.lowest_g.push(during.iter().fold(f64::MAX, |a, b| a.min(*b)) - before);
            f.highest_g.push(during.iter().fold(f64::MIN, |a, b| a.max(*b)) - before);
            let next_s = signals
                .handled
                .iter()
                .filter(|h| h.0 == *shelf && h.1 > *from)
                .map(|h| h.1)
                .fold(end_s, f64::min);
            let after = signals.part(*shelf, (to + 0.5).min(next_s - 0.5), (to + 3.0).min(next_s));
            f.off_g.push((median(after) - before - delta_g).abs());
            let level = median(after);
            let mut settled_s = f64::NAN;
            for tenth in 0..40 {
                let t = to - 1.0 + 0.1 * f64::from(tenth);
                let part = signals.part(*shelf, t, t + 1.0);
                if t + 1.0 < next_s
                    && !part.is_empty()
                    && (mean(part) - level).abs() < 5.0
                    && rms_about_mean(part) < 12.0
                {
                    settled_s = t - to;
                    break;
                }
            }
            if settled_s.is_finite() {
                f.settling_s.push(settled_s);
            }
            for other in (0..signals.shelves_g.len()).filter(|o| o != shelf) {
                let own = signals.handled.iter().any(|h| h.0 == other && h.1 < to + 1.5 && h.2 > from - 1.5);
                if own {
                    continue;
                }
                let shaken = signals.part(other, *from, *to);
                f.shake_g.push(rms_about_mean(shaken));
                let middle = mean(shaken);
                let crossings = shaken.windows(2).filter(|w| (w[0] > middle) != (w[1] > middle)).count();
                f.shake_hz.push(crossings as f64 / 2.0 / (to - from));
                let (a, b) =
                    (signals.part(other, from - 1.5, from - 0.5), signals.part(other, to + 0.5, to + 1.5));
                f.shift_g.push((median(b) - median(a)).abs());
            }
        }
        for list in f.lists() {
            list.sort_by(f64::total_cmp);
        }
        f
    }

    fn lists(&mut self) -> [&mut Vec<f64>; 9] {
        [
            &mut self.quiet_g,
            &mut self.settled_g,
            &mut self.lowest_g,
            &mut self.highest_g,
            &mut self.shake_g,
            &mut self.shake_hz,
            &mut self.shift_g,
            &mut self.settling_s,
            &mut self.off_g,
        ]
    }
}

/// What a detector found of what is labelled.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detection {
    /// Labelled handlings.
    pub labelled: usize,
    /// Found with a change within 5 % and 10 g.
    pub found: usize,
    /// Of these, told as one with the next, which followed within a second.
    pub joined: usize,
    /// Found changes that no label explains.
    pub extra: usize,
    /// How far changes are off, grams.
    pub off_g: Vec<f64>,
    /// From the end of handling to the event, seconds.
    pub delay_s: Vec<f64>,
}

impl Detection {
    /// Matches changes (shelf, from, to, grams) with labels.
    #[must_use]
    pub fn of(labelled: &[(usize, f64, f64, f64)], found: &[(usize, f64, f64, f64)]) -> Self {
        let mut d = Self { labelled: labelled.len(), ..Self::default() };
        let mut used = vec![false; found.len()];
        let mut missed: Vec<(usize, f64, f64, f64)> = Vec::new();
        for label in labelled {
            let (shelf, from, to, delta_g) = label;
            let fits = |f: &(usize, f64, f64, f64)| {
                f.0 == *shelf
                    && f.1 < to + 2.0
                    && f.2 > *from
                    && (f.3 - delta_g).abs() < 10.0 + 0.05 * delta_g.abs()
            };
            let best = (0..found.len())
                .filter(|i| !used[*i] && fits(&found[*i]))
                .min_by(|a, b| (found[*a].3 - delta_g).abs().total_cmp(&(found[*b].3 - delta_g).abs()));
            if let Some(i) = best {
                used[i] = true;
                d.found += 1;
                d.off_g.push((found[i].3 - delta_g).abs());
                d.delay_s.push(found[i].2 - to);
            } else {
                missed.push(*label);
            }
        }
        // Two in a row that left no level between them are one change.
        for (i, a) in missed.iter().enumerate() {
            let next = missed[i + 1..].iter().find(|b| b.0 == a.0 && (b.1 - a.2).abs() < 1.0);
            let Some(b) = next else { continue };
            let both = a.3 + b.3;
            let fits = |f: &(usize, f64, f64, f64)| {
                f.0 == a.0 && f.1 < b.2 + 2.0 && f.2 > a.1 && (f.3 - both).abs() < 10.0 + 0.05 * both.abs()
            };
            if let Some(i) = (0..found.len()).find(|i| !used[*i] && fits(&found[*i])) {
                used[i] = true;
                d.found += 2;
                d.joined += 2;
                d.off_g.push((found[i].3 - both).abs());
                d.delay_s.push(found[i].2 - b.2);
            }
        }
        d.extra = used.iter().filter(|u| !**u).count();
        d.off_g.sort_by(f64::total_cmp);
        d.delay_s.sort_by(f64::total_cmp);
        d
    }
}

/// Least, median and most of a sorted list.
fn spread(values: &[f64], digits: usize) -> String {
    match (values.first(), values.last()) {
        (Some(a), Some(b)) => format!("{a:.digits$} / {:.digits$} / {b:.digits$}", median(values)),
        _ => "-".to_owned(),
    }
}

/// Both tables in Markdown.
#[must_use]
pub fn table(
    real: &Figures,
    simulated: &[Figures],
    found: &Detection,
    found_simulated: &[Detection],
) -> String {
    let mut all = Figures::default();
    for f in simulated {
        let mut f = f.clone();
        for (list, more) in all.lists().into_iter().zip(f.lists()) {
            list.append(more);
        }
    }
    for list in all.lists() {
        list.sort_by(f64::total_cmp);
    }
    let mut out = String::from("| least / median / most | real | simulated |\n| --- | --- | --- |\n");
    type Pick = fn(&Figures) -> &Vec<f64>;
    let rows: [(&str, Pick, usize); 9] = [
        ("quiet noise of a shelf, g rms", |f| &f.quiet_g, 1),
        ("half a second's mean against the second's, quiet, g", |f| &f.settled_g, 2),
        ("lowest reading while handled, g", |f| &f.lowest_g, 0),
        ("highest reading while handled, g", |f| &f.highest_g, 0),
        ("other shelves' shaking meanwhile, g rms", |f| &f.shake_g, 1),
        ("how often they swing, Hz", |f| &f.shake_hz, 1),
        ("other shelves' lasting shift, g", |f| &f.shift_g, 1),
        ("from the hand's going to a steady level, s", |f| &f.settling_s, 1),
        ("level change against the labelled one, g", |f| &f.off_g, 1),
    ];
    for (name, pick, digits) in rows {
        let _ = writeln!(out, "| {name} | {} | {} |", spread(pick(real), digits), spread(pick(&all), digits));
    }
    let mut sum = Detection::default();
    for d in found_simulated {
        sum.labelled += d.labelled;
        sum.found += d.found;
        sum.joined += d.joined;
        sum.extra += d.extra;
        sum.off_g.extend(&d.off_g);
        sum.delay_s.extend(&d.delay_s);
    }
    sum.off_g.sort_by(f64::total_cmp);
    sum.delay_s.sort_by(f64::total_cmp);
    let _ = writeln!(
        out,
        "\n| our shelf detector | on the real recording | on the simulated ones |\n| --- | --- | --- |"
    );
    let count = |d: &Detection| format!("{} of {}", d.found, d.labelled);
    let _ = writeln!(out, "| handlings found | {} | {} |", count(found), count(&sum));
    let _ = writeln!(out, "| two within a second told as one change | {} | {} |", found.joined, sum.joined);
    let _ = writeln!(out, "| changes found that are none | {} | {} |", found.extra, sum.extra);
    let _ = writeln!(out, "| change off by, g | {} | {} |", spread(&found.off_g, 1), spread(&sum.off_g, 1));
    let _ = writeln!(
        out,
        "| told after the hand's going, s | {} | {} |",
        spread(&found.delay_s, 1),
        spread(&sum.delay_s, 1)
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detections_are_matched_with_labels() {
        let labelled = [(0, 10.0, 13.0, -400.0), (1, 20.0, 23.0, 300.0), (0, 30.0, 32.0, 100.0)];
        let found = [(0, 10.5, 14.0, -398.0), (1, 20.0, 23.5, 200.0), (2, 40.0, 41.0, 9.0)];
        let d = Detection::of(&labelled, &found);
        assert_eq!((d.labelled, d.found, d.extra), (3, 1, 2));
        assert!((d.off_g[0] - 2.0).abs() < 1e-9 && (d.delay_s[0] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_quiet_shelf_is_measured_as_such() {
        let times_s: Vec<f64> = (0..1200).map(|i| f64::from(i) / 60.0).collect();
        let wave: Vec<f64> = (0..1200).map(|i| if i % 2 == 0 { 2.0 } else { -2.0 }).collect();
        let f = Figures::of(&Signals { times_s, shelves_g: vec![wave], handled: Vec::new() });
        assert!((f.quiet_g[0] - 2.0).abs() < 1e-9 && f.settled_g[0] < 0.1, "{f:?}");
        assert!(f.shake_g.is_empty());
    }
}
