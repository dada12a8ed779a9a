//! A wanted configuration: what services and servers there are to be, read from rules.
//!
//! Owns: what a text of `-A` and `-a` lines wants as a whole. Leaves to others: whether it can be had, and the way there
//! (`director::apply`).

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::options::{Opt, SELECTORS, Verb};
use super::parse::{command, needed_key, protocol_of, refusal, rule_lines, server, service};
use super::scan::{Given, Line};
use super::words;
use crate::error::{ControlError, RuleError};
use crate::service::{ServerSpec, ServiceKey, ServiceSpec};

/// A service that is wanted, and its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedService<'a> {
    pub(crate) spec: Cow<'a, ServiceSpec>,
    pub(crate) servers: Cow<'a, [ServerSpec]>,
    /// What the text says beyond that, and where. Values have none of it.
    said: Vec<Said>,
    /// Its line in the text, from 1.
    line: u32,
}

/// How a text says what server is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    /// A server that is there keeps its thresholds: nothing was said of them.
    keeps_thresholds: bool,
    line: u32,
}

impl<'a> WantedService<'a> {
    /// What values want.
    pub(crate) const fn of(spec: &'a ServiceSpec, servers: Cow<'a, [ServerSpec]>) -> Self {
        Self { spec: Cow::Borrowed(spec), servers, said: Vec::new(), line: 0 }
    }

    /// What the server of a place is to be, if it is there as `present` already.
    pub(crate) fn server(&self, place: usize, present: &ServerSpec) -> ServerSpec {
        let wanted = self.servers[place];
        if self.said.get(place).is_some_and(|said| said.keeps_thresholds) {
            return ServerSpec { upper: present.upper, lower: present.lower, ..wanted };
        }
        wanted
    }

    /// The line of the service, or of one of its servers.
    pub(crate) fn line(&self, server: Option<usize>) -> u32 {
        server.and_then(|place| self.said.get(place)).map_or(self.line, |said| said.line)
    }
}

/// Reads a text of `-A` and `-a` lines. Servers come behind their service.
pub(crate) fn read(text: &str) -> Result<Vec<WantedService<'static>>, RuleError> {
    let mut services: Vec<WantedService<'static>> = Vec::new();
    let mut by_key: BTreeMap<ServiceKey, usize> = BTreeMap::new();
    let mut latest = LatestService::default();
    for (number, line) in rule_lines(text) {
        let at = |error: RuleError| RuleError { line: number, ..error };
        match rule(line, &mut latest).map_err(at)? {
            Rule::Service(spec) => {
                if by_key.insert(spec.key, services.len()).is_some() {
                    return Err(at(refusal(line, ControlError::ServiceExists)));
                }
                let (servers, said) = (Cow::Owned(Vec::new()), Vec::new());
                services.push(WantedService { spec: Cow::Owned(spec), servers, said, line: number });
            }
            Rule::Server(key, spec, keeps_thresholds) => {
                // Mostly of the service that was last.
                let index = match services.last() {
                    Some(last) if last.spec.key == key => Some(services.len() - 1),
                    _ => by_key.get(&key).copied(),
                };
                match index.and_then(|index| services.get_mut(index)) {
                    Some(service) => {
                        service.servers.to_mut().push(spec);
                        service.said.push(Said { keeps_thresholds, line: number });
                    }
                    None => return Err(at(refusal(line, ControlError::NoSuchService))),
                }
            }
        }
    }
    Ok(services)
}

enum Rule {
    Service(ServiceSpec),
    /// Its service, what it is to be, and whether it keeps its thresholds.
    Server(ServiceKey, ServerSpec, bool),
}

/// The address that the latest line named its service by: mostly it is that of the next one, too.
#[derive(Default)]
struct LatestService {
    text: String,
    key: Option<ServiceKey>,
}

impl LatestService {
    /// The service that a line names, read anew only if it is written otherwise.
    fn key(&mut self, line: &Line<'_>) -> Result<ServiceKey, RuleError> {
        if let (Some(given), Some(key @ ServiceKey::Address { protocol, .. })) = (line.one_of(SELECTORS), self.key)
            && given.text() == self.text
            && Some(protocol) == protocol_of(given.what)
        {
            return Ok(key);
        }
        let key = needed_key(line)?;
        self.text.clear();
        self.text.push_str(line.one_of(SELECTORS).map_or("", Given::text));
        self.key = Some(key);
        Ok(key)
    }
}

fn rule(text: &str, latest: &mut LatestService) -> Result<Rule, RuleError> {
    const EXPECTED: &str = "-A or -a: what is wanted, not what is to be done";
    let split = words::split(text)?;
    let Some(line) = Line::read(&split)? else { return Err(words::missing(words::past_end(text), EXPECTED)) };
    match line.command.what {
        Verb::AddService => service(&line).map(Rule::Service),
        Verb::AddServer => {
            let key = latest.key(&line)?;
            let keeps_thresholds = !line.has(Opt::Upper) && !line.has(Opt::Lower);
            Ok(Rule::Server(key, server(&line, &key)?, keeps_thresholds))
        }
        _ => {
            command(&line)?;
            Err(line.command.word.wrong(EXPECTED))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_gathered_under_their_services() {
        let text = "-A -u 192.0.2.10:53\n# names\n-A -f 5\n-a -f 5 -r 10.0.0.1\n-a -u 192.0.2.10:53 -r 10.0.0.2 -x 9\n";
        let services = read(text).unwrap();
        let lines: Vec<_> =
            services.iter().map(|s| (s.line, s.said.iter().map(|s| s.line).collect::<Vec<_>>())).collect();
        assert_eq!(lines, [(1, alloc::vec![5]), (3, alloc::vec![4])]);
        assert!(!services[0].said[0].keeps_thresholds && services[1].said[0].keeps_thresholds);
    }

    #[test]
    fn what_says_not_what_is_wanted_is_refused_where_it_stands() {
        for (text, line, column, word) in [
            ("-A -f 5\n-a -f 6 -r 10.0.0.1", 2, 7, "6"),
            ("-A -f 5\n\n -A -f 5", 3, 8, "5"),
            ("-C\n-A -f 5", 1, 1, "-C"),
            ("-A -f 5\nipvsadm", 2, 8, ""),
            ("-A -f 5\n-d -f 5 -r 10.0.0.1", 2, 1, "-d"),
            ("-A -f five", 1, 7, "five"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.line, error.column, error.word.as_str()), (line, column, word), "{text}: {error}");
        }
    }
}
