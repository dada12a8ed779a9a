//! The options of a line: which were given, with which values, and whether they go together.
//!
//! Words are read as `popt` reads them: short options may be joined, with a value at the end (`-Ln`, `-p60`), long ones
//! take theirs after `=` or as the next word, and after `--` every word is a plain one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::options::{self, EXCLUSIVE, Entry, Grammar, Group, Name, Opt, Opts, Takes, Verb};
use super::values;
use super::words::{self, Split, Word, Words};
use crate::error::RuleError;

/// A line whose options are known and go together.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) command: Given<'a, Verb>,
    options: Vec<Given<'a, Opt>>,
    /// Which those are.
    given: Opts,
    /// Words that are neither options nor their values.
    pub(crate) operands: Vec<Word<'a>>,
    /// The column one past its end is asked for only where something is missing.
    split: &'a Split<'a>,
}

/// Most lines have no more options.
const TYPICAL: usize = 4;

/// An option that was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a, T> {
    pub(crate) what: T,
    /// The word that holds it.
    pub(crate) word: Word<'a>,
    pub(crate) value: Option<Word<'a>>,
}

impl<'a, T> Given<'a, T> {
    /// The value is wrong. An empty one cannot be pointed at, so that the option stands for it.
    pub(crate) fn wrong(&self, expected: impl Into<String>) -> RuleError {
        match &self.value {
            Some(value) if !value.text().is_empty() => value.wrong(expected),
            _ => self.word.wrong(expected),
        }
    }

    /// The text of the value; empty if there is none.
    pub(crate) fn text(&self) -> &'a str {
        self.value.as_ref().map_or("", Word::text)
    }
}

impl<'a> Line<'a> {
    /// The options of a line; `None` if it has no words.
    pub(crate) fn read(split: &'a Split<'a>) -> Result<Option<Self>, RuleError> {
        let mut words = split.words();
        words.next_if(|first| first == "ipvsadm");
        let Some(first) = words.clone().next() else { return Ok(None) };
        let line = Reader { words, split, line: None }.read(&first)?;
        line.check()?;
        Ok(Some(line))
    }

    pub(crate) fn option(&self, option: Opt) -> Option<&Given<'a, Opt>> {
        self.options.iter().filter(|_| self.has(option)).find(|given| given.what == option)
    }

    pub(crate) const fn has(&self, option: Opt) -> bool {
        self.given.has(option)
    }

    /// The first option of a group that was given.
    pub(crate) fn one_of(&self, group: Group) -> Option<&Given<'a, Opt>> {
        self.options.iter().filter(|_| self.given.meets(group.set)).find(|given| group.set.has(given.what))
    }

    /// The number that an option gives.
    pub(crate) fn number(&self, option: Opt) -> Result<Option<u32>, RuleError> {
        let Some(given) = self.option(option) else { return Ok(None) };
        if given.value.is_none() {
            return Ok(None);
        }
        let limit = options::limit_of(option).expect("only options with a limit are asked for as numbers");
        let value = values::number(given.text(), limit.least..=limit.most).and_then(|value| u32::try_from(value).ok());
        match value {
            Some(value) => Ok(Some(value)),
            None => {
                Err(given.wrong(format!("{} from {} to {}", options::noun(Name::Opt(option)), limit.least, limit.most)))
            }
        }
    }

    /// Something is missing at the end of the line.
    pub(crate) fn missing(&self, expected: impl Into<String>) -> RuleError {
        words::missing(self.split.past_end(), expected)
    }

    fn check(&self) -> Result<(), RuleError> {
        let grammar = self.command.what.grammar();
        let mut earlier = Opts::NONE;
        for given in &self.options {
            self.check_option(grammar, given, earlier)?;
            earlier = earlier.with(given.what);
        }
        if let Some(stray) = self.operands.get(grammar.operands.len()) {
            return Err(stray.wrong(format!("an option of {}", self.name())));
        }
        if let Some(expected) = grammar.operands.get(self.operands.len()) {
            return Err(self.missing(*expected));
        }
        match grammar.needs.iter().find(|need| !self.given.meets(need.one_of.set)) {
            Some(need) => Err(self.missing(need.expected)),
            None => self.options.iter().try_for_each(|given| self.check_number(given)),
        }
    }

    fn check_option(&self, grammar: &Grammar, given: &Given<'_, Opt>, earlier: Opts) -> Result<(), RuleError> {
        let option = given.what;
        let name = || options::dashed(Name::Opt(option));
        if !grammar.takes(option) {
            return Err(given.word.wrong(format!("an option of {}, which {} is not", self.name(), name())));
        }
        if !matches!(option, Opt::Sort | Opt::Ipv6) && earlier.has(option) {
            return Err(given.word.wrong(format!("{} only once", name())));
        }
        if option == Opt::Ipv6 && !earlier.has(Opt::Mark) {
            return Err(given.word.wrong("-6 after -f only: an address shows its family itself"));
        }
        let beside = |group: &Group| group.options.iter().copied().find(|&other| other != option && earlier.has(other));
        match EXCLUSIVE.iter().filter(|group| group.set.has(option)).find_map(beside) {
            Some(other) => Err(given.word.wrong(format!("no {} beside {}", name(), options::dashed(Name::Opt(other))))),
            None => Ok(()),
        }
    }

    /// A number is checked even where it has no effect (`-L --syncid`).
    fn check_number(&self, given: &Given<'_, Opt>) -> Result<(), RuleError> {
        match options::limit_of(given.what) {
            Some(_) => self.number(given.what).map(|_| ()),
            None => Ok(()),
        }
    }

    fn name(&self) -> String {
        options::dashed(Name::Verb(self.command.what))
    }
}

