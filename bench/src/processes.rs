//! Several processes that act as one: each is this program again with a `--part`, reports its
//! results on a pipe, and ends when its standard input ends, so that none outlives the first.

use std::io::Write;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{bail, Context, Result};

use crate::cli::Part;
use crate::tally::Line;

/// The processes.
pub struct Processes {
    parts: Vec<Process>,
}

struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Processes {
    /// Starts `count` processes with the arguments of this one and `more`.
    pub fn start(count: u32, more: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let parts = (0..count)
            .map(|index| {
                let part = Part { index, of: count };
                let mut child = Command::new(&program)
                    .args(std::env::args_os().skip(1))
                    .arg(format!("--part={part}"))
                    .args(more)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .with_context(|| format!("starting process {part}"))?;
                let orders = child.stdin.take();
                let lines = BufReader::new(child.stdout.take().context("a piped output")?);
                Ok(Process { child, orders, lines })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parts })
    }

    /// Waits until each process has printed a line; returns their sum.
    pub fn line(&mut self) -> Result<Line> {
        let mut merged: Option<Line> = None;
        for part in &mut self.parts {
            let mut text = String::new();
            if part.lines.read_line(&mut text)? == 0 {
                bail!("process {} ended early", part.child.id());
            }
            let line: Line = serde_json::from_str(&text).context("a line of a process")?;
            match &mut merged {
                Some(merged) => merged.merge(line),
                None => merged = Some(line),
            }
        }
        merged.context("no process")
    }

    /// Makes each process do a round, as this order requires.
    pub fn go(&mut self, order: &str) -> Result<()> {
        for part in &mut self.parts {
            if let Some(orders) = &mut part.orders {
                writeln!(orders, "{order}").context("ordering a round")?;
            }
        }
        Ok(())
    }

    /// Ends the processes; an error if one of them failed.
    pub fn end(mut self) -> Result<()> {
        for part in &mut self.parts {
            part.orders = None;
        }
        for part in &mut self.parts {
            let status = part.child.wait()?;
            // 1 is for errors that the process has counted and reported
            if !matches!(status.code(), Some(0 | 1)) {
                bail!("process {} ended with {status}", part.child.id());
            }
        }
        Ok(())
    }
}
