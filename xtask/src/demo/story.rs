//! How the demo speaks: numbered steps, commands as one would type them, their output indented.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use xtask::lab::Host;

/// The steps that have been told.
#[derive(Debug, Default)]
pub struct Story {
    steps: u32,
}

impl Story {
    /// Begins the next step.
    pub fn step(&mut self, text: &str) {
        self.steps += 1;
        println!("\n{}. {text}", self.steps);
    }

    /// A line of explanation.
    pub fn note(&self, text: &str) {
        println!("   {text}");
    }

    /// A command that is about to run, with its host as the prompt.
    pub fn typed(&self, host: &Host, command: &Command) {
        let program = command.get_program();
        let program = std::path::Path::new(program).file_name().unwrap_or(program);
        let words: Vec<_> = std::iter::once(program)
            .chain(command.get_args())
            .map(|word| word.to_string_lossy())
            .collect();
        println!("   {}# {}", host.name(), words.join(" "));
    }

    /// What a command has printed.
    pub fn printed(&self, text: &str) {
        for line in text.lines() {
            println!("     {line}");
        }
    }

    /// Runs a command, shows it with what it prints, and returns that. What a successful one
    /// says on stderr is left out: ip(8) complains there of other labs' namespaces.
    pub fn run(&self, host: &Host, mut command: Command) -> Result<Output> {
        self.typed(host, &command);
        let output = command
            .output()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        self.printed(&String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            self.printed(&String::from_utf8_lossy(&output.stderr));
        }
        Ok(output)
    }

    /// The same for a command that has to succeed; returns its stdout.
    pub fn succeed(&self, host: &Host, command: Command) -> Result<String> {
        let program = command.get_program().display().to_string();
        let output = self.run(host, command)?;
        if !output.status.success() {
            bail!("{program} on {} failed ({})", host.name(), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