/// Goes through the words of a line.
struct Reader<'a> {
    words: Words<'a>,
    split: &'a Split<'a>,
    /// Made by the first option, which has to be a command.
    line: Option<Line<'a>>,
}

impl<'a> Reader<'a> {
    fn read(mut self, first: &Word<'a>) -> Result<Line<'a>, RuleError> {
        let mut plain_only = false;
        while let Some(word) = self.words.next() {
            match word.text() {
                _ if self.is_done() => break,
                _ if plain_only => self.operand(word)?,
                "--" => plain_only = true,
                text if text.starts_with("--") => self.long(&word)?,
                text if text.len() > 1 && text.starts_with('-') => self.joined(&word)?,
                _ => self.operand(word)?,
            }
        }
        self.line.ok_or_else(|| unread(first.wrong(COMMAND_EXPECTED)))
    }

    /// Whatever follows these commands is not even looked at.
    fn is_done(&self) -> bool {
        self.line.as_ref().is_some_and(|line| matches!(line.command.what, Verb::Help | Verb::Version))
    }

    fn operand(&mut self, word: Word<'a>) -> Result<(), RuleError> {
        match &mut self.line {
            Some(line) => {
                line.operands.push(word);
                Ok(())
            }
            None => Err(unread(word.wrong(COMMAND_EXPECTED))),
        }
    }

    fn long(&mut self, word: &Word<'a>) -> Result<(), RuleError> {
        let name = word.text()[2..].split('=').next().unwrap_or_default();
        let value = word.text().contains('=').then(|| word.skip(2 + name.chars().count() + 1));
        let Some(entry) = options::by_long(name) else { return Err(self.unknown(word)) };
        self.take(entry, word, value)
    }

    fn joined(&mut self, word: &Word<'a>) -> Result<(), RuleError> {
        let mut letters = word.text().chars();
        letters.next();
        let mut position = 0;
        while let Some(letter) = letters.next() {
            if self.is_done() {
                break;
            }
            position += 1;
            let Some(entry) = options::by_short(letter) else { return Err(self.unknown(word)) };
            if entry.takes == Takes::Nothing || letters.as_str().is_empty() {
                self.take(entry, word, None)?;
                continue;
            }
            let rest = word.skip(position + 1);
            let value = if rest.text().starts_with('=') { rest.skip(1) } else { rest };
            return self.take(entry, word, Some(value));
        }
        Ok(())
    }

    fn take(&mut self, entry: &Entry, word: &Word<'a>, joined: Option<Word<'a>>) -> Result<(), RuleError> {
        let value = match entry.takes {
            Takes::Nothing if joined.is_some() => {
                return Err(unread(word.wrong(format!("--{} without a value", entry.long))));
            }
            Takes::Value(noun) if joined.is_none() => match self.words.next() {
                Some(next) => Some(next),
                None => {
                    let expected = format!("{noun} after {}", options::dashed(entry.name));
                    return Err(unread(words::missing(self.split.past_end(), expected)));
                }
            },
            Takes::ValueUnlessOption(_) if joined.is_none() => self.words.next_if(|next| !next.starts_with('-')),
            _ => joined,
        };
        self.given(entry.name, *word, value)
    }

    fn given(&mut self, name: Name, word: Word<'a>, value: Option<Word<'a>>) -> Result<(), RuleError> {
        match (&mut self.line, name) {
            (None, Name::Verb(what)) => {
                let command = Given { what, word, value };
                let options = Vec::with_capacity(TYPICAL);
                let (given, operands) = (Opts::NONE, Vec::new());
                self.line = Some(Line { command, options, given, operands, split: self.split });
            }
            (None, Name::Opt(_)) => return Err(unread(word.wrong(COMMAND_EXPECTED))),
            (Some(_), Name::Verb(_)) => return Err(word.wrong("one command on a line")),
            (Some(line), Name::Opt(what)) => {
                line.given = line.given.with(what);
                line.options.push(Given { what, word, value });
            }
        }
        Ok(())
    }

    fn unknown(&self, word: &Word<'a>) -> RuleError {
        match &self.line {
            Some(line) => unread(word.wrong(format!("an option of {}", line.name()))),
            None => unread(word.wrong(COMMAND_EXPECTED)),
        }
    }
}

/// What is not even read as an option leaves `ipvsadm` with another status.
fn unread(error: RuleError) -> RuleError {
    RuleError { exit_status: 255, ..error }
}

const COMMAND_EXPECTED: &str = "a command first, such as -A, -a or -L";

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str, option: Opt) -> Option<String> {
        let split = words::split(line).unwrap();
        let line = Line::read(&split).unwrap().unwrap();
        line.option(option).unwrap().value.as_ref().map(|value| String::from(value.text()))
    }

    #[test]
    fn values_are_joined_assigned_or_follow() {
        for line in ["-A -t x -srr", "-A -t x -s=rr", "-A -t x -s rr", "-A -t x --scheduler=rr", "-At x --scheduler rr"]
        {
            assert_eq!(value(line, Opt::Scheduler).as_deref(), Some("rr"), "{line}");
        }
    }

    #[test]
    fn persistence_leaves_options_alone() {
        assert_eq!(value("-A -t x -p -o", Opt::Persistent), None);
        assert_eq!(value("-A -t x -p", Opt::Persistent), None);
        assert_eq!(value("-A -t x -p 60", Opt::Persistent).as_deref(), Some("60"));
        assert_eq!(value("-A -t x -op60", Opt::Persistent).as_deref(), Some("60"));
    }

    #[test]
    fn a_required_value_may_look_like_an_option() {
        assert_eq!(value("-A -t x -s -p", Opt::Scheduler).as_deref(), Some("-p"));
    }
}
