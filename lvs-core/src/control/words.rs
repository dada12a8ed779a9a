//! Words of a line, each character with its column, so that an error can point at any part of a word.
//!
//! Words are what the shell would make of the line: blanks separate them, quotes keep blanks in them and allow the
//! empty word (`-s ''`). There is no other expansion.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::RuleError;

/// A word of a line, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    text: String,
    /// The column of each character, from 1.
    columns: Vec<u32>,
    /// Where the word would start if it had characters.
    start: u32,
}

/// Most words are no longer.
const TYPICAL: usize = 24;

impl Word {
    fn at(start: u32) -> Self {
        Self { text: String::with_capacity(TYPICAL), columns: Vec::with_capacity(TYPICAL), start }
    }

    fn push(&mut self, c: char, column: u32) {
        self.text.push(c);
        self.columns.push(column);
    }

    /// The word without its quotes.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The column of the first character.
    pub(crate) fn column(&self) -> u32 {
        self.columns.first().copied().unwrap_or(self.start)
    }

    /// What is left after the first `count` characters.
    pub(crate) fn skip(&self, count: usize) -> Self {
        let past = self.columns.last().map_or(self.start, |column| column + 1);
        let mut rest = Self::at(self.columns.get(count).copied().unwrap_or(past));
        for (c, &column) in self.text.chars().zip(&self.columns).skip(count) {
            rest.push(c, column);
        }
        rest
    }

    /// The parts between separators, empty ones left out.
    pub(crate) fn parts(&self, separator: char) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut part = Self::at(self.start);
        for (c, &column) in self.text.chars().zip(&self.columns) {
            if c == separator {
                parts.push(core::mem::replace(&mut part, Self::at(column)));
            } else {
                part.push(c, column);
            }
        }
        parts.push(part);
        parts.retain(|part| !part.text.is_empty());
        parts
    }

    /// This word is wrong; `expected` is what it should have been.
    pub(crate) fn wrong(&self, expected: impl Into<String>) -> RuleError {
        // An empty word in an error means that the line ends too early.
        let text = if self.text.is_empty() { "''" } else { &self.text };
        refusal(self.column(), String::from(text), expected)
    }
}

/// A word is missing at `column`, one past the end of the line.
pub(crate) fn missing(column: u32, expected: impl Into<String>) -> RuleError {
    refusal(column, String::new(), expected)
}

/// The words of a line.
pub(crate) fn split(line: &str) -> Result<Vec<Word>, RuleError> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<(char, u32)> = None;
    for (c, column) in line.chars().zip(1..) {
        match quote {
            Some((open, _)) if c == open => quote = None,
            None if c.is_ascii_whitespace() => words.extend(word.take()),
            None if c == '\'' || c == '"' => {
                quote = Some((c, column));
                word.get_or_insert_with(|| Word::at(column));
            }
            _ => word.get_or_insert_with(|| Word::at(column)).push(c, column),
        }
    }
    if let Some((open, column)) = quote {
        let rest = line.chars().skip(column as usize - 1).collect();
        return Err(refusal(column, rest, alloc::format!("another {open} before the end of the line")));
    }
    words.extend(word);
    Ok(words)
}

/// The column one past the end of a line.
pub(crate) fn past_end(line: &str) -> u32 {
    u32::try_from(line.trim_end_matches(['\r', '\n']).chars().count())
        .map_or(u32::MAX, |length| length.saturating_add(1))
}

fn refusal(column: u32, word: String, expected: impl Into<String>) -> RuleError {
    RuleError { line: 1, column, word, expected: expected.into(), control: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(line: &str) -> Vec<(u32, String)> {
        split(line).unwrap().iter().map(|word| (word.column(), String::from(word.text()))).collect()
    }

    #[test]
    fn words_know_their_columns() {
        assert_eq!(seen("  -A \t-t  x:80 "), [(3, "-A".into()), (7, "-t".into()), (11, "x:80".into())]);
        assert_eq!(seen(""), []);
        assert_eq!(seen("é -L"), [(1, "é".into()), (3, "-L".into())]);
    }

    #[test]
    fn quotes_keep_blanks_and_allow_empty_words() {
        assert_eq!(
            seen("-w ' 5' -s \"\" a'b 'c"),
            [(1, "-w".into()), (5, " 5".into()), (9, "-s".into()), (12, "".into()), (15, "ab c".into())]
        );
    }

    #[test]
    fn an_open_quote_is_refused_where_it_opens() {
        let error = split("-A 'x y").unwrap_err();
        assert_eq!((error.column, error.word.as_str()), (4, "'x y"));
    }

    #[test]
    fn parts_keep_their_columns() {
        let word = &split("-b a,,bc").unwrap()[1];
        let parts: Vec<_> = word.parts(',').iter().map(|part| (part.column(), String::from(part.text()))).collect();
        assert_eq!(parts, [(4, "a".into()), (7, "bc".into())]);
        assert_eq!((word.skip(3).column(), word.skip(3).text()), (7, "bc"));
        assert_eq!((word.skip(9).column(), word.skip(9).text()), (9, ""));
    }
}
