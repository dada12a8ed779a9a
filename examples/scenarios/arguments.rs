//! What the program is asked to do.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::PossibleValuesParser;

use super::FAMILIES;

/// Writes random scenarios for the kernel's IPVS, to find out where the library differs from it.
///
/// A scenario is JSON lines, one step each; CONFORMANCE.md says what the steps are, how a kernel plays them, and how the
/// recording is compared. The same family and seed give the same scenario.
#[derive(Clone, Debug, Parser)]
#[command(name = "scenarios", max_term_width = 100)]
pub struct Arguments {
    /// What the scenario is about
    #[arg(value_parser = PossibleValuesParser::new(FAMILIES.iter().map(|(name, _)| *name)))]
    pub family: String,
    /// The number that every choice is drawn from
    pub seed: u64,
    /// Write files FAMILY-SEED.jsonl to this directory, instead of one scenario to the standard output
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How many scenarios, from SEED on
    #[arg(long, value_name = "N", default_value = "1", requires = "out")]
    pub count: usize,
}
