//! `cargo xtask docs` writes the pages and files that are generated from the registry.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

mod markdown;
mod pages;
mod schema;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn docs() -> io::Result<()> {
    for (path, text) in pages::all() {
        if fs::read_to_string(root().join(path)).ok().as_ref() != Some(&text) {
            fs::write(root().join(path), text)?;
            println!("{path}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["docs"] => match docs() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("xtask: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: cargo xtask docs");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_generated_is_current() {
        for (path, expected) in pages::all() {
            let found = fs::read_to_string(root().join(path)).unwrap_or_default();
            assert!(found == expected, "{path} is not current, run: cargo xtask docs");
        }
    }
}
