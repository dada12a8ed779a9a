//! The benchmark suite: the library against what the work costs at the very least, and against others doing it.
//!
//! `traffic` makes packets of numbered flows, `scene` the directors that they are for, `measure` times both and takes the
//! packets' own cost off; `floors` and `references` are what the library is compared with, `cases` what is compared,
//! `report` what comes out: a table, a file for machines, a picture.

pub mod alloc;
pub mod cases;
pub mod floors;
pub mod machine;
pub mod measure;
pub mod references;
pub mod report;
pub mod scene;
pub mod traffic;
