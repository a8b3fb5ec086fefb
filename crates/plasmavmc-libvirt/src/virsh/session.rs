//! Many questions to libvirt in one `virsh` process.
//!
//! virsh reads commands from its standard input, as it does from a person, and prints prompts and the
//! commands themselves between the answers. So each command is followed by `echo` of a random word, and
//! what stands before that word is the answer. The word is sent in two halves that virsh joins: the command
//! as it is echoed back never holds the word itself. Commands are ours throughout and name domains by UUID.
//!
//! The process is killed rather than let go: on its way out virsh would write our commands into the
//! history of the person's own virsh. Tests: below; `tests/it/`.

use plasmavmc_host::exec::Dialogue;
use uuid::Uuid;

use super::program::Access;
use super::{Connection, VirshError, parse};

/// Most bytes that the answers to one [`Session::ask`] may have: some thousand times what they have.
const ANSWER_LIMIT: usize = 256 << 20;

/// Wide enough that readline, which virsh reads its input with, never breaks a command into lines.
const COLUMNS: &str = "1000";

/// A running `virsh` that takes commands.
pub(super) struct Session<'c> {
    connection: &'c Connection,
    dialogue: Dialogue,
    mark: Mark,
}

/// What libvirt answered to one batch of commands.
#[derive(Debug)]
pub(super) struct Answers {
    /// The answer to each command; empty where it failed.
    pub(super) texts: Vec<String>,
    /// Every complaint, in order.
    pub(super) complaints: Vec<String>,
}

impl<'c> Session<'c> {
    /// Starts virsh.
    pub(super) fn open(connection: &'c Connection, access: Access) -> Result<Self, VirshError> {
        let mut command = connection.command(access);
        command.env("TERM", "dumb").env("COLUMNS", COLUMNS).env("INPUTRC", "/dev/null");
        let dialogue = Dialogue::start(command).map_err(|source| VirshError::Host { source })?;
        Ok(Self { connection, dialogue, mark: Mark::draw() })
    }

    /// Asks everything in `commands` and waits for all answers within one bound.
    pub(super) fn ask(&mut self, action: &'static str, commands: &[String]) -> Result<Answers, VirshError> {
        if commands.is_empty() {
            return Ok(Answers { texts: Vec::new(), complaints: Vec::new() });
        }
        let bound = self.connection.question_bound;
        let last = self.mark.after(commands.len() - 1);
        let mut searched = 0;
        let mut answered = |output: &[u8]| {
            let from = searched.min(output.len());
            let found = parse::find(&output[from..], last.as_bytes()).is_some();
            searched = output.len().saturating_sub(last.len());
            found
        };
        let question = self.mark.question(commands);
        let result = self.dialogue.ask(question.as_bytes(), bound, ANSWER_LIMIT, &mut answered);
        let from_host = |error| VirshError::from_host(self.connection, action, bound, error);
        let output = result.map_err(from_host)?;
        let said = self.dialogue.take_stderr().map_err(|source| VirshError::Host { source })?;
        let output = parse::text(output).map_err(|why| self.connection.garbage(action, why))?;
        let texts = self.mark.split(&output, commands);
        let texts = texts.ok_or_else(|| self.connection.garbage(action, "answers are out of order"))?;
        Ok(Answers { texts, complaints: parse::complaints(&String::from_utf8_lossy(&said)) })
    }
}

/// The random word after each answer, in the two halves it is sent in.
struct Mark {
    halves: [String; 2],
}

impl Mark {
    fn draw() -> Self {
        let half = || Uuid::new_v4().simple().to_string();
        Self { halves: [half(), half()] }
    }

    /// The word after the answer with that index.
    fn after(&self, index: usize) -> String {
        format!("{}{}-{index}-", self.halves[0], self.halves[1])
    }

    /// The lines that make virsh answer `commands`.
    fn question(&self, commands: &[String]) -> String {
        let mut lines = String::new();
        for (index, command) in commands.iter().enumerate() {
            lines.push_str(&format!("{command}\n{}\n", self.echo(index)));
        }
        lines
    }

    /// The command that makes virsh print the word.
    fn echo(&self, index: usize) -> String {
        format!("echo {}\"\"{}-{index}-", self.halves[0], self.halves[1])
    }

    /// The answer before each mark, without the prompts and the commands that readline echoes.
    fn split(&self, output: &str, commands: &[String]) -> Option<Vec<String>> {
        let mut rest = output;
        let mut texts = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            let (text, after) = rest.split_once(&self.after(index))?;
            rest = after;
            let text = strip_start(text.trim_start(), &PROMPTS);
            let text = strip_start(text, &[&format!("{command}\n")]);
            let text = strip_end(text.trim_end(), &[&self.echo(index)]);
            texts.push(strip_end(text, &PROMPTS.map(str::trim_end)).trim().to_owned());
        }
        Some(texts)
    }
}

/// What virsh writes before it reads a command: of a reader, and of one that may write.
const PROMPTS: [&str; 2] = ["virsh > ", "virsh # "];

fn strip_start<'t>(text: &'t str, prefixes: &[&str]) -> &'t str {
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text)
}

fn strip_end<'t>(text: &'t str, suffixes: &[&str]) -> &'t str {
    let text = text.trim_end();
    suffixes.iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_whatever_stands_in_them() {
        let mark = Mark { halves: ["aa".to_owned(), "bb".to_owned()] };
        let commands = ["uri".to_owned(), "dumpxml x".to_owned(), "none".to_owned()];
        assert_eq!(
            mark.question(&commands),
            "uri\necho aa\"\"bb-0-\ndumpxml x\necho aa\"\"bb-1-\nnone\necho aa\"\"bb-2-\n"
        );
        let xml = "<domain><title>virsh > echo aa\"\"bb-1-\nvirsh # </title></domain>";
        let output = format!(
            "virsh > uri\ntest:///default\n\nvirsh > echo aa\"\"bb-0-\naabb-0-virsh > dumpxml x\n{xml}\nvirsh > echo \
             aa\"\"bb-1-\naabb-1-virsh > none\nvirsh > echo aa\"\"bb-2-\naabb-2-virsh > "
        );
        assert_eq!(mark.split(&output, &commands).unwrap(), ["test:///default", xml, ""]);
        assert_eq!(mark.split(&output, &[&commands[..], &commands[..1]].concat()), None);
        // A virsh that was built without readline echoes nothing.
        let bare = format!("virsh > test:///default\n\nvirsh > aabb-0-virsh > {xml}\nvirsh > aabb-1-");
        assert_eq!(mark.split(&bare, &commands[..2]).unwrap(), ["test:///default", xml]);
    }
}
