//! Names of scheduler flags.

use crate::error::RuleError;
use crate::service::SchedulerFlags;

use super::words::Word;

/// A name of a flag.
struct Name {
    text: &'static str,
    /// The only scheduler whose flag goes by this name; any if `None`.
    scheduler: Option<&'static str>,
    flag: SchedulerFlags,
}

const fn of(scheduler: &'static str, text: &'static str, flag: SchedulerFlags) -> Name {
    Name { text, scheduler: Some(scheduler), flag }
}

const fn any(text: &'static str, flag: SchedulerFlags) -> Name {
    Name { text, scheduler: None, flag }
}

const NAMES: [Name; 7] = [
    of("sh", "sh-fallback", SchedulerFlags::FALLBACK),
    of("sh", "sh-port", SchedulerFlags::PORT),
    of("mh", "mh-fallback", SchedulerFlags::FALLBACK),
    of("mh", "mh-port", SchedulerFlags::PORT),
    any("flag-1", SchedulerFlags::FALLBACK),
    any("flag-2", SchedulerFlags::PORT),
    any("flag-3", SchedulerFlags::THIRD),
];

/// The flags of a comma-separated list. Empty items and repeats are ignored.
pub(crate) fn read(list: &Word<'_>, scheduler: &str) -> Result<SchedulerFlags, RuleError> {
    list.parts(',').iter().try_fold(SchedulerFlags::NONE, |flags, item| Ok(flags.with(flag(item, scheduler)?)))
}

fn flag(item: &Word<'_>, scheduler: &str) -> Result<SchedulerFlags, RuleError> {
    let Some(name) = NAMES.iter().find(|name| name.text == item.text()) else {
        return Err(
            item.wrong("a scheduler flag: sh-fallback, sh-port, mh-fallback, mh-port, flag-1, flag-2 or flag-3")
        );
    };
    match name.scheduler {
        Some(owner) if owner != scheduler => {
            Err(item.wrong(alloc::format!("a flag that scheduler {scheduler} has; this one is for {owner} only")))
        }
        _ => Ok(name.flag),
    }
}

/// The names of flags, as this scheduler calls them. A scheduler with names of its own has none for the third flag,
/// which is then not shown at all.
pub(crate) fn names(scheduler: &str, flags: SchedulerFlags) -> impl Iterator<Item = &'static str> {
    let owner = NAMES.iter().filter_map(|name| name.scheduler).find(|&owner| owner == scheduler);
    NAMES.iter().filter(move |name| name.scheduler == owner && flags.contains(name.flag)).map(|name| name.text)
}

#[cfg(test)]
mod tests {
    use super::super::words::split;
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn lists_forgive_empty_items_and_repeats() {
        let line = split(",sh-port,,flag-3,sh-port,").unwrap();
        assert_eq!(read(&line.words().next().unwrap(), "sh"), Ok(SchedulerFlags::PORT.with(SchedulerFlags::THIRD)));
    }

    #[test]
    fn the_wrong_item_is_pointed_at() {
        let line = split("flag-1,mh-port").unwrap();
        assert_eq!(read(&line.words().next().unwrap(), "sh").unwrap_err().column, 8);
    }

    #[test]
    fn sh_and_mh_name_two_flags_and_others_three() {
        let all = SchedulerFlags::FALLBACK.with(SchedulerFlags::PORT).with(SchedulerFlags::THIRD);
        assert_eq!(names("sh", all).collect::<Vec<_>>(), ["sh-fallback", "sh-port"]);
        assert_eq!(names("mh", all).collect::<Vec<_>>(), ["mh-fallback", "mh-port"]);
        assert_eq!(names("rr", all).collect::<Vec<_>>(), ["flag-1", "flag-2", "flag-3"]);
    }
}
