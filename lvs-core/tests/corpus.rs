//! Every input that fuzzing has found, or that was thought of, again.

use std::path::PathBuf;

use lvs_core::testkit::fuzz;

/// Runs each file of a folder of the corpus.
fn run_all(folder: &str, body: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let note = OnFailure(&file);
        body(&std::fs::read(&file).unwrap());
        std::mem::forget(note);
    }
}

/// Names the file that a panic came of.
struct OnFailure<'a>(&'a PathBuf);

impl Drop for OnFailure<'_> {
    fn drop(&mut self) {
        eprintln!("the input was {}", self.0.display());
    }
}

#[test]
fn packets_of_the_corpus_break_nothing() {
    run_all("packets", fuzz::packets);
}

#[test]
fn rules_of_the_corpus_break_nothing() {
    run_all("rules", fuzz::rules);
}

#[test]
fn ftp_conversations_of_the_corpus_break_nothing() {
    run_all("ftp", fuzz::ftp);
}

#[test]
fn sync_messages_of_the_corpus_break_nothing() {
    run_all("sync", fuzz::sync);
}

#[test]
fn sip_messages_of_the_corpus_break_nothing() {
    run_all("sip", fuzz::sip);
}

#[test]
fn operations_of_the_corpus_break_nothing() {
    run_all("operations", fuzz::operations);
}
