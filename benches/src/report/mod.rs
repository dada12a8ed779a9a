//! What comes out: rows, in a table for people and in a file for machines, and a picture.

mod picture;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::machine;
use crate::measure::Cost;
use crate::references::Missing;

pub use picture::{Point, draw};

/// One line of the table: the library, what it is compared with, and how far apart they may be.
#[derive(Clone, Debug)]
pub struct Row {
    /// The target's name, or nothing.
    pub target: &'static str,
    /// What is measured.
    pub case: String,
    /// The library's figure.
    pub library: Figure,
    /// The figure to compare it with, if it is compared.
    pub reference: Reference,
    /// What is to be reached.
    pub limit: Limit,
    /// Established flows.
    pub flows: u64,
    /// Packets handed over at once.
    pub burst: usize,
    /// The share of packets that belong to a connection.
    pub hits: f64,
}

/// A figure with its unit.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The median.
    pub value: f64,
    /// Such as `ns`.
    pub unit: &'static str,
    /// What the median is of.
    pub samples: Vec<f64>,
}

impl From<&Cost> for Figure {
    fn from(cost: &Cost) -> Self {
        Self { value: cost.ns, unit: "ns", samples: cost.samples.clone() }
    }
}

impl Figure {
    /// One that was counted, or taken from the samples of another.
    #[must_use]
    pub const fn counted(value: f64, unit: &'static str) -> Self {
        Self { value, unit, samples: Vec::new() }
    }
}

/// What a row is compared with.
#[derive(Clone, Debug)]
pub enum Reference {
    /// Nothing.
    None,
    /// This.
    Is(String, Figure),
    /// Something that is not to be had here.
    Missing(String, Missing),
}

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Nothing: the row is there to be looked at.
    None,
    /// At most so many times the reference.
    Ratio(f64),
    /// At most so much.
    Value(f64),
}

impl Row {
    /// A row without target and reference.
    #[must_use]
    pub fn new(case: impl Into<String>, library: impl Into<Figure>) -> Self {
        Self {
            target: "",
            case: case.into(),
            library: library.into(),
            reference: Reference::None,
            limit: Limit::None,
            flows: 0,
            burst: 1,
            hits: 1.0,
        }
    }

    /// The same compared with something.
    #[must_use]
    pub fn against(self, name: impl Into<String>, reference: impl Into<Figure>) -> Self {
        Self { reference: Reference::Is(name.into(), reference.into()), ..self }
    }

    /// The same without what it would be compared with.
    #[must_use]
    pub fn missing(self, name: impl Into<String>, missing: Missing) -> Self {
        Self { reference: Reference::Missing(name.into(), missing), ..self }
    }

    /// The same with a target.
    #[must_use]
    pub fn target(self, target: &'static str, limit: Limit) -> Self {
        Self { target, limit, ..self }
    }

    /// The same with what it was measured with.
    #[must_use]
    pub fn with(self, flows: u32, burst: usize, hits: f64) -> Self {
        Self { flows: u64::from(flows), burst, hits, ..self }
    }

    /// The library's figure over the reference's.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        match &self.reference {
            Reference::Is(_, reference) => Some(self.library.value / reference.value),
            _ => None,
        }
    }

    /// Whether the target is met; `None` without one, or without its reference. To two digits, as it is printed.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        match self.limit {
            Limit::None => None,
            Limit::Ratio(limit) => self.ratio().map(|ratio| (ratio * 100.0).round() <= (limit * 100.0).round()),
            Limit::Value(limit) => Some(self.library.value <= limit),
        }
    }

    fn json(&self) -> Value {
        let figure = |figure: &Figure| json!({ "value": figure.value, "unit": figure.unit, "samples": figure.samples });
        json!({
            "target": self.target,
            "case": self.case,
            "flows": self.flows,
            "burst": self.burst,
            "hits": self.hits,
            "library": figure(&self.library),
            "reference": match &self.reference {
                Reference::None => Value::Null,
                Reference::Is(name, value) => json!({ "name": name, "figure": figure(value) }),
                Reference::Missing(name, Missing(what)) => json!({ "name": name, "missing": what }),
            },
            "ratio": self.ratio(),
            "limit": match self.limit {
                Limit::None => Value::Null,
                Limit::Ratio(limit) => json!({ "ratio": limit }),
                Limit::Value(limit) => json!({ "value": limit }),
            },
            "met": self.is_met(),
        })
    }
}

/// Everything of one run.
#[derive(Debug)]
pub struct Report {
    /// In the order of the table.
    pub rows: Vec<Row>,
    /// For the picture.
    pub points: Vec<Point>,
    quick: bool,
    load: String,
    stolen: (f64, f64),
}

impl Report {
    /// Begins one.
    #[must_use]
    pub fn new(quick: bool) -> Self {
        let (load, stolen) = (machine::load(), machine::stolen_share());
        Self { rows: Vec::new(), points: Vec::new(), quick, load, stolen }
    }

    /// Takes a row, and tells on standard error that there is one: a run takes minutes.
    pub fn add(&mut self, row: Row) {
        eprintln!("{:4}{}: {:.1} {}", row.target, row.case, row.library.value, row.library.unit);
        self.rows.push(row);
    }

    /// Prints the table, and writes the rest into a folder.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn finish(&self, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let (all, stolen) = machine::stolen_share();
        let stolen = 100.0 * (stolen - self.stolen.1) / (all - self.stolen.0).max(1.0);
        let machine = machine::describe();
        let run = json!({
            "quick": self.quick,
            "load_before": self.load,
            "load_after": machine::load(),
            "stolen_percent": stolen,
        });
        print!("{}", table::table(&self.rows));
        println!();
        println!(
            "processor {}, {} cores, {}",
            text(&machine["processor"]),
            machine["cores"],
            text(&machine["compiler"])
        );
        println!(
            "load before {}, after {}; {stolen:.1} % of the cores' time stolen by the host",
            self.load,
            machine::load()
        );
        if self.quick {
            println!("a quick run: smaller tables and fewer rounds, good for a first look only");
        }
        let points: Vec<Value> = self.points.iter().map(Point::json).collect();
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let whole = json!({ "machine": machine, "run": run, "rows": rows, "picture": points });
        let (file, picture) = (folder.join("results.json"), folder.join("cost.svg"));
        fs::write(&file, serde_json::to_vec_pretty(&whole)?)?;
        fs::write(folder.join("table.txt"), table::table(&self.rows))?;
        draw(&self.points, &picture)?;
        println!("{}  {}", file.display(), picture.display());
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Where results go: `target/bench`.
#[must_use]
pub fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("bench")
}
