//! The command `simulator robots`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use linefree_domain::fulfilment::dispatch::Choice;

use super::report;
use super::roads::Rules;
use super::run::{Outcome, Setting};

/// Fleets of the curve.
const FLEETS: [usize; 7] = [10, 20, 30, 40, 60, 80, 100];
/// Orders an hour for each robot, on the curve: the promise's, and less.
const LOADS: [f64; 3] = [10.0, 15.0, 20.0];

/// Options of `robots`.
#[derive(Debug, Args)]
pub struct RobotsArgs {
    /// Simulated hours of each row, in stretches of up to 20 that begin anew
    #[arg(long, default_value_t = 20)]
    hours: u32,
    /// Decides demand, shoppers and faults, the same for every choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many robots; there is a hall of the store for every ten of them
    #[arg(long, default_value_t = 10)]
    robots: usize,
    /// Orders in an hour, several with commas between [default: 20 for each robot]
    #[arg(long, value_delimiter = ',')]
    orders: Vec<f64>,
    /// Shoppers in the store [default: 6 for each robot]
    #[arg(long)]
    shoppers: Option<usize>,
    /// Members of staff who take over orders that robots would bring too late
    #[arg(long, default_value_t = 1)]
    staff: usize,
    /// Instead: fleets from 10 to 100 robots, without staff, with store, shoppers and orders in proportion
    #[arg(long, conflicts_with_all = ["robots", "orders", "shoppers", "staff"])]
    curve: bool,
    /// Where the curve is drawn
    #[arg(long, value_name = "FILE", default_value = "docs/images/robots.svg")]
    out: PathBuf,
    /// Stretches at once [default: all cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl RobotsArgs {
    fn rows(&self) -> anyhow::Result<Vec<Setting>> {
        ensure!((1..=200).contains(&self.robots), "--robots takes 1 to 200");
        ensure!((1..=1_000_000).contains(&self.hours), "--hours takes 1 to 1000000");
        ensure!(
            self.orders.iter().all(|o| *o > 0.0 && *o <= 100_000.0),
            "--orders takes 1 to 100000 an hour"
        );
        ensure!(self.shoppers.unwrap_or(0) <= 50_000, "--shoppers takes 0 to 50000");
        let base = Setting {
            robots: self.robots,
            shoppers: self.shoppers.unwrap_or(self.robots * 6),
            orders_per_hour: self.robots as f64 * 20.0,
            hours: self.hours,
            seed: self.seed,
            choice: Choice::LeastSlack,
            staff: self.staff,
            rules: Rules::Kept,
        };
        if self.curve {
            let of = |load: f64, robots: usize| Setting {
                robots,
                shoppers: robots * 6,
                orders_per_hour: robots as f64 * load,
                staff: 0,
                ..base
            };
            return Ok(LOADS.iter().flat_map(|load| FLEETS.map(|robots| of(*load, robots))).collect());
        }
        let orders = if self.orders.is_empty() { vec![base.orders_per_hour] } else { self.orders.clone() };
        let choices = [Choice::LeastSlack, Choice::FirstCome, Choice::NearestFirst];
        let of = |orders_per_hour: f64| choices.map(|choice| Setting { orders_per_hour, choice, ..base });
        Ok(orders.into_iter().flat_map(of).collect())
    }
}

/// Simulates robots and prints how many orders were in time, as a Markdown table.
///
/// # Errors
/// When two robots met, somebody was stuck for ever, or, but on the curve, which overloads fleets on purpose, an order
/// was never handed over; the table is printed before.
pub fn robots(args: &RobotsArgs) -> anyhow::Result<()> {
    let rows = args.rows()?;
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    // indicatif draws on stderr and hides itself where that is no terminal.
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} robot hours, {eta} to go")?;
    let length = rows.iter().map(|r| u64::from(r.hours) * r.robots as u64).sum();
    let bar = ProgressBar::new(length).with_style(style);
    let mut screen = io::stdout().lock();
    write!(screen, "{}", report::head())?;
    let mut done: Vec<(Setting, Outcome)> = Vec::new();
    for row in rows {
        let outcome = report::stretch(row, jobs, &bar)?;
        bar.suspend(|| write!(screen, "{}", report::row(&row, &outcome)))?;
        screen.flush()?;
        done.push((row, outcome));
    }
    bar.finish_and_clear();
    let unsafe_moments: u64 = done.iter().map(|(_, o)| o.collisions + o.deadlocks).sum();
    let lost: u64 = done.iter().map(|(_, o)| o.lost).sum();
    ensure!(unsafe_moments == 0, "robots met or were stuck for ever; see the table");
    if args.curve {
        super::curve::write(&args.out, &done)?;
        writeln!(screen, "\ndrawn: {}", args.out.display())?;
    } else {
        ensure!(lost == 0, "{lost} orders were not handed over within four hours of the end; see the table");
    }
    Ok(())
}
