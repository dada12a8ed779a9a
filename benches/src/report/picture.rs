//! The picture: what a packet costs by the number of flows and by the burst.

use std::collections::BTreeSet;
use std::path::Path;

use plotters::prelude::*;
use serde_json::{Value, json};

use crate::measure::Cost;

/// What a packet costs with so many flows and in such bursts.
#[derive(Clone, Debug)]
pub struct Point {
    /// Established flows, of which packets are drawn.
    pub flows: u32,
    /// Packets handed over at once.
    pub burst: usize,
    /// The cost.
    pub cost: Cost,
}

impl Point {
    pub(super) fn json(&self) -> Value {
        json!({ "flows": self.flows, "burst": self.burst, "ns": self.cost.ns, "samples": self.cost.samples })
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
/// A curve: its name, and where it goes.
type Curve = (String, Vec<(f64, f64)>);

/// Draws two panels: by the number of flows with a curve for each burst, and the other way round.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(points: &[Point], path: &Path) -> Outcome {
    if points.is_empty() {
        return Ok(());
    }
    let root = SVGBackend::new(path, (1280, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let root =
        root.titled("Cost of a packet: established NAT connections, TCP over IPv4, 64 bytes", ("sans-serif", 22))?;
    let (left, right) = root.split_horizontally(640);
    let flows: BTreeSet<u32> = points.iter().map(|point| point.flows).collect();
    let bursts: BTreeSet<usize> = points.iter().map(|point| point.burst).collect();
    let by_burst: Vec<Curve> = bursts
        .iter()
        .map(|&burst| {
            let curve = points.iter().filter(|point| point.burst == burst);
            (format!("burst {burst}"), curve.map(|point| (f64::from(point.flows), point.cost.ns)).collect())
        })
        .collect();
    let by_flows: Vec<Curve> = flows
        .iter()
        .map(|&flows| {
            let curve = points.iter().filter(|point| point.flows == flows);
            (count(f64::from(flows)) + " flows", curve.map(|point| (point.burst as f64, point.cost.ns)).collect())
        })
        .collect();
    panel(&left, ("flows", 10.0), SeriesLabelPosition::UpperLeft, &by_burst)?;
    panel(&right, ("packets in a burst", 2.0), SeriesLabelPosition::UpperRight, &by_flows)?;
    root.present()?;
    Ok(())
}

/// One panel: what is told along the bottom, in steps of how many times more, and where the names of the curves stand.
fn panel(area: &Area<'_>, (what, step): (&str, f64), names: SeriesLabelPosition, curves: &[Curve]) -> Outcome {
    let all = || curves.iter().flat_map(|(_, curve)| curve);
    let right = all().map(|&(x, _)| x).fold(2.0, f64::max);
    let top = all().map(|&(_, y)| y).fold(10.0, f64::max) * 1.2;
    let bottom = all().map(|&(_, y)| y.max(1.0)).fold(top / 2.0, f64::min) * 0.6;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d((1.0..right).log_scale().base(step), (bottom..top).log_scale().base(2.0))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(what)
        .y_desc("ns per packet")
        .y_labels(8)
        .x_label_formatter(&|x| count(*x))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (n, (name, curve)) in curves.iter().enumerate() {
        let color = HSLColor(n as f64 / curves.len() as f64 * 0.8, 0.7, 0.42);
        let line = LineSeries::new(curve.iter().copied(), color.stroke_width(2)).point_size(2);
        chart.draw_series(line)?.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart
        .configure_series_labels()
        .position(names)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

fn count(n: f64) -> String {
    match n {
        n if n >= 1e6 => format!("{:.0}M", n / 1e6),
        n if n >= 1e3 => format!("{:.0}k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_every_curve() {
        let point = |flows, burst| Point { flows, burst, cost: Cost { ns: 30.0, samples: Vec::new() } };
        let points = [(1, 1), (1, 64), (1_000_000, 1), (1_000_000, 64)].map(|(flows, burst)| point(flows, burst));
        let path = std::env::temp_dir().join(format!("cost-{}.svg", std::process::id()));
        draw(&points, &path).expect("written");
        let text = std::fs::read_to_string(&path).expect("it is there");
        std::fs::remove_file(&path).expect("it is there");
        for word in ["burst 1", "burst 64", "1 flows", "1M flows", "ns per packet"] {
            assert!(text.contains(word), "{word}");
        }
    }
}
