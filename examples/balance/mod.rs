//! The example `balance`: a packet capture through a director.
//!
//! `arguments` is what is asked for, `capture` reads and writes files of packets, `conversation` knows who talks to whom
//! and what a real server would have sent, `player` leads the packets through the director, `report` is what is printed.

mod arguments;
mod capture;
mod conversation;
mod player;
mod report;

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use lvs_core::RuleError;

pub use arguments::Arguments;
pub use capture::{CaptureError, Content, Frame, Link, Reader, Resolution, Writer};
pub use conversation::{flow, mended, sent_by};
pub use player::{Player, Tally};
pub use report::report;

/// The rules without `--rules`.
pub const DEFAULT_RULES: &str = include_str!("default.rules");
/// The capture without `--pcap`.
const DEFAULT_CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/web.pcap");
/// Where the output goes without `--out`, from the root of the workspace.
const DEFAULT_OUT: [&str; 2] = ["target", "balanced.pcap"];
/// From so many packets on the user sees how far it has come.
const LONG: u64 = 20_000;

/// Does what was asked for, and prints to `out`.
///
/// # Errors
/// [`Failure`]. What was read of a broken capture has been balanced, written and reported by then.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let source = arguments.pcap.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_CAPTURE));
    let target = arguments.out.clone().unwrap_or_else(default_out);
    let mut player = player(arguments)?;
    let mut reader = Reader::open(&source)?;
    if is_same_file(&source, &target) {
        return Err(Failure::SameFile(target));
    }
    let mut writer = Writer::create(&target, reader.link(), reader.resolution())?;

    let mut progress = Progress::new(&source);
    let end = loop {
        match reader.next_frame() {
            Ok(Some(frame)) => player.take(frame),
            Ok(None) => break Ok(()),
            Err(broken) => break Err(broken),
        }
        player.sent().try_for_each(|frame| writer.write(&frame))?;
        progress.show(player.tally().packets, reader.position());
    };
    player.finish();
    player.sent().try_for_each(|frame| writer.write(&frame))?;
    let written = writer.finish()?;
    progress.clear();

    if let Some(explanation) = player.explanation() {
        writeln!(out, "{explanation}")?;
    }
    write!(out, "{}", report(&player, &shown(&source)))?;
    writeln!(out, "{written} packets that left the director are in {}", shown(&target))?;
    out.flush()?;

    end?;
    if !player.faults().is_empty() {
        return Err(Failure::Faults(player.faults().to_vec(), player.tally().faults));
    }
    match arguments.explain {
        Some(number) if player.explanation().is_none() => Err(Failure::NoSuchPacket(number, player.tally().packets)),
        _ => Ok(()),
    }
}

fn player(arguments: &Arguments) -> Result<Player, Failure> {
    let (name, rules) = match &arguments.rules {
        Some(path) => {
            let bytes = fs::read(path).map_err(|error| Failure::Unreadable(path.clone(), error.to_string()))?;
            let text = String::from_utf8(bytes)
                .map_err(|_| Failure::Unreadable(path.clone(), String::from("not a text in UTF-8")))?;
            (shown(path), text)
        }
        None => (String::from("default.rules"), String::from(DEFAULT_RULES)),
    };
    Player::new(&rules, arguments.burst, arguments.explain).map_err(|error| {
        let line = rules.lines().nth(error.line as usize - 1).unwrap_or_default();
        Failure::Rule { file: name, line: String::from(line), error }
    })
}

fn default_out() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is around this crate");
    DEFAULT_OUT.iter().fold(workspace.to_path_buf(), |path, part| path.join(part))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A path as a reader would write it: from the current directory if it is below.
fn shown(path: &Path) -> String {
    let below = std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    below.as_deref().unwrap_or(path).display().to_string()
}

/// How far it has come, for somebody who waits.
struct Progress {
    bytes: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(source: &Path) -> Self {
        Self { bytes: fs::metadata(source).map_or(0, |data| data.len()), bar: None }
    }

    fn show(&mut self, packets: u64, position: u64) {
        if packets < LONG || !packets.is_multiple_of(1024) || !io::stderr().is_terminal() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = "{wide_bar} {percent:>3} %  {bytes} of {total_bytes}, {eta} to go";
            let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(self.bytes).with_style(style)
        });
        bar.set_position(position);
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Why the program ends without success. `Display` writes what the user is told.
#[derive(Debug)]
pub enum Failure {
    /// The rules cannot be read.
    Unreadable(PathBuf, String),
    /// A line of the rules is wrong.
    Rule {
        /// The file as the user calls it.
        file: String,
        /// The text of the line.
        line: String,
        /// What is wrong with it.
        error: RuleError,
    },
    /// A capture cannot be read or written.
    Capture(CaptureError),
    /// The output would overwrite the input.
    SameFile(PathBuf),
    /// The director did not do as it should: some of the faults, and how many there are.
    Faults(Vec<String>, u64),
    /// The packet to explain, and how many there are.
    NoSuchPacket(u64, u64),
    /// The report cannot be printed.
    Print(io::Error),
}

impl Failure {
    /// What the process ends with.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Rule { .. } | Self::NoSuchPacket(..) => 2,
            _ => 1,
        }
    }

    /// True if nobody reads what is printed any more, as behind `| head`.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, why) => write!(f, "error: {}: {why}", path.display()),
            Self::Rule { file, line, error } => write_rule(f, file, line, error),
            Self::Capture(error) => write!(f, "error: {error}"),
            Self::SameFile(path) => write!(f, "error: {}: would overwrite the capture it is made of", path.display()),
            Self::Faults(some, count) => {
                writeln!(f, "error: {count} packets did not come out as they should:")?;
                some.iter().try_for_each(|fault| writeln!(f, "  {fault}"))?;
                if *count > some.len() as u64 { f.write_str("  and so on") } else { Ok(()) }
            }
            Self::NoSuchPacket(number, packets) => {
                write!(f, "error: there is no packet {number} to explain: the capture has {packets}")
            }
            Self::Print(error) => write!(f, "error: cannot print: {error}"),
        }
    }
}

/// The place, what is wrong there, the line, and a mark under the word.
fn write_rule(f: &mut fmt::Formatter<'_>, file: &str, line: &str, error: &RuleError) -> fmt::Result {
    let text = error.to_string();
    let what = text.split_once(": ").map_or(text.as_str(), |(_, what)| what);
    let before = error.column as usize - 1;
    let indent: String = line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let mark = "^".repeat(error.word.chars().count().max(1));
    write!(f, "{file}:{}:{}: {what}\n    {line}\n    {indent}{mark}", error.line, error.column)
}

impl std::error::Error for Failure {}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Print(error)
    }
}
