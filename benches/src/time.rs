//! Timing a piece of work: several rounds, the median.

use std::time::Instant;

/// Nanoseconds per item: the median over rounds of a work that handles `items` each time.
pub fn median_ns(rounds: usize, items: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut samples: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e9 / items as f64
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
