//! Carrying commands out on a director.

use alloc::format;
use alloc::string::String;

use super::command::Command;
use super::parse::{self, parse_line, parse_rules};
use crate::director::Director;
use crate::error::{ControlError, RuleError};
use crate::service::{ServiceId, ServiceKey};

const HELP: &str = "\
-A -E -D  add, edit, delete a virtual service    -a -e -d  add, edit, delete a real server
-C  delete all services     -S  write the rules  -R  read rules: the lines that follow
-L  list                    -Z  zero counters    --set TCP TCPFIN UDP  change timeouts
";

impl Director {
    /// Carries out one line of `ipvsadm`, with or without that word in front, and returns what it would print.
    ///
    /// Time is what the latest [`process`](Director::process) or [`advance`](Director::advance) was told.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.run("ipvsadm -A -t 192.0.2.10:80 -s rr")?;
    /// assert_eq!(director.run("-S -n")?, "-A -t 192.0.2.10:80 -s rr\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Where the line goes wrong, or what speaks against it; then nothing has changed.
    pub fn run(&mut self, line: &str) -> Result<String, RuleError> {
        let command = parse_line(line)?;
        self.execute(&command).map_err(|error| parse::refusal(line, error))
    }

    /// Carries out a text of `ipvsadm` lines, such as `ipvsadm -S` writes. Blank lines and lines that begin with `#`
    /// are skipped.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let error = director.load("-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1 -w many").unwrap_err();
    /// assert_eq!((error.line, error.word.as_str()), (2, "many"));
    /// assert!(director.services().is_empty(), "no line was carried out");
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// If a line cannot be read, none is carried out. If one is refused, those before it have been carried out, and
    /// that one and those after it have not.
    pub fn load(&mut self, text: &str) -> Result<(), RuleError> {
        let mut growing = None;
        let mut commands = parse_rules(text)?.into_iter();
        let refused = commands
            .find_map(|(number, command)| Some((number, self.execute_one_of_many(&command, &mut growing).err()?)));
        self.done_with(growing);
        let Some((number, error)) = refused else { return Ok(()) };
        let line = text.lines().nth(number as usize - 1).unwrap_or_default();
        Err(RuleError { line: number, ..parse::refusal(line, error) })
    }

    /// Carries out one command of many. Servers are mostly added to one service after the other: `growing` is the latest,
    /// whose scheduler is told that it has them all when that is so.
    fn execute_one_of_many(&mut self, command: &Command, growing: &mut Option<ServiceId>) -> Result<(), ControlError> {
        if let Command::AddServer(key, spec) = command {
            let service = self.named(key)?;
            if *growing != Some(service) {
                self.done_with(growing.replace(service));
            }
            return self.add_one_of_many(service, *spec).map(|_| ());
        }
        self.done_with(growing.take());
        self.execute(command).map(|_| ())
    }

    /// Carries out one command and returns what it prints.
    ///
    /// ```
    /// use lvs_core::{Command, Config, Director, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.execute(&Command::AddService(ServiceSpec::udp("192.0.2.10:53".parse()?)))?;
    /// assert_eq!(director.execute(&Command::Save)?, "-A -u 192.0.2.10:53 -s wlc\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed.
    pub fn execute(&mut self, command: &Command) -> Result<String, ControlError> {
        let done = |_| String::new();
        match command {
            Command::AddService(spec) => self.add_service(spec.clone()).map(|_| String::new()),
            Command::EditService(spec) => self.edit_service(spec.clone()).map(|_| String::new()),
            Command::RemoveService(key) => self.remove_service(self.named(key)?).map(done),
            Command::Clear => {
                self.clear();
                Ok(String::new())
            }
            Command::AddServer(key, spec) => self.add_server(self.named(key)?, *spec).map(|_| String::new()),
            Command::EditServer(key, spec) => self.edit_server(self.named(key)?, *spec).map(|_| String::new()),
            Command::RemoveServer(key, address) => self.remove_server(self.named(key)?, *address).map(done),
            Command::Restore => Ok(String::new()),
            Command::Save => Ok(self.save()),
            Command::List(listing) => self.listing(listing),
            Command::Zero(key) => {
                let service = key.as_ref().map(|key| self.named(key)).transpose()?;
                self.zero(service).map(done)
            }
            Command::SetTimeouts { tcp, tcp_fin, udp } => self.set_timeouts(*tcp, *tcp_fin, *udp).map(done),
            Command::StartDaemon(spec) => self.start_daemon(spec).map(done),
            Command::StopDaemon(role) => self.stop_daemon(*role).map(done),
            Command::Help => Ok(String::from(HELP)),
            Command::Version => Ok(format!("lvs-core {}\n", env!("CARGO_PKG_VERSION"))),
        }
    }

    fn named(&self, key: &ServiceKey) -> Result<ServiceId, ControlError> {
        self.find_service(key).ok_or(ControlError::NoSuchService)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Director};

    #[test]
    fn a_text_is_read_as_a_whole_and_ends_with_the_first_refusal() {
        let mut director = Director::new(Config::with_seed(7)).unwrap();
        let unreadable = "-A -f 1 -s rr\n-A -f 2 -s rr\n-A -f x -s rr\n";
        assert_eq!(director.load(unreadable).unwrap_err().line, 3);
        assert_eq!(director.save(), "", "nothing of it");
        let refused = "-A -f 1 -s rr\n-A -f 2 -s fastest\n-A -f 3 -s rr\n";
        let error = director.load(refused).unwrap_err();
        assert_eq!((error.line, error.column, error.word.as_str()), (2, 12, "fastest"));
        assert_eq!(error.control, Some(ControlError::NoSuchScheduler));
        assert_eq!(director.save(), "-A -f 1 -s rr\n", "what comes before, and not what comes after");
    }
}
