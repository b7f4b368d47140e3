//! Load for a WebSocket proxy and the destination behind it, in one program.

mod cli;
mod control;
mod fleet;
mod frame;
mod handshake;
mod http;
mod link;
mod pattern;
mod processes;
mod run;
mod serve;
mod stream;
mod tally;
mod tasks;
mod ws;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match run::run(cli::Cli::parse().mode) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("wsload: {error:#}");
            ExitCode::from(2)
        }
    }
}
