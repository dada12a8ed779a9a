//! The example `scenarios`: random scenarios for a kernel to play, and for the library to be compared with.
//!
//! `arguments` is what is asked for, `script` writes a scenario and rehearses it, `late` keeps it away from what is chance
//! in a kernel, `network`, `farm` and `traffic` are what scenarios are made of; `families` has a file for each.

mod arguments;
mod dice;
mod families;
mod farm;
mod late;
mod network;
mod packet;
mod script;
mod traffic;

use std::fs;
use std::io::{self, Write};

use families::FAMILIES;
use script::Script;

pub use arguments::Arguments;

/// Writes what was asked for: one scenario to `out`, or files.
///
/// # Errors
/// Those of writing.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    let Some(folder) = &arguments.out else {
        return out.write_all(scenario(&arguments.family, arguments.seed).as_bytes());
    };
    fs::create_dir_all(folder)?;
    for seed in (arguments.seed..).take(arguments.count) {
        let name = format!("{}-{seed:04}.jsonl", arguments.family);
        fs::write(folder.join(&name), scenario(&arguments.family, seed))?;
        writeln!(out, "{name}")?;
    }
    Ok(())
}

/// A family's scenario: JSON lines. The same family and seed give the same lines.
///
/// # Panics
/// If there is no such family.
#[must_use]
pub fn scenario(family: &str, seed: u64) -> String {
    let (_, write) = FAMILIES.iter().find(|(name, _)| *name == family).expect("one of the families");
    let mut script = Script::new(family, seed);
    write(&mut script);
    script.into_lines().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_scenario() {
        for (family, _) in FAMILIES {
            assert_eq!(scenario(family, 5), scenario(family, 5), "{family}");
            assert_ne!(scenario(family, 5), scenario(family, 6), "{family}");
        }
    }

    #[test]
    fn every_family_does_something_and_looks_at_it() {
        for (family, _) in FAMILIES {
            let lines = scenario(family, 1);
            let has = |op: &str| lines.contains(&format!("\"op\":\"{op}\""));
            assert!(has("net") && has("ipvsadm"), "{family}");
            assert!(lines.lines().count() > 20, "{family}: {} steps", lines.lines().count());
        }
    }
}
